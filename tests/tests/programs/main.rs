//! Crafted packets through the loaded programs, by `BPF_PROG_TEST_RUN`: each is passed unchanged and counted as the
//! library on the host would count it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails the test"
)]

mod differential;
mod frames;
mod replay;
mod survival;

use anycast_ebpf::{classify::Classifier, layout::UNCLASSIFIED_NAMES};
use anycast_user::datapath::{Datapath, LoadSettings, Reading, Service};
use etherparse::{PacketBuilder, SingleVlanHeader, VlanId};
use frames::*;

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
    let twice = vec![Service::new(SERVICE, 53, Classifier::DnsUdp); 2];
    if load().is_some() {
        assert!(Datapath::load(&twice, &LoadSettings::default()).is_err());
    }
}
