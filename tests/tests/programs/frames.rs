//! Frames, and what carries them through the loaded programs.

use anycast_ebpf::{classify::Classifier, layout::UNCLASSIFIED_REASONS};
use anycast_tests::prerequisite;
use anycast_user::datapath::{Datapath, LoadSettings, Reading, Service};
use aya::programs::{Program, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};
use etherparse::PacketBuilder;

pub(crate) const CLIENT: [u8; 4] = [198, 51, 100, 7];
pub(crate) const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
pub(crate) const SERVICE: [u8; 4] = [192, 0, 2, 53];
pub(crate) const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

/// Index of the IPv4 service in [`services`].
pub(crate) const V4: usize = 0;
/// Index of the IPv6 service in [`services`].
pub(crate) const V6: usize = 1;

pub(crate) const XDP_PASS: u32 = 2;
/// `TC_ACT_UNSPEC` and `TCX_NEXT`.
pub(crate) const TC_NEXT: u32 = u32::MAX;

pub(crate) const QUERY: [u8; 12] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
pub(crate) const ANSWER: [u8; 12] = [0x12, 0x34, 0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0];
pub(crate) const SERVFAIL_TRUNCATED: [u8; 12] = [0x12, 0x34, 0x82, 0x02, 0, 1, 0, 0, 0, 0, 0, 0];

pub(crate) fn services() -> Vec<Service> {
    vec![
        Service::new(SERVICE, 53, Classifier::DnsUdp),
        Service::new(SERVICE_V6, 53, Classifier::DnsUdp),
        // Others in the table, so that a hit is a choice.
        Service::new(SERVICE, 5353, Classifier::DnsUdp),
        Service::new([192, 0, 2, 54], 53, Classifier::DnsUdp),
    ]
}

/// The loaded programs, or `None` where they can't be: said on stderr, a failure where everything is required.
pub(crate) fn load() -> Option<Datapath> {
    prerequisite("programs", Datapath::load(&services(), &LoadSettings::default()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    XdpIngress,
    TcIngress,
    TcEgress,
}

pub(crate) const INGRESS: [Hook; 2] = [Hook::XdpIngress, Hook::TcIngress];
pub(crate) const ALL: [Hook; 3] = [Hook::XdpIngress, Hook::TcIngress, Hook::TcEgress];

pub(crate) fn run(
    datapath: &mut Datapath,
    hook: Hook,
    frame: &[u8],
    context: Option<&[u8]>,
) -> (TestRunResult, Vec<u8>) {
    let mut out = vec![0; frame.len() + 64];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: context,
        ..Default::default()
    };
    let name = match hook {
        Hook::XdpIngress => "ingress_xdp",
        Hook::TcIngress => "ingress_tc",
        Hook::TcEgress => "egress_tc",
    };
    let program: &mut Program = datapath.ebpf_mut().program_mut(name).expect("the program");
    let result = match hook {
        Hook::XdpIngress => <&mut Xdp>::try_from(program).expect("XDP").test_run(options),
        Hook::TcIngress | Hook::TcEgress => <&mut SchedClassifier>::try_from(program).expect("tc").test_run(options),
    }
    .expect("a test run");
    out.truncate(result.data_size_out as usize);
    (result, out)
}

/// Whether the kernel takes a frame for a test run: XDP wants an Ethernet header (as drivers do), tc the fixed IP header
/// too where the frame claims to have one.
pub(crate) fn is_runnable(hook: Hook, frame: &[u8]) -> bool {
    let least = match (hook, frame.get(12..14)) {
        (Hook::TcIngress | Hook::TcEgress, Some([0x08, 0x00])) => 14 + 20,
        (Hook::TcIngress | Hook::TcEgress, Some([0x86, 0xdd])) => 14 + 40,
        _ => 14,
    };
    frame.len() >= least
}

/// Runs a frame and checks what must hold for every one: passed, and not a byte changed.
pub(crate) fn pass(datapath: &mut Datapath, hook: Hook, frame: &[u8]) {
    let (result, out) = run(datapath, hook, frame, None);
    let verdict = if hook == Hook::XdpIngress { XDP_PASS } else { TC_NEXT };
    assert_eq!(result.return_value, verdict, "{hook:?} must pass {frame:02x?}");
    assert_eq!(out, frame, "{hook:?} must not change a byte");
}

/// What `hook` adds to the counters of a service.
pub(crate) fn counted(datapath: &mut Datapath, hook: Hook, service: usize, frame: &[u8]) -> Reading {
    let bank = datapath.bank();
    let before = bank.read(service);
    pass(datapath, hook, frame);
    let after = bank.read(service);
    let mut responses = after.responses;
    for (response, before) in responses.iter_mut().zip(before.responses) {
        *response -= before;
    }
    Reading {
        queries: after.queries - before.queries,
        answers: after.answers - before.answers,
        packets_in: after.packets_in - before.packets_in,
        packets_out: after.packets_out - before.packets_out,
        truncated: after.truncated - before.truncated,
        responses,
        hints: after.hints - before.hints,
        local_sources: after.local_sources - before.local_sources,
    }
}

/// All counters of all services and reasons.
pub(crate) fn everything(datapath: &Datapath) -> (Vec<Reading>, [u64; UNCLASSIFIED_REASONS]) {
    let bank = datapath.bank();
    (
        (0..bank.services()).map(|service| bank.read(service)).collect(),
        bank.unclassified(),
    )
}

pub(crate) fn query() -> Reading {
    Reading {
        queries: 1,
        packets_in: 1,
        ..Reading::default()
    }
}

pub(crate) fn answer(response: usize, truncated: bool) -> Reading {
    let mut reading = Reading {
        answers: 1,
        packets_out: 1,
        truncated: truncated.into(),
        ..Reading::default()
    };
    reading.responses[response] = 1;
    reading
}

pub(crate) fn v4(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, payload)
        .expect("a frame");
    frame
}

pub(crate) fn v6(source: [u8; 16], destination: [u8; 16], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, payload)
        .expect("a frame");
    frame
}

pub(crate) fn query_v4() -> Vec<u8> {
    v4(CLIENT, SERVICE, (40000, 53), &QUERY)
}

pub(crate) fn query_v6() -> Vec<u8> {
    v6(CLIENT_V6, SERVICE_V6, (40000, 53), &QUERY)
}
