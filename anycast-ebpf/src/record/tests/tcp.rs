use super::{
    node::{Kind, SECRET, segment, slot},
    *,
};
use crate::{
    latency::{Hash, bucket},
    layout::OPEN_EXCHANGES,
    packet,
    testing::{ACK, FIN, RST, SYN, ethernet},
};

const PORT: u16 = 40_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// What a connection has come to, as queries and answers.
fn exchanged(node: &Node, kind: Kind) -> (u64, u64) {
    let Counts { queries, answers, .. } = node.counts_of_both(kind);
    (queries, answers)
}

fn handshake(node: &Node, kind: Kind, port: u16) {
    node.segment(kind, port, Ingress, SYN, b"");
    node.segment(kind, port, Egress, SYN | ACK, b"");
    node.segment(kind, port, Ingress, ACK, b"");
}

/// Two client ports whose connections need the same slot.
fn two_in_one_slot(kind: Kind) -> [u16; 2] {
    let family = Family::V4;
    let place = |port: u16| {
        let frame = family.frame(&segment(family, kind, port, Ingress, ACK, b""));
        let Ok(Followed::Flow(flow)) = packet::follow(&&*frame, ethernet(Ingress)) else {
            panic!("a segment")
        };
        Hash::new(SECRET, &slot(family, kind), &flow, 0).place(OPEN_EXCHANGES)
    };
    let mut places = vec![0_u16; OPEN_EXCHANGES];
    (1..=u16::MAX)
        .find_map(|port| {
            let other = std::mem::replace(&mut places[place(port)], port);
            (other != 0).then_some([other, port])
        })
        .expect("some of 65,535 share one of 65,536")
}

#[test]
fn a_request_in_several_segments_is_one_query_and_so_is_its_answer() {
    let node = Node::new();
    handshake(&node, TCP_DNS, PORT);
    assert_eq!(exchanged(&node, TCP_DNS), (0, 0));
    for payload in [&b"\x00\x1d"[..], b"half", b"the rest"] {
        node.segment(TCP_DNS, PORT, Ingress, ACK, payload);
        node.segment(TCP_DNS, PORT, Egress, ACK, b"");
        assert_eq!(exchanged(&node, TCP_DNS), (1, 0));
    }
    for payload in [&b"\x02\x00"[..], b"a long answer", b"in segments"] {
        node.segment(TCP_DNS, PORT, Egress, ACK, payload);
        node.segment(TCP_DNS, PORT, Ingress, ACK, b"");
        assert_eq!(exchanged(&node, TCP_DNS), (1, 1));
    }
    node.segment(TCP_DNS, PORT, Ingress, FIN | ACK, b"");
    node.segment(TCP_DNS, PORT, Egress, FIN | ACK, b"");
    assert_eq!(exchanged(&node, TCP_DNS), (1, 1));
    let counts = node.counts_of_both(TCP_DNS);
    assert_eq!((counts.packets_in, counts.packets_out, counts.hints), (9, 8, 0));
}

#[test]
fn a_connection_may_be_used_again() {
    let mut node = Node::new();
    handshake(&node, TCP_DNS, PORT);
    let mut expected = Timed::default();
    for number in 1..=5 {
        node.at(number * SECOND);
        node.segment(TCP_DNS, PORT, Ingress, ACK, b"request");
        node.at(number * SECOND + number * MILLISECOND);
        node.segment(TCP_DNS, PORT, Egress, ACK, b"response");
        assert_eq!(exchanged(&node, TCP_DNS), (number, number));
        expected.sampled = number;
        expected.buckets.push(bucket(number * MILLISECOND));
    }
    assert_eq!(node.timed_of_both(TCP_DNS), expected);
}

#[test]
fn what_is_sent_again_is_the_same_query_from_when_it_came_first() {
    let mut node = Node::new();
    for now in [0, 200 * MILLISECOND, 600 * MILLISECOND] {
        node.at(now);
        node.segment(TCP_DNS, PORT, Ingress, ACK, b"request");
    }
    node.at(SECOND);
    node.segment(TCP_DNS, PORT, Egress, ACK, b"response");
    node.segment(TCP_DNS, PORT, Egress, ACK, b"response");
    assert_eq!(exchanged(&node, TCP_DNS), (1, 1));
    let expected = Timed {
        buckets: vec![bucket(SECOND)],
        sampled: 1,
        ..Timed::default()
    };
    assert_eq!(node.timed_of_both(TCP_DNS), expected);
}

#[test]
fn requests_that_follow_one_another_unanswered_are_one_query() {
    let node = Node::new();
    for _ in 0..3 {
        node.segment(TCP_DNS, PORT, Ingress, ACK, b"request");
    }
    for _ in 0..3 {
        node.segment(TCP_DNS, PORT, Egress, ACK, b"response");
    }
    assert_eq!(exchanged(&node, TCP_DNS), (1, 1));
}

#[test]
fn handshakes_without_payload_count_nothing() {
    for kind in [TCP_DNS, SMTP] {
        let node = Node::new();
        for port in 1000..1100 {
            // Half open, and refused.
            node.segment(kind, port, Ingress, SYN, b"");
            node.segment(kind, port, Egress, SYN | ACK, b"");
            node.segment(kind, port, Ingress, SYN, b"");
            node.segment(kind, port, Ingress, RST, b"");
        }
        assert_eq!(exchanged(&node, kind), (0, 0), "{kind:?}");
        assert_eq!(node.timed_of_both(kind), Timed::default());
    }
    let node = Node::new();
    for port in 1000..1100 {
        handshake(&node, TCP_DNS, port);
        node.segment(TCP_DNS, port, Ingress, FIN | ACK, b"");
        node.segment(TCP_DNS, port, Egress, FIN | ACK, b"");
        node.segment(TCP_DNS, port, Ingress, ACK, b"");
    }
    assert_eq!(exchanged(&node, TCP_DNS), (0, 0), "a check of whether the port is open");
    assert_eq!(node.timed_of_both(TCP_DNS), Timed::default());
}

#[test]
fn a_hung_server_has_queries_and_no_answers() {
    let node = Node::new();
    for port in 1000..1010 {
        // The kernel does all of this without it.
        handshake(&node, TCP_DNS, port);
        node.segment(TCP_DNS, port, Ingress, ACK, b"request");
        node.segment(TCP_DNS, port, Egress, ACK, b"");
        handshake(&node, SMTP, port);
    }
    assert_eq!(exchanged(&node, TCP_DNS), (10, 0));
    assert_eq!(exchanged(&node, SMTP), (10, 0));
}

#[test]
fn a_greeting_answers_the_end_of_the_handshake() {
    let mut node = Node::new();
    node.segment(SMTP, PORT, Ingress, SYN, b"");
    node.segment(SMTP, PORT, Egress, SYN | ACK, b"");
    // What the client takes to end the handshake is not the server's time.
    node.at(SECOND);
    node.segment(SMTP, PORT, Ingress, ACK, b"");
    assert_eq!(exchanged(&node, SMTP), (1, 0));
    // Nothing more is asked for by what is acknowledged again.
    node.segment(SMTP, PORT, Ingress, ACK, b"");
    assert_eq!(exchanged(&node, SMTP), (1, 0));
    node.at(SECOND + MILLISECOND);
    node.segment(SMTP, PORT, Egress, ACK, b"220 mail.example ESMTP\r\n");
    node.segment(SMTP, PORT, Ingress, ACK, b"");
    assert_eq!(exchanged(&node, SMTP), (1, 1));
    for number in 2..4 {
        node.segment(SMTP, PORT, Ingress, ACK, b"NOOP\r\n");
        assert_eq!(exchanged(&node, SMTP), (number, number - 1));
        node.segment(SMTP, PORT, Egress, ACK, b"250 OK\r\n");
        assert_eq!(exchanged(&node, SMTP), (number, number));
    }
    let expected = Timed {
        buckets: vec![bucket(0), bucket(0), bucket(MILLISECOND)],
        sampled: 3,
        ..Timed::default()
    };
    assert_eq!(node.timed_of_both(SMTP), expected);
}

#[test]
fn a_client_that_does_not_wait_for_the_greeting_asks_once() {
    let node = Node::new();
    node.segment(SMTP, PORT, Ingress, SYN, b"");
    node.segment(SMTP, PORT, Egress, SYN | ACK, b"");
    node.segment(SMTP, PORT, Ingress, ACK, b"EHLO client.example\r\n");
    assert_eq!(exchanged(&node, SMTP), (1, 0));
    node.segment(SMTP, PORT, Egress, ACK, b"220 mail.example ESMTP\r\n");
    assert_eq!(exchanged(&node, SMTP), (1, 1));
}

#[test]
fn before_the_handshake_is_complete_nothing_is_an_answer() {
    let node = Node::new();
    node.segment(SMTP, PORT, Ingress, SYN, b"");
    node.segment(SMTP, PORT, Egress, SYN | ACK, b"with payload");
    assert_eq!(exchanged(&node, SMTP), (0, 0));
    node.segment(SMTP, PORT, Ingress, ACK, b"");
    node.segment(SMTP, PORT, Egress, ACK, b"220\r\n");
    assert_eq!(exchanged(&node, SMTP), (1, 1));
}

#[test]
fn payload_in_the_first_segment_is_a_query() {
    for kind in [TCP_DNS, SMTP] {
        let node = Node::new();
        node.segment(kind, PORT, Ingress, SYN, b"request");
        assert_eq!(exchanged(&node, kind), (1, 0), "{kind:?}");
        node.segment(kind, PORT, Egress, SYN | ACK, b"");
        node.segment(kind, PORT, Egress, ACK, b"response");
        assert_eq!(exchanged(&node, kind), (1, 1), "{kind:?}");
    }
}

#[test]
fn payload_that_nobody_asked_for_is_no_answer() {
    for kind in [TCP_DNS, SMTP] {
        let node = Node::new();
        node.segment(kind, PORT, Egress, ACK, b"notice of disconnection");
        assert_eq!(exchanged(&node, kind), (0, 0), "{kind:?}");
        assert_eq!(node.counts_of_both(kind).packets_out, 1);
        assert_eq!(node.timed_of_both(kind), Timed::default());
    }
}

#[test]
fn a_reset_that_leaves_is_a_hint() {
    let node = Node::new();
    node.segment(TCP_DNS, PORT, Ingress, SYN, b"");
    node.segment(TCP_DNS, PORT, Egress, RST | ACK, b"");
    assert_eq!(node.counts_of_both(TCP_DNS).hints, 1);
    node.segment(TCP_DNS, PORT, Ingress, RST, b"");
    assert_eq!(node.counts_of_both(TCP_DNS).hints, 1, "a client's doesn't matter");
    node.segment(TCP_DNS, PORT, Ingress, ACK, b"request");
    node.segment(TCP_DNS, PORT, Egress, RST | ACK, b"with payload");
    let expected = Counts {
        queries: 1,
        packets_in: 3,
        packets_out: 2,
        hints: 2,
        ..Counts::default()
    };
    assert_eq!(node.counts_of_both(TCP_DNS), expected, "and never an answer");
}

#[test]
fn connections_are_told_apart() {
    let node = Node::new();
    for port in 1000..1016 {
        node.segment(TCP_DNS, port, Ingress, ACK, b"request");
    }
    assert_eq!(exchanged(&node, TCP_DNS), (16, 0));
    node.segment(TCP_DNS, 1016, Egress, ACK, b"response");
    assert_eq!(exchanged(&node, TCP_DNS), (16, 0), "of somebody else");
    for port in (1000..1016).rev() {
        node.segment(TCP_DNS, port, Egress, ACK, b"response");
    }
    assert_eq!(exchanged(&node, TCP_DNS), (16, 16));
}

#[test]
fn a_slot_that_is_taken_is_left_to_its_owner_until_that_is_stale() {
    let [owner, other] = two_in_one_slot(TCP_DNS);
    let mut node = Node::new();
    let send = |node: &Node, port, direction, payload| {
        let packet = segment(Family::V4, TCP_DNS, port, direction, ACK, payload);
        node.packet(Family::V4, direction, &packet);
    };
    let state = |node: &Node| {
        let Counts { queries, answers, .. } = node.counts(Family::V4, TCP_DNS);
        (queries, answers, node.timed(Family::V4, TCP_DNS).not_followed)
    };
    send(&node, owner, Ingress, b"request");
    assert_eq!(state(&node), (1, 0, 0));
    node.at(SECOND);
    send(&node, other, Ingress, b"request");
    send(&node, other, Egress, b"response");
    assert_eq!(state(&node), (1, 0, 1), "neither is counted, so that none is missed");
    node.at(SECOND + 2);
    send(&node, other, Ingress, b"request");
    assert_eq!(state(&node), (2, 0, 1), "the owner's was never answered");
    send(&node, owner, Egress, b"response");
    assert_eq!(state(&node), (2, 0, 1), "too late");
    send(&node, other, Egress, b"response");
    assert_eq!(state(&node), (2, 1, 1));
    send(&node, owner, Ingress, b"request");
    assert_eq!(state(&node), (3, 1, 1), "the slot is free again");
    let timed = node.timed(Family::V4, TCP_DNS);
    assert_eq!((timed.buckets, timed.sampled), (vec![bucket(0)], 3));
}

#[test]
fn a_handshake_keeps_nobody_out() {
    let [stranger, client] = two_in_one_slot(SMTP);
    let node = Node::new();
    let send = |port, direction, flags, payload| {
        let packet = segment(Family::V4, SMTP, port, direction, flags, payload);
        node.packet(Family::V4, direction, &packet);
    };
    let state = || {
        let Counts { queries, answers, .. } = node.counts(Family::V4, SMTP);
        (queries, answers, node.timed(Family::V4, SMTP).not_followed)
    };
    send(stranger, Ingress, SYN, b"");
    send(client, Ingress, SYN, b"");
    // Its slot is gone: it is not followed, and misses nothing.
    send(stranger, Ingress, ACK, b"");
    send(stranger, Egress, ACK, b"220\r\n");
    assert_eq!(state(), (0, 0, 0));
    send(client, Ingress, ACK, b"");
    assert_eq!(state(), (1, 0, 0));
    // Whoever waits for an answer keeps it.
    send(stranger, Ingress, SYN, b"");
    send(client, Egress, ACK, b"220\r\n");
    assert_eq!(state(), (1, 1, 1));
}

#[test]
fn what_is_refused_keeps_nobody_out() {
    for from in [Ingress, Egress] {
        let [stranger, client] = two_in_one_slot(TCP_DNS);
        let node = Node::new();
        let send = |port, direction, flags, payload| {
            let packet = segment(Family::V4, TCP_DNS, port, direction, flags, payload);
            node.packet(Family::V4, direction, &packet);
        };
        send(stranger, Ingress, ACK, b"of no connection");
        send(stranger, from, RST, b"");
        send(client, Ingress, ACK, b"request");
        send(client, Egress, ACK, b"response");
        let Counts { queries, answers, .. } = node.counts(Family::V4, TCP_DNS);
        assert_eq!((queries, answers), (2, 1), "{from:?}");
    }
}

#[test]
fn what_comes_with_the_end_of_a_connection_asks_for_nothing() {
    let node = Node::new();
    handshake(&node, TCP_DNS, PORT);
    node.segment(TCP_DNS, PORT, Ingress, ACK, b"request");
    node.segment(TCP_DNS, PORT, Egress, ACK, b"response");
    node.segment(TCP_DNS, PORT, Ingress, FIN | ACK, b"close_notify");
    assert_eq!(exchanged(&node, TCP_DNS), (1, 1));
}

#[test]
fn exchanges_are_followed_whatever_is_sampled() {
    let node = Node::sampling(u64::MAX);
    node.segment(TCP_DNS, PORT, Ingress, ACK, b"request");
    node.segment(TCP_DNS, PORT, Egress, ACK, b"response");
    assert_eq!(exchanged(&node, TCP_DNS), (1, 1));
}
