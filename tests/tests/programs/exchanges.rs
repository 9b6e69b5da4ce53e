//! Services over TCP. No test leaves an exchange under way, which might have the slot that another one needs.

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::Reading;

use crate::{
    frames::{ACK, Egress, FAMILIES, FIN, Family, Ingress, RST, SYN},
    hooks::Hook,
    node::{Node, difference, packet_in, packet_out, place},
};

const TCP: (Classifier, u16) = (Classifier::Tcp, 853);
const SMTP: (Classifier, u16) = (Classifier::TcpServerFirst, 25);

/// A connection of a client's port to a service.
#[derive(Clone, Copy)]
struct Connection {
    family: Family,
    service: (Classifier, u16),
    port: u16,
}

impl Connection {
    fn place(self) -> usize {
        let (classifier, port) = self.service;
        place(self.family, classifier, port)
    }

    /// A segment comes in, by any of the hooks.
    fn arrives(self, node: &mut Node, hook: Hook, flags: u8, payload: &[u8]) -> Reading {
        let packet = self.family.tcp_of(self.port, Ingress, self.service.1, flags, payload);
        node.counted(hook, self.place(), &self.framed(hook, packet))
    }

    /// A segment leaves.
    fn leaves(self, node: &mut Node, hook: Hook, flags: u8, payload: &[u8]) -> Reading {
        let packet = self.family.tcp_of(self.port, Egress, self.service.1, flags, payload);
        node.counted(hook, self.place(), &self.framed(hook, packet))
    }

    /// Whatever is under way is answered.
    fn ends(self, node: &mut Node) {
        self.arrives(node, Hook::XdpIngress, ACK, b"the last request");
        self.leaves(node, Hook::TcEgress, ACK, b"the last response");
    }

    fn framed(self, hook: Hook, packet: Vec<u8>) -> Vec<u8> {
        match hook {
            Hook::TcIngressIp | Hook::TcEgressIp => packet,
            _ => self.family.frame(&packet),
        }
    }
}

/// Both ends of a node, with an Ethernet header and without.
const WAYS: [(Hook, Hook); 3] = [
    (Hook::XdpIngress, Hook::TcEgress),
    (Hook::TcIngress, Hook::TcEgress),
    (Hook::TcIngressIp, Hook::TcEgressIp),
];

fn connections(service: (Classifier, u16), first_port: u16) -> impl Iterator<Item = (Connection, Hook, Hook)> {
    FAMILIES.into_iter().flat_map(move |family| {
        (first_port..).zip(WAYS).map(move |(port, (ingress, egress))| {
            let connection = Connection { family, service, port };
            (connection, ingress, egress)
        })
    })
}

fn a_query() -> Reading {
    Reading {
        queries: 1,
        ..packet_in()
    }
}

fn an_answer() -> Reading {
    Reading {
        answers: 1,
        ..packet_out()
    }
}

#[test]
fn what_comes_in_one_go_is_a_query_and_what_comes_back_its_answer() {
    let Some(mut node) = Node::shared() else { return };
    for (connection, ingress, egress) in connections(TCP, 1000) {
        let node = &mut *node;
        assert_eq!(connection.arrives(node, ingress, SYN, b""), packet_in());
        assert_eq!(connection.leaves(node, egress, SYN | ACK, b""), packet_out());
        assert_eq!(connection.arrives(node, ingress, ACK, b""), packet_in());
        for _ in 0..2 {
            assert_eq!(connection.arrives(node, ingress, ACK, b"a request"), a_query());
            assert_eq!(connection.arrives(node, ingress, ACK, b"and its rest"), packet_in());
            assert_eq!(connection.leaves(node, egress, ACK, b""), packet_out());
            assert_eq!(connection.leaves(node, egress, ACK, b"a response"), an_answer());
            assert_eq!(connection.leaves(node, egress, ACK, b"and its rest"), packet_out());
        }
        assert_eq!(connection.arrives(node, ingress, FIN | ACK, b""), packet_in());
        assert_eq!(connection.leaves(node, egress, FIN | ACK, b""), packet_out());
    }
}

#[test]
fn where_the_server_speaks_first_the_handshake_asks_for_its_greeting() {
    let Some(mut node) = Node::shared() else { return };
    for (connection, ingress, egress) in connections(SMTP, 1100) {
        let node = &mut *node;
        assert_eq!(connection.arrives(node, ingress, SYN, b""), packet_in());
        assert_eq!(connection.leaves(node, egress, SYN | ACK, b""), packet_out());
        assert_eq!(connection.arrives(node, ingress, ACK, b""), a_query());
        assert_eq!(connection.arrives(node, ingress, ACK, b""), packet_in());
        assert_eq!(connection.leaves(node, egress, ACK, b"220 mail\r\n"), an_answer());
        assert_eq!(connection.arrives(node, ingress, ACK, b"EHLO\r\n"), a_query());
        assert_eq!(connection.leaves(node, egress, ACK, b"250\r\n"), an_answer());
    }
}

#[test]
fn a_reset_that_leaves_is_a_hint() {
    let Some(mut node) = Node::shared() else { return };
    for service in [TCP, SMTP] {
        for (connection, ingress, egress) in connections(service, 1200) {
            let node = &mut *node;
            assert_eq!(connection.arrives(node, ingress, SYN, b""), packet_in());
            let hint = Reading {
                hints: 1,
                ..packet_out()
            };
            assert_eq!(connection.leaves(node, egress, RST | ACK, b""), hint);
            assert_eq!(connection.arrives(node, ingress, RST, b""), packet_in());
            connection.ends(node);
        }
    }
}

#[test]
fn a_hung_server_has_queries_and_no_answers() {
    let Some(mut node) = Node::shared() else { return };
    let connections = (1300..1364).map(|port| Connection {
        family: Family::V4,
        service: TCP,
        port,
    });
    let service = place(Family::V4, TCP.0, TCP.1);
    let state = |node: &Node| node.everything().services[service];
    let before = state(&node);
    for connection in connections.clone() {
        connection.arrives(&mut node, Hook::XdpIngress, SYN, b"");
        connection.leaves(&mut node, Hook::TcEgress, SYN | ACK, b"");
        connection.arrives(&mut node, Hook::XdpIngress, ACK, b"request");
        connection.leaves(&mut node, Hook::TcEgress, ACK, b"");
    }
    let after = state(&node);
    let added = difference(&before.0, &after.0);
    // Seldom two need the same slot.
    let not_followed = after.1.not_followed - before.1.not_followed;
    assert_eq!((added.queries + not_followed, added.answers), (64, 0));
    assert!(not_followed < 8, "{not_followed}");
    for connection in connections {
        connection.ends(&mut node);
    }
}

#[test]
fn a_segment_that_contradicts_itself_is_a_packet_that_could_not_be_classified() {
    let Some(mut node) = Node::shared() else { return };
    for family in FAMILIES {
        let mut frame = family.frame(&family.tcp_of(1400, Ingress, TCP.1, ACK, b"request"));
        frame[14 + family.header_bytes() + 12] = 0xf0;
        let before = node.everything().unclassified;
        let counted = node.counted(Hook::XdpIngress, place(family, TCP.0, TCP.1), &frame);
        assert_eq!(counted, packet_in());
        let mut expected = before;
        expected[1] += 1;
        assert_eq!(node.everything().unclassified, expected);
    }
}
