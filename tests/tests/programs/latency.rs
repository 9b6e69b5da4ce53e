//! Sampled transactions and followed exchanges, against the clock of the kernel.

use std::time::Instant;

use anycast_ebpf::{classify::Classifier, latency::bucket_start};

use crate::{
    frames::{ACK, ANSWER, Egress, FAMILIES, Family, Ingress, QUERY},
    hooks::{Hook, Programs},
    node::{Node, Samples, dns, place, services, settings},
};

/// With another DNS ID.
fn with_id(mut message: [u8; 12], id: u16) -> [u8; 12] {
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

/// A query, from a port of its own.
fn asks(programs: &mut Programs, family: Family, id: u16) {
    let packet = family.udp_of(port(id), Ingress, 53, &with_id(QUERY, id));
    programs.pass(Hook::XdpIngress, &family.frame(&packet));
}

/// Spread, as what is chosen of neighbours may be more or less than of others.
const fn port(id: u16) -> u16 {
    id.wrapping_mul(0x9e37)
}

fn answers(programs: &mut Programs, family: Family, id: u16) {
    let packet = family.udp_of(port(id), Egress, 53, &with_id(ANSWER, id));
    programs.pass(Hook::TcEgress, &family.frame(&packet));
}

#[test]
fn transactions_are_sampled_and_timed() {
    let Some(mut node) = Node::load(&services(), &settings()) else {
        return;
    };
    node.datapath.sample_rate().set(0);
    let bank = node.datapath.bank();
    for family in FAMILIES {
        let start = Instant::now();
        asks(&mut node.programs, family, 1);
        asks(&mut node.programs, family, 1);
        answers(&mut node.programs, family, 1);
        let longest = start.elapsed();
        answers(&mut node.programs, family, 1);
        answers(&mut node.programs, family, 2);
        asks(&mut node.programs, family, 3);
        let latency = bank.latency(dns(family));
        let expected = Samples {
            answered: 1,
            sampled: 2,
            mismatched: 2,
            ..Samples::default()
        };
        assert_eq!(Samples::from(&latency), expected, "{family:?}");
        let bucket = latency.buckets.iter().position(|&count| count != 0).expect("one");
        assert!(u128::from(bucket_start(bucket)) <= longest.as_nanos(), "{bucket}");
        // Or it might have the slot of one that comes later.
        answers(&mut node.programs, family, 3);
    }
    // Over TCP every exchange is timed.
    for family in FAMILIES {
        let request = family.tcp(Ingress, 853, ACK, b"request");
        let response = family.tcp(Egress, 853, ACK, b"response");
        node.programs.pass(Hook::XdpIngress, &family.frame(&request));
        node.programs.pass(Hook::TcEgress, &family.frame(&response));
        let expected = Samples {
            answered: 1,
            sampled: 1,
            ..Samples::default()
        };
        let service = place(family, Classifier::Tcp, 853);
        assert_eq!(Samples::from(&bank.latency(service)), expected, "{family:?}");
    }
}

#[test]
fn so_many_are_sampled_as_is_asked_for() {
    const TRANSACTIONS: u16 = 8192;
    let Some(mut node) = Node::load(&services(), &settings()) else {
        return;
    };
    let bank = node.datapath.bank();
    let mut before = 0;
    for exponent in [1, 3, 31] {
        node.datapath.sample_rate().set(exponent);
        for id in 0..TRANSACTIONS {
            asks(&mut node.programs, Family::V4, id);
            answers(&mut node.programs, Family::V4, id);
        }
        let samples = Samples::from(&bank.latency(dns(Family::V4)));
        let expected = Samples {
            answered: samples.sampled,
            sampled: samples.sampled,
            ..Samples::default()
        };
        assert_eq!(samples, expected, "an answer is sampled if its query was");
        let chosen = samples.sampled - before;
        before = samples.sampled;
        let wanted = u64::from(TRANSACTIONS) >> exponent;
        assert!(
            chosen.abs_diff(wanted) <= wanted / 4 + 1,
            "{chosen} of {TRANSACTIONS}, not {wanted}"
        );
    }
    let reading = bank.read(dns(Family::V4));
    assert_eq!((reading.queries, reading.answers), (3 * 8192, 3 * 8192));
}
