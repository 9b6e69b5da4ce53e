use super::*;
use crate::testing::{ACK, Ingress, QUERY, set_ipv4_length, with_extensions, with_options};

const HOP_BY_HOP: (u8, &[u8]) = (0, &[0, 1, 4, 0, 0, 0, 0]);
const ROUTING: (u8, &[u8]) = (43, &[0, 0, 0, 0, 0, 0, 0]);
const DESTINATION: (u8, &[u8]) = (60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const FIRST_FRAGMENT: (u8, &[u8]) = (44, &[0, 0, 1, 0, 0, 0, 1]);
const LATER_FRAGMENT: (u8, &[u8]) = (44, &[0, 0, 8, 0, 0, 0, 1]);

fn query(family: Family) -> Vec<u8> {
    family.udp(Ingress, 53, &QUERY)
}

fn frame_of(family: Family, ip: &[u8]) -> Found {
    arriving(&family.frame(ip))
}

#[test]
fn ipv4_options_are_skipped() {
    for words in 1..=10 {
        let packet = with_options(&query(Family::V4), &vec![1; words * 4]);
        assert_eq!(
            frame_of(Family::V4, &packet),
            dns(Family::V4, 34 + words * 4, &QUERY),
            "{words} words"
        );
    }
}

#[test]
fn ipv4_headers_that_contradict_themselves_are_malformed() {
    for first in [0x44, 0x40, 0x55, 0x05] {
        let mut packet = query(Family::V4);
        packet[0] = first;
        assert_eq!(
            frame_of(Family::V4, &packet),
            Err(Unclassified::Malformed),
            "first byte {first:x}"
        );
    }
    for length in [1_u16, 19] {
        let mut packet = query(Family::V4);
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(
            frame_of(Family::V4, &packet),
            Err(Unclassified::Malformed),
            "length {length}"
        );
    }
    let mut packet = with_options(&query(Family::V4), &[1; 4]);
    packet[2..4].copy_from_slice(&[0, 23]);
    assert_eq!(
        frame_of(Family::V4, &packet),
        Err(Unclassified::Malformed),
        "less than its options"
    );
}

#[test]
fn later_fragments_have_no_ports() {
    let with_fragment_word = |word: u16| {
        let mut packet = query(Family::V4);
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        frame_of(Family::V4, &packet)
    };
    for word in [0x0000, 0x2000, 0x4000, 0x8000, 0xe000] {
        assert_eq!(
            with_fragment_word(word),
            dns(Family::V4, 34, &QUERY),
            "{word:04x}: whole, or the first fragment"
        );
    }
    for word in [0x0001, 0x1000, 0x00b9, 0x20b9, 0x3fff] {
        assert_eq!(with_fragment_word(word), Err(Unclassified::LaterFragment), "{word:04x}");
    }
    let packet = with_extensions(&query(Family::V6), &[LATER_FRAGMENT]);
    assert_eq!(frame_of(Family::V6, &packet), Err(Unclassified::LaterFragment));
    // The last fragment, whose offset is in the upper byte alone.
    let packet = with_extensions(&query(Family::V6), &[(44, &[0, 1, 0, 0, 0, 0, 1])]);
    assert_eq!(frame_of(Family::V6, &packet), Err(Unclassified::LaterFragment));
}

#[test]
fn ipv6_extension_headers_are_followed_four_deep() {
    let with = |extensions: &[(u8, &[u8])]| {
        let packet = with_extensions(&query(Family::V6), extensions);
        let bytes = packet.len() - query(Family::V6).len();
        (frame_of(Family::V6, &packet), dns(Family::V6, 54 + bytes, &QUERY))
    };
    for extensions in [
        &[HOP_BY_HOP][..],
        &[ROUTING],
        &[DESTINATION],
        &[FIRST_FRAGMENT],
        &[HOP_BY_HOP, DESTINATION, ROUTING, FIRST_FRAGMENT],
        &[DESTINATION; 4],
    ] {
        let (found, expected) = with(extensions);
        assert_eq!(found, expected, "{extensions:?}");
    }
    assert_eq!(with(&[HOP_BY_HOP; 5]).0, Err(Unclassified::TooDeep));
    assert_eq!(with(&[FIRST_FRAGMENT; 5]).0, Err(Unclassified::TooDeep));
}

#[test]
fn the_payload_of_ipv6_lacks_its_extension_headers() {
    let segment = Family::V6.tcp(Ingress, 53, ACK, b"hello");
    let packet = with_extensions(&segment, &[DESTINATION, FIRST_FRAGMENT]);
    let Ok(Followed::Flow(flow)) = frame_of(Family::V6, &packet) else {
        panic!("a segment")
    };
    assert_eq!(flow.transport_bytes, Some(25));
    let mut packet = packet;
    packet[4..6].copy_from_slice(&[0, 23]);
    assert_eq!(
        frame_of(Family::V6, &packet),
        Err(Unclassified::Malformed),
        "less than its extension headers"
    );
}

#[test]
fn a_length_of_zero_says_nothing() {
    for (family, place) in [(Family::V4, 2), (Family::V6, 4)] {
        let mut packet = query(family);
        packet[place..place + 2].fill(0);
        let Ok(Followed::Flow(flow)) = frame_of(family, &packet) else {
            panic!("a datagram")
        };
        assert_eq!(flow.transport_bytes, Some(20), "{family:?}: UDP says it itself");
        assert_eq!(flow.head, head(&QUERY), "{family:?}");
        let mut packet = family.tcp(Ingress, 53, ACK, b"");
        packet[place..place + 2].fill(0);
        let Ok(Followed::Flow(flow)) = frame_of(family, &packet) else {
            panic!("a segment")
        };
        assert_eq!(flow.transport_bytes, None, "{family:?}");
    }
    // As Linux makes large segments of IPv6: a hop-by-hop header with the length.
    let segment = Family::V6.tcp(Ingress, 53, ACK, b"");
    let mut packet = with_extensions(&segment, &[(0, &[0, 0xc2, 4, 0, 1, 0, 0])]);
    packet[4..6].fill(0);
    let Ok(Followed::Flow(flow)) = frame_of(Family::V6, &packet) else {
        panic!("a segment")
    };
    assert_eq!((flow.transport, flow.transport_bytes), (62, None));
}

#[test]
fn what_is_neither_udp_nor_tcp_is_nobodys_business() {
    for protocol in [1, 2, 4, 41, 47, 50, 51, 58, 59, 132] {
        for family in Family::ALL {
            let packet = family.ip(Ingress, protocol, &[3; 40]);
            assert_eq!(frame_of(family, &packet), Ok(Followed::Other), "{family:?} {protocol}");
        }
    }
}

#[test]
fn the_length_is_that_of_the_header_not_of_the_frame() {
    let bytes = |packet: &[u8]| match frame_of(Family::V4, packet) {
        Ok(Followed::Flow(flow)) => flow.transport_bytes,
        other => panic!("a segment, not {other:?}"),
    };
    let mut packet = Family::V4.tcp(Ingress, 53, ACK, b"");
    packet.extend_from_slice(&[0; 6]);
    assert_eq!(bytes(&packet), Some(20), "padding");
    set_ipv4_length(&mut packet);
    assert_eq!(bytes(&packet), Some(26), "payload");
}
