//! Crafted packets through the loaded programs, by `BPF_PROG_TEST_RUN`: each is passed unchanged and counted as the
//! library on the host would count it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails the test"
)]

use std::net::IpAddr;

use anycast_ebpf::layout::{UNCLASSIFIED_NAMES, UNCLASSIFIED_REASONS};
use anycast_tests::prerequisite;
use anycast_user::datapath::{Datapath, Reading, Service};
use aya::programs::{Program, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};
use etherparse::{IpFragOffset, PacketBuilder, SingleVlanHeader, VlanId};

const CLIENT: [u8; 4] = [198, 51, 100, 7];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const SERVICE: [u8; 4] = [192, 0, 2, 53];
const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

/// Index of the IPv4 service in [`services`].
const V4: usize = 0;
/// Index of the IPv6 service in [`services`].
const V6: usize = 1;

const XDP_PASS: u32 = 2;
/// `TC_ACT_UNSPEC` and `TCX_NEXT`.
const TC_NEXT: u32 = u32::MAX;

const QUERY: [u8; 12] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
const ANSWER: [u8; 12] = [0x12, 0x34, 0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0];
const SERVFAIL_TRUNCATED: [u8; 12] = [0x12, 0x34, 0x82, 0x02, 0, 1, 0, 0, 0, 0, 0, 0];

fn services() -> Vec<Service> {
    vec![
        Service {
            address: IpAddr::from(SERVICE),
            port: 53,
        },
        Service {
            address: IpAddr::from(SERVICE_V6),
            port: 53,
        },
        // Others in the table, so that a hit is a choice.
        Service {
            address: IpAddr::from(SERVICE),
            port: 5353,
        },
        Service {
            address: "192.0.2.54".parse().unwrap(),
            port: 53,
        },
    ]
}

/// The loaded programs, or `None` where they can't be: said on stderr, a failure where everything is required.
fn load() -> Option<Datapath> {
    prerequisite("programs", Datapath::load(&services()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    XdpIngress,
    TcIngress,
    TcEgress,
}

const INGRESS: [Hook; 2] = [Hook::XdpIngress, Hook::TcIngress];
const ALL: [Hook; 3] = [Hook::XdpIngress, Hook::TcIngress, Hook::TcEgress];

fn run(datapath: &mut Datapath, hook: Hook, frame: &[u8], context: Option<&[u8]>) -> (TestRunResult, Vec<u8>) {
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
fn is_runnable(hook: Hook, frame: &[u8]) -> bool {
    let least = match (hook, frame.get(12..14)) {
        (Hook::TcIngress | Hook::TcEgress, Some([0x08, 0x00])) => 14 + 20,
        (Hook::TcIngress | Hook::TcEgress, Some([0x86, 0xdd])) => 14 + 40,
        _ => 14,
    };
    frame.len() >= least
}

/// Runs a frame and checks what must hold for every one: passed, and not a byte changed.
fn pass(datapath: &mut Datapath, hook: Hook, frame: &[u8]) {
    let (result, out) = run(datapath, hook, frame, None);
    let verdict = if hook == Hook::XdpIngress { XDP_PASS } else { TC_NEXT };
    assert_eq!(result.return_value, verdict, "{hook:?} must pass {frame:02x?}");
    assert_eq!(out, frame, "{hook:?} must not change a byte");
}

/// What `hook` adds to the counters of a service.
fn counted(datapath: &mut Datapath, hook: Hook, service: usize, frame: &[u8]) -> Reading {
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
    }
}

/// All counters of all services and reasons.
fn everything(datapath: &Datapath) -> (Vec<Reading>, [u64; UNCLASSIFIED_REASONS]) {
    let bank = datapath.bank();
    (
        (0..bank.services()).map(|service| bank.read(service)).collect(),
        bank.unclassified(),
    )
}

fn query() -> Reading {
    Reading {
        queries: 1,
        packets_in: 1,
        ..Reading::default()
    }
}

fn answer(response: usize, truncated: bool) -> Reading {
    let mut reading = Reading {
        answers: 1,
        packets_out: 1,
        truncated: truncated.into(),
        ..Reading::default()
    };
    reading.responses[response] = 1;
    reading
}

fn v4(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, payload)
        .expect("a frame");
    frame
}

fn v6(source: [u8; 16], destination: [u8; 16], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, payload)
        .expect("a frame");
    frame
}

fn query_v4() -> Vec<u8> {
    v4(CLIENT, SERVICE, (40000, 53), &QUERY)
}

fn query_v6() -> Vec<u8> {
    v6(CLIENT_V6, SERVICE_V6, (40000, 53), &QUERY)
}

#[test]
fn queries_are_counted_for_their_service_on_either_ingress_hook() {
    let Some(mut datapath) = load() else { return };
    for hook in INGRESS {
        assert_eq!(counted(&mut datapath, hook, V4, &query_v4()), query(), "{hook:?}");
        assert_eq!(counted(&mut datapath, hook, V6, &query_v6()), query(), "{hook:?}");
    }
}

#[test]
fn answers_are_counted_by_rcode_and_truncation() {
    let Some(mut datapath) = load() else { return };
    let frame = v4(SERVICE, CLIENT, (53, 40000), &ANSWER);
    assert_eq!(counted(&mut datapath, Hook::TcEgress, V4, &frame), answer(0, false));
    let frame = v6(SERVICE_V6, CLIENT_V6, (53, 40000), &SERVFAIL_TRUNCATED);
    assert_eq!(counted(&mut datapath, Hook::TcEgress, V6, &frame), answer(2, true));
}

#[test]
fn an_answer_that_comes_in_or_a_query_that_goes_out_is_only_a_packet() {
    let Some(mut datapath) = load() else { return };
    let frame = v4(CLIENT, SERVICE, (40000, 53), &ANSWER);
    let packet_in = Reading {
        packets_in: 1,
        ..Reading::default()
    };
    assert_eq!(counted(&mut datapath, Hook::XdpIngress, V4, &frame), packet_in);
    let frame = v4(SERVICE, CLIENT, (53, 40000), &QUERY);
    let packet_out = Reading {
        packets_out: 1,
        ..Reading::default()
    };
    assert_eq!(counted(&mut datapath, Hook::TcEgress, V4, &frame), packet_out);
}

#[test]
fn an_answer_that_is_only_forwarded_is_not_counted() {
    let Some(mut datapath) = load() else { return };
    let before = everything(&datapath);
    let frame = v4(SERVICE, CLIENT, (53, 40000), &ANSWER);
    // `struct __sk_buff`: ingress_ifindex is its tenth word; 1 is the loopback, which every namespace has.
    let mut context = [0_u8; 192];
    context[36..40].copy_from_slice(&1_u32.to_ne_bytes());
    let (result, out) = run(&mut datapath, Hook::TcEgress, &frame, Some(&context));
    assert_eq!((result.return_value, out), (TC_NEXT, frame));
    assert_eq!(everything(&datapath), before);
}

#[test]
fn tags_options_and_first_fragments_are_followed() {
    let Some(mut datapath) = load() else { return };
    let tag = |id: u16| SingleVlanHeader {
        vlan_id: VlanId::try_new(id).expect("an ID"),
        ..Default::default()
    };
    let mut tagged = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .single_vlan(tag(5).vlan_id)
        .ipv4(CLIENT, SERVICE, 64)
        .udp(40000, 53)
        .write(&mut tagged, &QUERY)
        .expect("a frame");
    let mut double = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .double_vlan(tag(5).vlan_id, tag(6).vlan_id)
        .ipv6(CLIENT_V6, SERVICE_V6, 64)
        .udp(40000, 53)
        .write(&mut double, &QUERY)
        .expect("a frame");
    let mut options = query_v4();
    options[14] = 0x46;
    options.splice(34..34, [1, 1, 1, 1]);
    let mut first_fragment = query_v4();
    first_fragment[20] = 0x20;
    let mut extension = query_v6();
    extension[20] = 60;
    extension.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
    for hook in INGRESS {
        for (service, frame) in [
            (V4, &tagged),
            (V6, &double),
            (V4, &options),
            (V4, &first_fragment),
            (V6, &extension),
        ] {
            assert_eq!(
                counted(&mut datapath, hook, service, frame),
                query(),
                "{hook:?} {frame:02x?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_followed_is_counted_by_its_reason() {
    let Some(mut datapath) = load() else { return };
    let mut later = query_v4();
    later[21] = 1;
    assert_ne!(IpFragOffset::ZERO.value(), 1, "the frame's offset is a later one");
    let mut malformed = query_v4();
    malformed[14] = 0x44;
    let mut deep = query_v4();
    for _ in 0..3 {
        deep.splice(12..12, [0x81, 0, 0, 5]);
    }
    let truncated = &query_v4()[..40];
    let short_message = v4(CLIENT, SERVICE, (40000, 53), &QUERY[..11]);
    let cases: [(&str, &[u8]); 5] = [
        ("later-fragment", &later),
        ("malformed", &malformed),
        ("too-deep", &deep),
        ("truncated", truncated),
        ("truncated", &short_message),
    ];
    for hook in ALL {
        for (name, frame) in cases {
            if hook == Hook::TcEgress && frame == short_message {
                continue; // Its source is no service.
            }
            let before = everything(&datapath).1;
            pass(&mut datapath, hook, frame);
            let after = everything(&datapath).1;
            let grown: Vec<_> = UNCLASSIFIED_NAMES
                .iter()
                .zip(before.iter().zip(after))
                .filter(|(_, (before, after))| *before != after)
                .map(|(name, _)| *name)
                .collect();
            assert_eq!(grown, [name], "{hook:?}");
        }
    }
}

#[test]
fn what_is_not_of_a_service_changes_nothing() {
    let Some(mut datapath) = load() else { return };
    let mut tcp = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(CLIENT, SERVICE, 64)
        .tcp(40000, 53, 1, 1000)
        .write(&mut tcp, &QUERY)
        .expect("a frame");
    let mut arp = vec![2; 42];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let strangers = [
        v4(CLIENT, [192, 0, 2, 55], (40000, 53), &QUERY),
        v4(CLIENT, SERVICE, (40000, 54), &QUERY),
        v6(CLIENT_V6, CLIENT_V6, (40000, 53), &QUERY),
        tcp,
        arp,
    ];
    let before = everything(&datapath);
    for hook in ALL {
        for frame in &strangers {
            pass(&mut datapath, hook, frame);
        }
    }
    assert_eq!(everything(&datapath), before);
}

#[test]
fn a_frame_cut_or_changed_anywhere_is_passed_unchanged() {
    let Some(mut datapath) = load() else { return };
    for frame in [query_v4(), query_v6()] {
        for length in 14..frame.len() {
            for hook in ALL {
                if is_runnable(hook, &frame[..length]) {
                    pass(&mut datapath, hook, &frame[..length]);
                }
            }
        }
        for position in 0..frame.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut changed = frame.clone();
                changed[position] = value;
                for hook in ALL {
                    if is_runnable(hook, &changed) {
                        pass(&mut datapath, hook, &changed);
                    }
                }
            }
        }
    }
}

#[test]
fn the_self_test_finds_every_service_and_counts_nothing() {
    let Some(mut datapath) = load() else { return };
    let before = everything(&datapath);
    datapath.self_test(&services()).expect("all services found");
    assert_eq!(everything(&datapath), before);
    let mut wrong = services();
    wrong.swap(0, 1);
    assert!(datapath.self_test(&wrong).is_err(), "services at each other's place");
}

#[test]
fn a_service_twice_is_refused() {
    let twice = vec![
        Service {
            address: IpAddr::from(SERVICE),
            port: 53
        };
        2
    ];
    if load().is_some() {
        assert!(Datapath::load(&twice).is_err());
    }
}
