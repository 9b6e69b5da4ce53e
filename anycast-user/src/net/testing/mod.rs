//! Network namespaces for tests: unnamed, so that they end with the thread that made them, whatever happens to it.

pub(crate) mod bpf;
mod links;

use std::io::{Write as _, stderr};
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, CacheInfo};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

pub(crate) use self::links::Tun;
use super::{Address, AddressFlags, AddressScope, Link, LinkIndex, Netlink, Request};

/// A link that only exists in a test's mind.
pub(crate) fn link(index: u32, name: &str, kind: Option<&str>) -> Link {
    Link {
        index: LinkIndex(index),
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        up: true,
        loopback: false,
        alias: None,
        master: None,
        lower: None,
        hardware_type: libc::ARPHRD_ETHER,
        broadcast: Vec::new(),
        xdp_programs: Vec::new(),
    }
}

/// The namespace of the test's thread.
pub(crate) struct Namespace {
    netlink: Netlink,
}

/// Runs `test` on a thread in a network namespace of its own with `lo` up. Without the privilege it is skipped with a
/// word, or fails when `ANYCAST_PROBE_REQUIRE_ALL=1`.
pub(crate) fn in_namespace(test: impl FnOnce(&mut Namespace) + Send) {
    let run = move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return skipped(&format!("no network namespace: {error}"));
        }
        let mut namespace = Namespace {
            netlink: Netlink::open().unwrap(),
        };
        namespace.set_up(LinkIndex::LOOPBACK, true);
        test(&mut namespace);
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Says that a test is skipped; fails where none may be.
pub(crate) fn skipped(why: &str) {
    let required = std::env::var_os("ANYCAST_PROBE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{why}");
    // Not eprintln: the test harness would swallow it.
    let _ = stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// As [`in_namespace`], with a bpffs of its own, which also ends with the thread.
pub(crate) fn in_namespace_with_bpffs(test: impl FnOnce(&mut Namespace, &Path) + Send) {
    // Outlives the thread, whose mount would be in the way of removing it.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    in_namespace(|namespace| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), nothing).unwrap();
        test(namespace, path);
    });
}

impl Namespace {
    pub(crate) fn netlink(&mut self) -> &mut Netlink {
        &mut self.netlink
    }

    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), super::NetError> {
        self.netlink
            .exchange(&mut Request::new("set up a test", message, flags), |_| Ok(()))
    }

    /// Makes a link of this kind, which must be available.
    pub(crate) fn add_link(&mut self, name: &str, kind: &str) -> Link {
        self.try_add_link(name, kind).unwrap();
        self.netlink.link(name).unwrap()
    }

    fn try_add_link(&mut self, name: &str, kind: &str) -> Result<(), super::NetError> {
        let kind = match kind {
            "dummy" => InfoKind::Dummy,
            "ifb" => InfoKind::Ifb,
            "bridge" => InfoKind::Bridge,
            "veth" => InfoKind::Veth,
            other => InfoKind::Other(other.to_owned()),
        };
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a wire with two ends, both up: an uplink, and what is at its other end.
    pub(crate) fn add_wire(&mut self, name: &str) -> (Link, Link) {
        let before = self.netlink.links().unwrap();
        self.try_add_link(name, "veth").unwrap();
        let added = self.netlink.links().unwrap().into_iter();
        for link in added.filter(|link| before.iter().all(|other| other.index != link.index)) {
            self.set_up(link.index, true);
        }
        let uplink = self.netlink.link(name).unwrap();
        let links = self.netlink.links().unwrap();
        let is_new = |link: &&Link| link.index != uplink.index && before.iter().all(|other| other.index != link.index);
        let peer = links.iter().find(is_new).unwrap().clone();
        (uplink, peer)
    }

    /// Makes a link that can be a switch, and raises it.
    pub(crate) fn service_link(&mut self, name: &str) -> Link {
        let made = ["dummy", "ifb"]
            .into_iter()
            .any(|kind| self.try_add_link(name, kind).is_ok());
        assert!(made, "this kernel has neither dummy nor ifb links");
        let index = self.netlink.link(name).unwrap().index;
        self.set_up(index, true);
        self.netlink.link(name).unwrap()
    }

    /// What an operator does with `ip link set … up` or `down`.
    pub(crate) fn set_up(&mut self, link: LinkIndex, up: bool) {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(message), 0).unwrap();
    }

    /// What an operator does with `ip link set … alias`.
    pub(crate) fn set_alias(&mut self, link: LinkIndex, alias: &str) {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.change(RouteNetlinkMessage::SetLink(message), 0).unwrap();
    }

    /// A default route by way of gateways on links; several make a multipath route.
    pub(crate) fn add_default_route(&mut self, gateways: &[(&str, &Link)]) {
        let mut message = RouteMessage::default();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        let mut hops = Vec::new();
        for (gateway, link) in gateways {
            let gateway: IpAddr = gateway.parse().unwrap();
            message.header.address_family = if gateway.is_ipv6() {
                AddressFamily::Inet6
            } else {
                AddressFamily::Inet
            };
            let mut hop = RouteNextHop::default();
            hop.interface_index = link.index.0;
            hop.attributes.push(RouteAttribute::Gateway(gateway.into()));
            hops.push(hop);
        }
        message.attributes.push(RouteAttribute::MultiPath(hops));
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
            .unwrap();
    }

    /// A route to `prefix` by way of a gateway on a link.
    pub(crate) fn add_route(&mut self, prefix: &str, gateway: &str, link: &Link) {
        let (destination, length) = prefix.split_once('/').unwrap();
        let (destination, gateway): (IpAddr, IpAddr) = (destination.parse().unwrap(), gateway.parse().unwrap());
        let mut message = RouteMessage::default();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = length.parse().unwrap();
        message.attributes = vec![
            RouteAttribute::Destination(destination.into()),
            RouteAttribute::Gateway(gateway.into()),
            RouteAttribute::Oif(link.index.0),
        ];
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
            .unwrap();
    }

    pub(crate) fn delete_link(&mut self, link: LinkIndex) {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        self.change(RouteNetlinkMessage::DelLink(message), 0).unwrap();
    }

    /// Adds `address/length` and waits until it can be bound. IPv6 is subject to duplicate address detection, as when
    /// an operator forgets `nodad`; on the links of tests that takes no time, but happens in the background.
    pub(crate) fn add_address(&mut self, link: &Link, address: &str) {
        let (address, prefix_length) = address.split_once('/').unwrap();
        let address: IpAddr = address.parse().unwrap();
        let address = Address {
            link: link.index,
            address,
            prefix_length: prefix_length.parse().unwrap(),
            scope: AddressScope::Universe,
            flags: AddressFlags::empty(),
            metric: None,
        };
        let mut request = address.add_request(NLM_F_CREATE | NLM_F_EXCL);
        self.netlink.exchange(&mut request, |_| Ok(())).unwrap();
        self.wait_for_addresses(link);
    }

    /// Adds an IPv6 `address/128` that ends in an hour.
    pub(crate) fn add_address_with_lifetime(&mut self, link: &Link, address: &str) {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        message.header.index = link.index.0;
        message.header.prefix_len = 128;
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_valid = 3600;
        lifetime.ifa_preferred = 3600;
        message.attributes = vec![
            AddressAttribute::Local(address.parse().unwrap()),
            AddressAttribute::CacheInfo(lifetime),
        ];
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
            .unwrap();
        self.wait_for_addresses(link);
    }

    fn wait_for_addresses(&mut self, link: &Link) {
        while self
            .netlink
            .addresses(link.index)
            .unwrap()
            .iter()
            .any(|address| address.flags.contains(AddressFlags::Tentative))
        {
            std::thread::yield_now();
        }
    }
}

/// Runs `test` on a thread with every privilege that the process has but `CAP_SYS_ADMIN`, as a service manager would start it.
pub(crate) fn without_admin(test: impl FnOnce() + Send) {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_SYS_ADMIN: u32 = 21;
    let run = move || {
        // `struct __user_cap_header_struct`, of this thread, and two `struct __user_cap_data_struct`.
        let mut header = [VERSION_3, 0];
        let mut effective_permitted_inheritable = [0_u32; 6];
        // SAFETY: both pointers are to as many bytes as this version takes, and outlive the call.
        let read = unsafe {
            libc::syscall(
                libc::SYS_capget,
                header.as_mut_ptr(),
                effective_permitted_inheritable.as_mut_ptr(),
            )
        };
        effective_permitted_inheritable[0] &= !(1 << CAP_SYS_ADMIN);
        // SAFETY: as above.
        let written = unsafe {
            libc::syscall(
                libc::SYS_capset,
                header.as_mut_ptr(),
                effective_permitted_inheritable.as_ptr(),
            )
        };
        assert_eq!((read, written), (0, 0));
        test();
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}
