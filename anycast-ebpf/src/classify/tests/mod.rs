//! Packets as they are seen on the wire, each through the classifier of its service.

extern crate std;
use std::{collections::BTreeSet, vec, vec::Vec};

mod datagrams;

use super::*;
use crate::{
    packet::{self, Followed},
    testing::{Egress, Family, Ingress, ethernet},
};

/// What `classifier` makes of a datagram between a client and the service.
fn read(classifier: Classifier, direction: Direction, payload: &[u8]) -> Result<Message, Unclassified> {
    let [of_v4, of_v6] = Family::ALL.map(|family| {
        let frame = family.frame(&family.udp(direction, 123, payload));
        let Ok(Followed::Flow(flow)) = packet::follow(&&*frame, ethernet(direction)) else {
            panic!("a datagram")
        };
        message(classifier as u16, &&*frame, &flow, direction)
    });
    assert_eq!(of_v4, of_v6);
    of_v4
}

#[test]
fn names_and_numbers_are_unique() {
    let names: BTreeSet<&str> = Classifier::ALL.iter().map(|classifier| classifier.name()).collect();
    let numbers: BTreeSet<u16> = Classifier::ALL.iter().map(|&classifier| classifier as u16).collect();
    assert_eq!(names.len(), Classifier::ALL.len());
    assert_eq!(numbers.len(), Classifier::ALL.len());
    assert!(!numbers.contains(&0), "an empty slot of the service table has it");
}

#[test]
fn a_classifier_is_found_by_its_name() {
    for &classifier in Classifier::ALL {
        assert_eq!(Classifier::from_name(classifier.name()), Some(classifier));
    }
    for name in ["", "dns", "DNS-UDP", "tcp ", "udp-one-way-street"] {
        assert_eq!(Classifier::from_name(name), None, "{name:?}");
    }
}

#[test]
fn names_are_those_of_the_configuration() {
    let names: Vec<&str> = Classifier::ALL.iter().map(|classifier| classifier.name()).collect();
    assert_eq!(
        names,
        [
            "dns-udp",
            "ntp",
            "quic",
            "wireguard",
            "ike",
            "ike-nat-traversal",
            "udp",
            "udp-one-way",
            "tcp",
            "tcp-server-first"
        ]
    );
}

#[test]
fn tcp_is_tcp_and_the_rest_is_udp() {
    for &classifier in Classifier::ALL {
        let is_tcp = classifier.name().starts_with("tcp");
        assert_eq!(
            classifier.protocol(),
            if is_tcp { PROTOCOL_TCP } else { PROTOCOL_UDP },
            "{classifier:?}"
        );
        assert_eq!(classifier.is_one_way(), classifier == Classifier::UdpOneWay);
        assert_eq!(
            server_speaks_first(classifier as u16),
            classifier == Classifier::TcpServerFirst
        );
    }
}

#[test]
fn what_no_classifier_has_says_nothing() {
    let unknown = (0..=u16::MAX).filter(|number| !Classifier::ALL.iter().any(|&known| known as u16 == *number));
    let frame = Family::V4.frame(&Family::V4.udp(Ingress, 53, &[0; 64]));
    let Ok(Followed::Flow(flow)) = packet::follow(&&*frame, ethernet(Ingress)) else {
        panic!("a datagram")
    };
    for number in unknown {
        assert_eq!(
            message(number, &&*frame, &flow, Ingress),
            Ok(Message::Other),
            "{number}"
        );
        assert!(!server_speaks_first(number), "{number}");
    }
}

#[test]
fn ra_z_ad_and_cd_are_not_part_of_the_rcode() {
    assert_eq!(rcode(0xf0), 0);
    assert_eq!(rcode(0x85), 5);
    assert_eq!(rcode(0xff), 15);
}

/// What every classifier does with what is too short for it, whatever pads its frame.
#[test]
fn a_payload_too_short_is_truncated() {
    for (classifier, least) in [
        (Classifier::DnsUdp, 12),
        (Classifier::Ntp, 48),
        (Classifier::Quic, 5),
        (Classifier::WireGuard, 12),
        (Classifier::Ike, 28),
        (Classifier::IkeNatTraversal, 32),
    ] {
        for direction in [Ingress, Egress] {
            let payload = vec![0; least];
            for length in 0..least {
                let frame = Family::V4.udp(direction, 53, &payload[..length]);
                let mut padded = Family::V4.frame(&frame);
                padded.resize(200, 0);
                let cut = Family::V4.udp(direction, 53, &payload);
                let cut = &Family::V4.frame(&cut)[..42 + length];
                for frame in [&*padded, cut] {
                    let Ok(Followed::Flow(flow)) = packet::follow(&frame, ethernet(direction)) else {
                        panic!("a datagram")
                    };
                    assert_eq!(
                        message(classifier as u16, &frame, &flow, direction),
                        Err(Unclassified::Truncated),
                        "{classifier:?} {length}"
                    );
                }
            }
            assert!(read(classifier, direction, &payload).is_ok(), "{classifier:?}");
        }
    }
}
