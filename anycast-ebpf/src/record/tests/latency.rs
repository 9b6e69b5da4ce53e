use super::{
    node::{SECRET, datagram, slot},
    *,
};
use crate::{
    latency::{Hash, bucket},
    packet,
    testing::{ANSWER, CLIENT_PORT, ethernet},
};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1000 * MILLISECOND;

/// With another DNS ID.
fn with_id(mut message: [u8; 12], id: u16) -> [u8; 12] {
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

/// Two DNS IDs whose transactions need the same slot.
fn two_in_one_slot(family: Family) -> [u16; 2] {
    let place = |id: u16| {
        let frame = family.frame(&family.udp(Ingress, DNS.port, &QUERY));
        let Ok(Followed::Flow(flow)) = packet::follow(&&*frame, ethernet(Ingress)) else {
            panic!("a datagram")
        };
        Hash::new(SECRET, &slot(family, DNS), &flow, 1 << 16 | u64::from(id.to_be())).transaction()
    };
    let first = place(0);
    let second = (1..=u16::MAX)
        .find(|&id| place(id) == first)
        .expect("four in 65,536, on average");
    [0, second]
}

#[test]
fn an_answer_ends_what_its_query_began() {
    for family in Family::ALL {
        let mut node = Node::new();
        let mut expected = Timed::default();
        for took in [0, 64, 900, 35 * MICROSECOND, 2 * MILLISECOND, 4_000 * MILLISECOND] {
            node.at(7 * MILLISECOND).datagram(family, DNS, Ingress, &QUERY);
            node.at(7 * MILLISECOND + took).datagram(family, DNS, Egress, &ANSWER);
            expected.buckets.push(bucket(took));
            expected.sampled += 1;
            assert_eq!(node.timed(family, DNS), expected, "{took} ns");
        }
    }
}

#[test]
fn several_are_under_way_at_a_time() {
    let mut node = Node::new();
    for id in 0..8 {
        node.at(u64::from(id) * MICROSECOND)
            .datagram(Family::V6, DNS, Ingress, &with_id(QUERY, id));
    }
    for id in (0..8).rev() {
        node.at(MILLISECOND)
            .datagram(Family::V6, DNS, Egress, &with_id(ANSWER, id));
    }
    let mut buckets: Vec<usize> = (0..8).map(|id| bucket(MILLISECOND - id * MICROSECOND)).collect();
    buckets.sort_unstable();
    let expected = Timed {
        buckets,
        sampled: 8,
        ..Timed::default()
    };
    assert_eq!(node.timed(Family::V6, DNS), expected);
}

#[test]
fn a_repeated_query_began_when_it_came_first() {
    let mut node = Node::new();
    for now in [0, MILLISECOND, 2 * MILLISECOND] {
        node.at(now).datagram(Family::V4, DNS, Ingress, &QUERY);
    }
    node.at(3 * MILLISECOND).datagram(Family::V4, DNS, Egress, &ANSWER);
    let expected = Timed {
        buckets: vec![bucket(3 * MILLISECOND)],
        sampled: 1,
        ..Timed::default()
    };
    assert_eq!(node.timed(Family::V4, DNS), expected);
    assert_eq!(node.counts(Family::V4, DNS).queries, 3);
}

#[test]
fn an_answer_that_is_repeated_or_unasked_for_is_mismatched() {
    let mut node = Node::new();
    node.datagram(Family::V4, DNS, Ingress, &QUERY);
    node.at(MICROSECOND).datagram(Family::V4, DNS, Egress, &ANSWER);
    node.datagram(Family::V4, DNS, Egress, &ANSWER);
    node.datagram(Family::V4, DNS, Egress, &with_id(ANSWER, 1));
    let expected = Timed {
        buckets: vec![bucket(MICROSECOND)],
        sampled: 1,
        mismatched: 2,
        ..Timed::default()
    };
    assert_eq!(node.timed(Family::V4, DNS), expected);
}

#[test]
fn whoever_needs_a_slot_takes_it() {
    for family in Family::ALL {
        let [first, second] = two_in_one_slot(family);
        let mut node = Node::new();
        node.datagram(family, DNS, Ingress, &with_id(QUERY, first));
        node.at(MICROSECOND)
            .datagram(family, DNS, Ingress, &with_id(QUERY, second));
        let mut expected = Timed {
            sampled: 2,
            overwritten: 1,
            ..Timed::default()
        };
        assert_eq!(node.timed(family, DNS), expected);
        node.at(MILLISECOND)
            .datagram(family, DNS, Egress, &with_id(ANSWER, first));
        expected.mismatched = 1;
        assert_eq!(node.timed(family, DNS), expected, "the first was lost");
        node.datagram(family, DNS, Egress, &with_id(ANSWER, second));
        expected.buckets = vec![bucket(MILLISECOND - MICROSECOND)];
        assert_eq!(node.timed(family, DNS), expected, "the second has its own time");
        // The slot is free again.
        node.datagram(family, DNS, Ingress, &with_id(QUERY, first));
        expected.sampled += 1;
        assert_eq!(node.timed(family, DNS), expected);
    }
}

#[test]
fn a_transaction_is_of_one_client_address_port_id_and_service() {
    for family in Family::ALL {
        let node = Node::new();
        node.datagram(family, DNS, Ingress, &QUERY);
        let strangers = [
            family.ip_of(8, Egress, PROTOCOL_UDP, &crate::testing::udp(Egress, 53, &ANSWER)),
            datagram(family, DNS, CLIENT_PORT + 1, Egress, &ANSWER),
            datagram(family, DNS, CLIENT_PORT, Egress, &with_id(ANSWER, 1)),
        ];
        for answer in strangers {
            node.packet(family, Egress, &answer);
        }
        let expected = Timed {
            sampled: 1,
            mismatched: 3,
            ..Timed::default()
        };
        assert_eq!(node.timed(family, DNS), expected);
        // Mode 4 of NTP, with the same bytes as id.
        let mut of_ntp = [0; 48];
        of_ntp[0] = 0x24;
        of_ntp[24..26].copy_from_slice(&QUERY[..2]);
        node.datagram(family, NTP, Egress, &of_ntp);
        assert_eq!(node.timed(family, NTP).mismatched, 1);
    }
}

#[test]
fn ntp_is_timed_by_its_time_stamps() {
    let mut query = [0; 48];
    query[0] = 0x23;
    query[40..].copy_from_slice(b"sometime");
    let mut answer = [0; 48];
    answer[0] = 0x24;
    answer[24..32].copy_from_slice(b"sometime");
    let mut node = Node::new();
    node.datagram(Family::V4, NTP, Ingress, &query);
    node.at(MICROSECOND).datagram(Family::V4, NTP, Egress, &answer);
    let expected = Timed {
        buckets: vec![bucket(MICROSECOND)],
        sampled: 1,
        ..Timed::default()
    };
    assert_eq!(node.timed(Family::V4, NTP), expected);
}

#[test]
fn what_is_never_answered_is_not_sampled() {
    let node = Node::new();
    node.datagram(Family::V4, ONE_WAY, Ingress, b"<34>");
    assert_eq!(node.counts(Family::V4, ONE_WAY).queries, 1);
    assert_eq!(node.timed(Family::V4, ONE_WAY), Timed::default());
}

#[test]
fn the_mask_chooses_whole_transactions() {
    const TRANSACTIONS: u16 = 4096;
    for bits in [0, 2, 4] {
        let mut node = Node::sampling(((1 << bits) - 1) << 32);
        for id in 0..TRANSACTIONS {
            node.at(0).datagram(Family::V4, DNS, Ingress, &with_id(QUERY, id));
            node.at(MICROSECOND)
                .datagram(Family::V4, DNS, Egress, &with_id(ANSWER, id));
        }
        let Timed {
            buckets,
            sampled,
            overwritten,
            mismatched,
            not_followed,
        } = node.timed(Family::V4, DNS);
        assert_eq!(buckets.len() as u64, sampled, "an answer is sampled if its query was");
        assert_eq!((overwritten, mismatched, not_followed), (0, 0, 0));
        let expected = u64::from(TRANSACTIONS >> bits);
        assert!(sampled.abs_diff(expected) <= expected / 3, "{sampled}, not {expected}");
        assert_eq!(node.counts(Family::V4, DNS).answers, u64::from(TRANSACTIONS));
    }
    // Of every transaction there is a bit: none is sampled, all are counted.
    let node = Node::sampling(u64::MAX);
    node.datagram(Family::V4, DNS, Ingress, &QUERY);
    assert_eq!(node.timed(Family::V4, DNS), Timed::default());
    assert_eq!(node.counts(Family::V4, DNS).queries, 1);
}

#[test]
fn a_clock_that_goes_back_takes_forever_and_panics_nowhere() {
    let mut node = Node::new();
    node.at(MILLISECOND).datagram(Family::V4, DNS, Ingress, &QUERY);
    node.at(0).datagram(Family::V4, DNS, Egress, &ANSWER);
    assert_eq!(node.timed(Family::V4, DNS).buckets, [bucket(u64::MAX)]);
}

#[test]
fn a_query_that_comes_again_much_later_is_another_one() {
    let mut node = Node::new();
    node.datagram(Family::V4, DNS, Ingress, &QUERY);
    node.at(600 * SECOND).datagram(Family::V4, DNS, Ingress, &QUERY);
    node.at(600 * SECOND + MILLISECOND)
        .datagram(Family::V4, DNS, Egress, &ANSWER);
    let expected = Timed {
        buckets: vec![bucket(MILLISECOND)],
        sampled: 2,
        overwritten: 1,
        ..Timed::default()
    };
    assert_eq!(node.timed(Family::V4, DNS), expected);
}

#[test]
fn a_query_that_comes_again_within_ten_seconds_is_the_same() {
    for (later, sampled) in [(10 * SECOND, 1), (10 * SECOND + 1, 2)] {
        let mut node = Node::new();
        node.datagram(Family::V4, DNS, Ingress, &QUERY);
        node.at(later).datagram(Family::V4, DNS, Ingress, &QUERY);
        assert_eq!(node.timed(Family::V4, DNS).sampled, sampled, "{later} ns");
    }
}

#[test]
fn without_an_id_several_may_answer_one() {
    let mut node = Node::new();
    node.datagram(Family::V4, SIP, Ingress, b"INVITE sip:example.com SIP/2.0\r\n");
    for answer in [&b"SIP/2.0 100 Trying\r\n"[..], b"SIP/2.0 200 OK\r\n"] {
        node.at(MICROSECOND).datagram(Family::V4, SIP, Egress, answer);
    }
    let expected = Timed {
        buckets: vec![bucket(MICROSECOND)],
        sampled: 1,
        ..Timed::default()
    };
    assert_eq!(node.timed(Family::V4, SIP), expected);
    assert_eq!(node.counts(Family::V4, SIP).answers, 2);
}

#[test]
fn clients_of_different_networks_are_different() {
    for byte in 0..8 {
        let node = Node::new();
        node.datagram(Family::V6, DNS, Ingress, &QUERY);
        let mut answer = Family::V6.udp(Egress, DNS.port, &ANSWER);
        answer[24 + byte] ^= 1;
        node.packet(Family::V6, Egress, &answer);
        let expected = Timed {
            sampled: 1,
            mismatched: 1,
            ..Timed::default()
        };
        assert_eq!(node.timed(Family::V6, DNS), expected, "byte {byte}");
    }
}
