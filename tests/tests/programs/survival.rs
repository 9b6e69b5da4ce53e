//! Programs and counters outlive the process that loaded them, on whatever kernel this is.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use anycast_ebpf::classify::Classifier;
use anycast_tests::{bpffs::with_bpffs, netns::Namespace};
use anycast_user::{
    config::Hook,
    datapath::{Bank, Datapath, Instance, LoadSettings, Pins, Reading, Service, Which, cleanup, inventory},
    net::Netlink,
};

use super::{
    frames::{ANSWER, QUERY},
    node::Node,
};

const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// Ample for a packet to be counted.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_next_process_takes_over_what_goes_on_counting() {
    if Node::shared().is_none() {
        return;
    }
    with_bpffs(|bpffs| {
        for hook in [Hook::Xdp, Hook::Tc] {
            let (client, node) = wire();
            let client = client.run(|| Ok(UdpSocket::bind("198.51.100.2:0")?)).unwrap();
            let server = node.run(|| Ok(UdpSocket::bind((SERVICE, 53))?)).unwrap();
            node.run(|| {
                check(bpffs, hook, || ask(&client, &server));
                Ok(())
            })
            .unwrap();
        }
    });
}

/// A client and a node with a service address, one wire from each other.
pub(crate) fn wire() -> (Namespace, Namespace) {
    let (client, node) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    node.ip(&format!(
        "link add up0 type veth peer name up0 netns {}\naddress add 198.51.100.1/24 dev up0\n\
         address add {SERVICE}/32 dev lo\nlink set up0 up\n",
        client.path()
    ))
    .unwrap();
    client
        .ip("address add 198.51.100.2/24 dev up0\nlink set up0 up\nroute add default via 198.51.100.1\n")
        .unwrap();
    (client, node)
}

/// A query and its answer.
pub(crate) fn ask(client: &UdpSocket, server: &UdpSocket) {
    for socket in [client, server] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let mut buffer = [0; 64];
    client.send_to(&QUERY, (SERVICE, 53)).unwrap();
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&ANSWER, from).unwrap();
    client.recv_from(&mut buffer).unwrap();
}

fn start(bpffs: &Path) -> Datapath {
    let pins = Pins::open(bpffs, Instance::here("anycast0").unwrap()).unwrap();
    let services = [Service::new(SERVICE, 53, Classifier::DnsUdp)];
    Datapath::load_pinned(&services, &LoadSettings::default(), Some(pins)).unwrap()
}

fn check(bpffs: &Path, hook: Hook, ask: impl Fn()) {
    let uplink = || Netlink::open().unwrap().link("up0").unwrap();
    let mut first = start(bpffs);
    let attached = first.attach(&uplink(), hook, true).unwrap();
    assert!(attached.refused.is_none() && !attached.taken_over, "{attached:?}");
    first.keep().unwrap();
    ask();
    wait_for(&first.bank(), 1);
    // However a process ends, this is all that the kernel sees of it.
    drop(first);
    ask();
    let mut second = start(bpffs);
    wait_for(&second.bank(), 2);
    let attached = second.attach(&uplink(), hook, true).unwrap();
    assert!(attached.taken_over, "{attached:?}");
    assert!(second.is_in_place(&uplink()).unwrap());
    ask();
    wait_for(&second.bank(), 3);
    let hooks = || {
        let found = inventory(bpffs).unwrap();
        let attachments = found.into_iter().flat_map(|instance| instance.attachments);
        attachments.map(|attachment| attachment.direction).collect::<Vec<_>>()
    };
    assert_eq!(hooks(), ["ingress", "egress"], "one program a hook");
    drop(second);
    let cleaned = cleanup(bpffs, &Which::All).unwrap();
    assert!(cleaned.iter().all(|cleaned| cleaned.error.is_none()), "{cleaned:?}");
    assert_eq!(hooks(), [""; 0]);
    let mut netlink = Netlink::open().unwrap();
    assert!(uplink().xdp_programs.is_empty() && netlink.clsact_links().unwrap().is_empty());
}

/// Waits until `count` queries and answers have been counted, none of them twice.
fn wait_for(bank: &Bank, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Reading { queries, answers, .. } = bank.read(0);
        assert!(queries <= count && answers <= count, "{queries}, {answers} of {count}");
        if (queries, answers) == (count, count) {
            return;
        }
        assert!(Instant::now() < deadline, "{queries}, {answers} of {count}");
        std::thread::yield_now();
    }
}
