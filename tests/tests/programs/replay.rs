//! A replay of packets that no network has ever seen: the kernel takes every one for a test run, and loses none.

use std::path::Path;

use anycast_ebpf::layout::Unclassified;
use anycast_tests::capture::Pcap;
use anycast_user::{
    config::Config,
    replay::{self, Outcome},
};

use crate::{
    differential::{mutate, shapes},
    frames::{ANSWER, Egress, FAMILIES, Family, Ingress, QUERY},
    node::Node,
};

const FRAMES: usize = 20_000;
const SEED: u64 = 53;
/// Of the kinds that [`Pcap::new`] takes: Ethernet, raw IP, loopback, Linux cooked.
const LINK_TYPES: [u32; 8] = [1, 101, 228, 229, 0, 108, 113, 276];

/// The services of [`services`](crate::node::services) that the packets here are for.
const SERVICES: &str = r#"
[[link]]
name = "anycast0"
[[link.service]]
name = "dns"
protocol = "dns-udp"
port = 53
addresses = ["192.0.2.53", "2001:db8:53::53"]
"#;

fn replay(capture: &Pcap) -> Outcome {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), capture.bytes()).expect("a capture");
    let config = Config::parse(SERVICES, Path::new("replay.toml")).expect("a configuration");
    let input = file.reopen().expect("the capture");
    replay::run(file.path(), input, 0, &config).expect("a replay")
}

#[test]
fn any_packet_is_taken() {
    if Node::shared().is_none() {
        return;
    }
    let shapes = shapes();
    let mut random = fastrand::Rng::with_seed(SEED);
    for link_type in LINK_TYPES {
        let mut capture = Pcap::new(link_type);
        for number in 0..FRAMES {
            let mut frame = shapes[number % shapes.len()].frame.clone();
            mutate(&mut random, &mut frame);
            // Most of these are of addresses only with their own header, so half of them lose it.
            let skipped = if random.bool() {
                0
            } else {
                random.usize(0..=14.min(frame.len()))
            };
            let captured = match random.u8(0..4) {
                0 => random.usize(skipped..=frame.len()),
                1 => {
                    frame.resize(random.usize(frame.len()..5000), 0);
                    frame.len()
                }
                _ => frame.len(),
            };
            capture.push(&frame[skipped..captured.max(skipped)]);
        }
        assert_eq!(
            replay(&capture).packets,
            FRAMES as u64,
            "seed {SEED}, link type {link_type}"
        );
    }
}

#[test]
fn packets_of_any_length_are_counted() {
    if Node::shared().is_none() {
        return;
    }
    let mut capture = Pcap::new(Pcap::ETHERNET);
    let lengths = [0, 500, 1472, 2000, 4000, 9000, 60_000];
    for length in lengths {
        let with_header = |header: &[u8]| [header, &vec![0; length]].concat();
        for family in FAMILIES {
            capture.push(&family.frame(&family.udp(Ingress, 53, &with_header(&QUERY))));
            capture.push(&family.frame(&family.udp(Egress, 53, &with_header(&ANSWER))));
        }
    }
    for length in 0..14 {
        capture.push(&Family::V4.query()[..length]);
    }
    let outcome = replay(&capture);
    assert_eq!((outcome.packets, outcome.other), (4 * 7 + 14, 14));
    for service in &outcome.services {
        let counted = &service.counted;
        assert_eq!((counted.queries, counted.answers), (7, 7));
        assert_eq!((counted.packets_in, counted.packets_out), (7, 7));
    }
    let mut unclassified = [0; 4];
    unclassified[Unclassified::Truncated as usize] = 14;
    assert_eq!(outcome.unclassified, unclassified);
}
