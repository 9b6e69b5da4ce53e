use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::net::testing::{Namespace, in_namespace};
use crate::route::LinkSwitch;

const ADDRESS: &str = "2001:db8::53";

fn prepared_link(namespace: &mut Namespace) -> (Link, Prepared) {
    let link = namespace.service_link("anycast0");
    namespace.add_address(&link, "2001:db8::53/128");
    let prepared = prepare(namespace.netlink(), &link).unwrap();
    (link, prepared)
}

/// Whether a datagram from `::1` reaches the address and an answer comes back, by sockets made for it.
fn is_reachable() -> bool {
    let exchange = || -> io::Result<()> {
        let server = UdpSocket::bind((ADDRESS, 53))?;
        server.set_read_timeout(Some(Duration::from_secs(5)))?;
        let client = UdpSocket::bind("[::1]:0")?;
        client.connect((ADDRESS, 53))?;
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        client.send(b"?")?;
        let (_, from) = server.recv_from(&mut [0; 1])?;
        server.send_to(b"!", from)?;
        client.recv(&mut [0; 1]).map(drop)
    };
    exchange().is_ok()
}

#[test]
fn an_address_is_reachable_and_kept_while_its_link_is_down() {
    in_namespace(|namespace| {
        let (link, prepared) = prepared_link(namespace);
        assert_eq!(prepared.addresses(), [ADDRESS.parse::<Ipv6Addr>().unwrap()]);
        let before = namespace.netlink().addresses(link.index).unwrap();
        let mut switch = LinkSwitch::open(&link).unwrap();
        assert!(is_reachable());
        switch.withdraw().unwrap();
        assert!(is_reachable());
        assert_eq!(namespace.netlink().addresses(link.index).unwrap(), before);
        switch.announce().unwrap();
        assert!(is_reachable());
    });
}

#[test]
fn without_preparation_it_is_not() {
    in_namespace(|namespace| {
        let (link, prepared) = prepared_link(namespace);
        prepared.release(namespace.netlink()).unwrap();
        LinkSwitch::open(&link).unwrap().withdraw().unwrap();
        assert!(!is_reachable());
    });
}

#[test]
fn a_second_run_takes_over_and_a_withdrawn_link_stays_prepared() {
    in_namespace(|namespace| {
        let (link, first) = prepared_link(namespace);
        let mut switch = LinkSwitch::open(&link).unwrap();
        switch.withdraw().unwrap();
        first.release(namespace.netlink()).unwrap();
        assert!(is_reachable());
        let second = prepare(namespace.netlink(), &link).unwrap();
        assert_eq!(second.addresses().len(), 1);
        switch.announce().unwrap();
        second.release(namespace.netlink()).unwrap();
        switch.withdraw().unwrap();
        assert!(!is_reachable());
    });
}

fn sysctl() -> String {
    let text = fs::read_to_string("/proc/sys/net/ipv6/conf/anycast0/keep_addr_on_down").unwrap();
    text.trim().to_owned()
}

#[test]
fn nothing_is_changed_when_an_address_is_refused() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        namespace.add_address(&link, "2001:db8::53/128");
        namespace.add_address_with_lifetime(&link, "2001:db8::54");
        let before = namespace.netlink().addresses(link.index).unwrap();
        let refused = prepare(namespace.netlink(), &link).unwrap_err();
        assert!(matches!(refused, RouteError::NotPermanent { address, .. } if address.segments()[7] == 0x54));
        assert_eq!(sysctl(), "0");
        assert_eq!(namespace.netlink().addresses(link.index).unwrap(), before);
    });
}

#[test]
fn what_was_changed_before_a_failure_is_changed_back() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        namespace.add_address(&link, "2001:db8::53/128");
        // The standing route leads there.
        namespace.set_up(LinkIndex::LOOPBACK, false);
        prepare(namespace.netlink(), &link).unwrap_err();
        assert_eq!(sysctl(), "0");
    });
}

#[test]
fn a_link_without_ipv6_is_not_touched() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        namespace.add_address(&link, "192.0.2.53/32");
        let prepared = prepare(namespace.netlink(), &link).unwrap();
        assert_eq!(prepared.addresses(), [] as [Ipv6Addr; 0]);
        assert_eq!(sysctl(), "0");
    });
}
