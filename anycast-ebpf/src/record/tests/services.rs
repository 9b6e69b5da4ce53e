use super::{node::LOCAL, *};
use crate::{
    layout::Unclassified,
    packet::{Framing, Tunnels},
    testing::{ACK, RST, SYN, ethernet, udp},
};

fn answer(flags: u8, codes: u8) -> [u8; 12] {
    [0x12, 0x34, flags, codes, 0, 1, 0, 1, 0, 0, 0, 0]
}

#[test]
fn a_query_in_and_an_answer_out_are_counted_for_their_service() {
    for family in Family::ALL {
        let node = Node::new();
        node.datagram(family, DNS, Ingress, &QUERY);
        let mut expected = Counts {
            queries: 1,
            packets_in: 1,
            ..Counts::default()
        };
        assert_eq!(node.counts(family, DNS), expected);
        node.datagram(family, DNS, Egress, &answer(0x84, 0));
        expected.answers = 1;
        expected.packets_out = 1;
        expected.responses[0] = 1;
        assert_eq!(node.counts(family, DNS), expected);
        let (services, unclassified) = node.everything();
        let untouched = services.iter().filter(|(counts, _)| *counts == Counts::default());
        assert_eq!(untouched.count(), services.len() - 1, "nobody else's");
        assert_eq!(unclassified, [0; UNCLASSIFIED_REASONS]);
    }
}

#[test]
fn answers_are_counted_by_rcode_and_truncation() {
    let node = Node::new();
    for rcode in 0..RCODES as u8 {
        for _ in 0..=rcode {
            // RA, AD and CD beside it.
            node.datagram(Family::V4, DNS, Egress, &answer(0x80, 0xb0 | rcode));
        }
    }
    node.datagram(Family::V4, DNS, Egress, &answer(0x82, 0));
    let counts = node.counts(Family::V4, DNS);
    let mut responses = std::array::from_fn(|rcode| rcode as u64 + 1);
    responses[0] += 1;
    assert_eq!(counts.responses, responses);
    assert_eq!((counts.truncated, counts.answers, counts.packets_out), (1, 137, 137));
}

#[test]
fn an_answer_that_comes_in_or_a_query_that_goes_out_is_only_a_packet() {
    let node = Node::new();
    node.datagram(Family::V4, DNS, Ingress, &answer(0x84, 0));
    node.datagram(Family::V4, DNS, Egress, &QUERY);
    let expected = Counts {
        packets_in: 1,
        packets_out: 1,
        ..Counts::default()
    };
    assert_eq!(node.counts(Family::V4, DNS), expected);
    assert_eq!(node.timed(Family::V4, DNS), Timed::default());
}

#[test]
fn only_dns_has_rcodes() {
    let mut packet = [0x0f; 48];
    packet[0] = 0x24;
    let node = Node::new();
    node.datagram(Family::V4, NTP, Egress, &packet);
    let expected = Counts {
        answers: 1,
        packets_out: 1,
        ..Counts::default()
    };
    assert_eq!(node.counts(Family::V4, NTP), expected);
}

#[test]
fn what_says_nothing_is_a_packet_all_the_same() {
    let node = Node::new();
    let control = [0x16; 48];
    node.datagram(Family::V4, NTP, Ingress, &control);
    node.datagram(Family::V4, NTP, Egress, &control);
    node.datagram(Family::V4, ONE_WAY, Egress, b"<34>");
    let packets = |packets_in, packets_out| Counts {
        packets_in,
        packets_out,
        ..Counts::default()
    };
    assert_eq!(node.counts(Family::V4, NTP), packets(1, 1));
    assert_eq!(node.counts(Family::V4, ONE_WAY), packets(0, 1));
}

#[test]
fn a_packet_from_a_local_or_a_service_address_is_no_query() {
    for family in Family::ALL {
        let node = Node::new();
        let datagram = udp(Ingress, 53, &QUERY);
        let from_local = family.ip_of(LOCAL, Ingress, PROTOCOL_UDP, &datagram);
        let mut from_service = family.udp(Ingress, 53, &QUERY);
        match family {
            Family::V4 => from_service.copy_within(16..20, 12),
            Family::V6 => from_service.copy_within(24..40, 8),
        }
        for packet in [from_local, from_service] {
            node.packet(family, Ingress, &packet);
        }
        let expected = Counts {
            packets_in: 2,
            local_sources: 2,
            ..Counts::default()
        };
        assert_eq!(node.counts(family, DNS), expected, "{family:?}");
        assert_eq!(node.timed(family, DNS), Timed::default(), "{family:?}");
        // Over TCP likewise; and an answer to one of them is an answer.
        let segment = crate::testing::tcp(Ingress, 53, ACK, b"hello");
        node.packet(family, Ingress, &family.ip_of(LOCAL, Ingress, PROTOCOL_TCP, &segment));
        let expected = Counts {
            packets_in: 1,
            local_sources: 1,
            ..Counts::default()
        };
        assert_eq!(node.counts(family, TCP_DNS), expected, "{family:?}");
        let answer = udp(Egress, 53, &answer(0x80, 0));
        node.packet(family, Egress, &family.ip_of(LOCAL, Egress, PROTOCOL_UDP, &answer));
        assert_eq!(node.counts(family, DNS).answers, 1, "{family:?}");
    }
}

#[test]
fn a_refusal_of_a_service_is_a_hint_and_no_packet_of_it() {
    let node = Node::new();
    for family in Family::ALL {
        for (kind, times) in [(DNS, 1), (NTP, 2)] {
            let quoted = family.udp(Ingress, kind.port, &QUERY);
            for _ in 0..times {
                node.packet(family, Egress, &family.port_unreachable(&quoted));
            }
            // One that comes in is a client's word.
            node.packet(family, Ingress, &family.port_unreachable(&quoted));
        }
        let quoted = family.tcp(Ingress, TCP_DNS.port, SYN, b"");
        node.packet(family, Egress, &family.port_unreachable(&quoted));
        let stranger = family.udp(Ingress, 54, &QUERY);
        node.packet(family, Egress, &family.port_unreachable(&stranger));
    }
    let hints = |hints| Counts {
        hints,
        ..Counts::default()
    };
    assert_eq!(node.counts_of_both(DNS), hints(1));
    assert_eq!(node.counts_of_both(NTP), hints(2));
    assert_eq!(node.counts_of_both(TCP_DNS), hints(1));
    assert_eq!(node.counts_of_both(SMTP), hints(0));
}

#[test]
fn what_cannot_be_followed_is_counted_by_its_reason_alone() {
    let node = Node::new();
    let query = Family::V4.frame(&Family::V4.udp(Ingress, 53, &QUERY));
    let mut later = query.clone();
    later[21] = 1;
    let mut malformed = query.clone();
    malformed[14] = 0x44;
    let deep = Family::V4.tagged(&[0x88a8, 0x8100, 0x8100], &query[14..]);
    for direction in [Ingress, Egress] {
        for (times, frame) in [(1, &query[..41]), (2, &malformed), (3, &later), (4, &deep)] {
            for _ in 0..times {
                node.frame(direction, frame);
            }
        }
    }
    let (services, unclassified) = node.everything();
    assert_eq!(unclassified, [2, 4, 6, 8]);
    assert!(services.iter().all(|(counts, _)| *counts == Counts::default()));
}

#[test]
fn a_message_that_cannot_be_read_is_a_packet_of_its_service() {
    let node = Node::new();
    node.datagram(Family::V4, DNS, Ingress, &QUERY[..11]);
    node.datagram(Family::V4, DNS, Egress, &QUERY[..11]);
    let mut segment = Family::V4.tcp(Ingress, 53, ACK, b"hello");
    segment[20 + 12] = 0x40;
    node.packet(Family::V4, Ingress, &segment);
    let expected = Counts {
        packets_in: 1,
        packets_out: 1,
        ..Counts::default()
    };
    assert_eq!(node.counts(Family::V4, DNS), expected);
    assert_eq!(node.counts(Family::V4, TCP_DNS).packets_in, 1);
    let mut reasons = [0; UNCLASSIFIED_REASONS];
    reasons[Unclassified::Truncated as usize] = 2;
    reasons[Unclassified::Malformed as usize] = 1;
    assert_eq!(node.unclassified(), reasons);
}

#[test]
fn strangers_change_nothing() {
    let node = Node::new();
    for direction in [Ingress, Egress] {
        for family in Family::ALL {
            let mut elsewhere = family.udp(direction, 53, &QUERY);
            for last in [19, 15, 39, 23] {
                if let Some(byte) = elsewhere.get_mut(last) {
                    *byte = 1;
                }
            }
            for packet in [
                elsewhere,
                family.udp(direction, 54, &QUERY),
                // The port of a service over the other protocol.
                family.tcp(direction, NTP.port, RST, b"hello"),
                family.udp(direction, SMTP.port, &QUERY),
                family.tcp(direction, 54, RST | ACK, b"hello"),
                family.ip(direction, 1, &[8; 16]),
            ] {
                node.packet(family, direction, &packet);
            }
        }
        let mut arp = vec![2; 42];
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        node.frame(direction, &arp);
    }
    assert_eq!(node.everything(), Node::new().everything());
}

#[test]
fn the_client_behind_a_load_balancer_is_the_inner_one() {
    let node = Node::new();
    let view = View {
        framing: Framing::Ip,
        tunnels: Tunnels {
            ip_in_ip: true,
            gue_port: 0,
        },
        ..ethernet(Ingress)
    };
    for family in Family::ALL {
        let query = udp(Ingress, 53, &QUERY);
        // From the host's own address, as a balancer in the same machine would, and the other way round.
        let of_client = family.ip_of(
            LOCAL,
            Ingress,
            family.protocol(),
            &family.ip(Ingress, PROTOCOL_UDP, &query),
        );
        let inner = family.ip_of(LOCAL, Ingress, PROTOCOL_UDP, &query);
        let of_local = family.ip(Ingress, family.protocol(), &inner);
        for packet in [of_client, of_local] {
            node.framed(view, &packet);
        }
    }
    let expected = Counts {
        queries: 1,
        packets_in: 2,
        local_sources: 1,
        ..Counts::default()
    };
    assert_eq!(node.counts_of_both(DNS), expected);
}
