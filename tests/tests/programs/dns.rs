//! DNS over UDP, and what any service has.

use anycast_user::datapath::Reading;

use crate::{
    frames::{ANSWER, Egress, FAMILIES, Family, Ingress, QUERY, SERVFAIL_TRUNCATED},
    hooks::{Hook, INGRESS},
    node::{LOCAL, Node, answer, dns, packet_in, packet_out, query},
};

const PROTOCOL_UDP: u8 = 17;

#[test]
fn queries_are_counted_for_their_service_on_either_ingress_hook() {
    let Some(mut node) = Node::shared() else { return };
    for hook in INGRESS {
        for family in FAMILIES {
            assert_eq!(
                node.counted(hook, dns(family), &family.query()),
                query(),
                "{hook:?} {family:?}"
            );
        }
    }
}

#[test]
fn answers_are_counted_by_rcode_and_truncation() {
    let Some(mut node) = Node::shared() else { return };
    for family in FAMILIES {
        let frame = family.answer(&ANSWER);
        assert_eq!(node.counted(Hook::TcEgress, dns(family), &frame), answer(0, false));
        let frame = family.answer(&SERVFAIL_TRUNCATED);
        assert_eq!(node.counted(Hook::TcEgress, dns(family), &frame), answer(2, true));
        for rcode in 0..16 {
            let mut message = ANSWER;
            message[3] = 0xb0 | rcode;
            let frame = family.answer(&message);
            assert_eq!(
                node.counted(Hook::TcEgress, dns(family), &frame),
                answer(rcode.into(), false)
            );
        }
    }
}

#[test]
fn an_answer_that_comes_in_or_a_query_that_goes_out_is_only_a_packet() {
    let Some(mut node) = Node::shared() else { return };
    for family in FAMILIES {
        let frame = family.frame(&family.udp(Ingress, 53, &ANSWER));
        for hook in INGRESS {
            assert_eq!(node.counted(hook, dns(family), &frame), packet_in());
        }
        let frame = family.frame(&family.udp(Egress, 53, &QUERY));
        assert_eq!(node.counted(Hook::TcEgress, dns(family), &frame), packet_out());
    }
}

#[test]
fn an_answer_that_is_only_forwarded_is_not_counted() {
    let Some(mut node) = Node::shared() else { return };
    let before = node.everything();
    // `struct __sk_buff`: ingress_ifindex is its tenth word; 1 is the loopback, which every namespace has.
    let mut context = [0_u8; 192];
    context[36..40].copy_from_slice(&1_u32.to_ne_bytes());
    for family in FAMILIES {
        let answer = family.udp(Egress, 53, &ANSWER);
        let hint = family.port_unreachable(&family.udp(Ingress, 53, &QUERY));
        for packet in [answer, hint] {
            let frame = family.frame(&packet);
            node.programs.pass_with(Hook::TcEgress, &frame, Some(&context));
            node.programs.pass_with(Hook::TcEgressIp, &packet, Some(&context));
        }
    }
    assert_eq!(node.everything(), before);
}

#[test]
fn a_packet_from_a_local_or_a_service_address_is_no_query() {
    let Some(mut node) = Node::shared() else { return };
    for family in FAMILIES {
        let query = family.udp(Ingress, 53, &QUERY);
        let datagram = &query[family.header_bytes()..];
        let from_local = family.ip_of(LOCAL, Ingress, PROTOCOL_UDP, datagram);
        let mut from_service = query.clone();
        match family {
            Family::V4 => from_service.copy_within(16..20, 12),
            Family::V6 => from_service.copy_within(24..40, 8),
        }
        let expected = Reading {
            local_sources: 1,
            ..packet_in()
        };
        let samples = |node: &Node| node.everything().services[dns(family)].1;
        let before = samples(&node);
        for packet in [from_local, from_service] {
            let frame = family.frame(&packet);
            for (hook, bytes) in [
                (Hook::XdpIngress, &frame),
                (Hook::TcIngress, &frame),
                (Hook::TcIngressIp, &packet),
            ] {
                assert_eq!(node.counted(hook, dns(family), bytes), expected, "{hook:?} {family:?}");
            }
        }
        assert_eq!(samples(&node), before);
        // What goes to them is an answer like any other.
        let to_local = family.ip_of(
            LOCAL,
            Egress,
            PROTOCOL_UDP,
            &family.udp(Egress, 53, &ANSWER)[family.header_bytes()..],
        );
        assert_eq!(
            node.counted(Hook::TcEgress, dns(family), &family.frame(&to_local)),
            answer(0, false)
        );
    }
}
