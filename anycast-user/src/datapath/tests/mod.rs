//! Programs that outlive the process that attached them, in a network namespace and on a bpffs made for each test.

mod changes;
mod cleaning;
mod survival;

use std::{
    io::{Write as _, stderr},
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anycast_ebpf::classify::Classifier;
use aya::programs::SchedClassifier;
use etherparse::PacketBuilder;
use nix::libc;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::{
    Attached, BASELINE_XDP, Bank, Datapath, DatapathError, EgressHook, HookPoint, Instance, LoadSettings, Pins,
    PinsError, Reading, Service, bpf::KernelLink, hold::tc_side, inventory,
};
use crate::{
    config::Hook,
    net::{
        Link, Side,
        testing::{Namespace, in_namespace_with_bpffs},
    },
};

const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const QUERY: [u8; 12] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const ANSWER: [u8; 12] = [0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];
/// Ample for a packet to be counted.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node with one uplink and a bpffs.
struct Node<'a> {
    namespace: &'a mut Namespace,
    bpffs: &'a Path,
    uplink: Link,
    peer: Link,
    /// As if the kernel had no TCX.
    without_tcx: bool,
}

/// Runs `test` with TCX and as if the kernel had none.
fn on_a_node(test: impl Fn(&mut Node<'_>) + Sync) {
    match load_private() {
        Err(DatapathError::NotBuilt | DatapathError::NotPermitted) => {
            let required = std::env::var_os("ANYCAST_PROBE_REQUIRE_ALL").is_some_and(|value| value == "1");
            assert!(!required, "the kernel programs can't be loaded");
            let _ = stderr().write_all(b"SKIPPED: the kernel programs can't be loaded\n");
            return;
        }
        loaded => drop(loaded.unwrap()),
    }
    for without_tcx in [false, true] {
        in_namespace_with_bpffs(|namespace, bpffs| {
            let (uplink, peer) = namespace.add_wire("up0");
            keep_capabilities_of_the_unit();
            test(&mut Node {
                namespace,
                bpffs,
                uplink,
                peer,
                without_tcx,
            });
        });
    }
}

/// Gives up, for this thread, what the daemon's unit doesn't have: the kernel asks for more than one would think.
fn keep_capabilities_of_the_unit() {
    let of_the_unit = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
    // For the frames that a test sends.
    let kept = of_the_unit | CapabilitySet::NET_RAW;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).unwrap();
}

fn services() -> Vec<Service> {
    vec![Service::new(SERVICE, 53, Classifier::DnsUdp)]
}

fn load_private() -> Result<Datapath, DatapathError> {
    Datapath::load(&services(), &LoadSettings::default())
}

impl Datapath {
    /// Leaves XDP alone.
    fn detach_tc(&mut self, index: crate::net::LinkIndex) {
        for point in [HookPoint::TcIngress, HookPoint::TcEgress] {
            self.hooks.detach(index, point).unwrap();
        }
    }
}

impl Node<'_> {
    fn instance() -> Instance {
        Instance::here("anycast0").unwrap()
    }

    fn pins(&self) -> Result<Pins, PinsError> {
        Pins::open(self.bpffs, Self::instance())
    }

    /// What a daemon does when it starts, up to attaching.
    fn load(&self) -> Datapath {
        let mut datapath =
            Datapath::load_pinned(&services(), &LoadSettings::default(), Some(self.pins().unwrap())).unwrap();
        datapath.hooks.without_tcx = self.without_tcx;
        datapath
    }

    /// What a daemon does when it starts.
    fn start(&mut self, hook: Hook) -> (Datapath, Attached) {
        let mut datapath = self.load();
        let attached = self.attach(&mut datapath, hook);
        datapath.keep().unwrap();
        (datapath, attached)
    }

    fn attach(&mut self, datapath: &mut Datapath, hook: Hook) -> Attached {
        self.uplink = self.namespace.netlink().link("up0").unwrap();
        datapath.attach(&self.uplink, hook, true).unwrap()
    }

    /// The uplink as it is now.
    fn now(&mut self) -> Link {
        self.namespace.netlink().link("up0").unwrap()
    }

    /// How many programs are on the tc hooks of the uplink, whoever put them there.
    fn programs_of_tc(&mut self) -> usize {
        let index = self.now().index;
        let sides = [Side::Ingress, Side::Egress];
        let filters = sides.map(|side| self.namespace.netlink().filters(index, side).unwrap().len());
        let links = sides.map(|side| SchedClassifier::query_tcx("up0", tc_side(side)).unwrap().1.len());
        filters.into_iter().chain(links).sum()
    }

    /// A query that arrives, and an answer that leaves.
    fn traffic(&self) {
        send(&self.peer, &frame(CLIENT, SERVICE, (40000, 53), &QUERY));
        send(&self.uplink, &frame(SERVICE, CLIENT, (53, 40000), &ANSWER));
    }

    /// Where programs of ours are, by what the kernel says: `up0 ingress xdp`, sorted.
    fn attachments(&self) -> Vec<String> {
        let found = inventory(self.bpffs).unwrap();
        let mut attachments: Vec<_> = found.iter().flat_map(|instance| &instance.attachments).collect();
        attachments.sort_by_key(|attachment| (attachment.interface, std::cmp::Reverse(attachment.direction)));
        attachments
            .into_iter()
            .map(|attachment| {
                assert!(attachment.program.id > 0, "{attachment:?}");
                let uplink = attachment.uplink.as_deref().unwrap_or("?");
                format!("{uplink} {} {}", attachment.direction, attachment.hook)
            })
            .collect()
    }

    /// What [`Node::attachments`] says of an uplink that is watched by `hook`.
    fn watched_by(&self, hook: Hook) -> Vec<String> {
        let tc = if self.without_tcx { "clsact" } else { "tcx" };
        let ingress = match hook {
            Hook::Auto | Hook::Xdp => "xdp",
            Hook::XdpGeneric => "xdp-generic",
            Hook::Tc => tc,
        };
        vec![format!("up0 ingress {ingress}"), format!("up0 egress {tc}")]
    }
}

/// Waits until `count` queries and answers have been counted, and makes sure that none is counted twice.
fn wait_for(bank: &Bank, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    while bank.read(0).queries < count || bank.read(0).answers < count {
        assert!(Instant::now() < deadline, "{:?} of {count}", bank.read(0));
        std::thread::yield_now();
    }
    let Reading { queries, answers, .. } = bank.read(0);
    assert_eq!((queries, answers), (count, count));
}

fn frame(source: Ipv4Addr, destination: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source.octets(), destination.octets(), 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

/// Sends a frame out of `link` of this namespace.
fn send(link: &Link, frame: &[u8]) {
    // SAFETY: opens a socket; its descriptor is closed below.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    assert!(socket >= 0);
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
    address.sll_ifindex = link.index.0.cast_signed();
    // SAFETY: frame and address have the lengths that are told, and outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket,
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    assert_eq!(sent, frame.len().cast_signed(), "{}", std::io::Error::last_os_error());
    // SAFETY: it is open, and nobody else's.
    unsafe { libc::close(socket) };
}
