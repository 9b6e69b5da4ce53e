//! Packets that reach every branch of the parser and of the classifiers, to start from.

use anycast_ebpf::{classify::Classifier, packet::Framing};

use crate::{
    frames::{
        ACK, ANSWER, Egress, FAMILIES, FIN, Family, Ingress, QUERY, RST, SERVFAIL_TRUNCATED, SERVICE_VLAN, SYN, VLAN,
        with_extensions, with_options,
    },
    hooks::Hook,
    node::{GUE_PORT, KINDS, LOCAL},
};

/// A packet on an Ethernet.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) frame: Vec<u8>,
    /// Where the IP header starts.
    link_bytes: usize,
}

impl Shape {
    fn new(family: Family, tags: &[u16], ip: &[u8]) -> Self {
        Self {
            frame: family.tagged(tags, ip),
            link_bytes: 14 + 4 * tags.len(),
        }
    }

    /// An Ethernet frame.
    pub(crate) fn of_frame(frame: &[u8]) -> Self {
        let ethertype = |tags: usize| {
            frame
                .get(12 + 4 * tags..)?
                .first_chunk()
                .copied()
                .map(u16::from_be_bytes)
        };
        let is_tag = |tags: &usize| ethertype(*tags).is_some_and(|kind| kind == VLAN || kind == SERVICE_VLAN);
        Self {
            frame: frame.to_vec(),
            link_bytes: 14 + 4 * (0..3).take_while(is_tag).count(),
        }
    }

    /// The bytes that a hook sees.
    pub(crate) fn seen_by(&self, hook: Hook) -> &[u8] {
        match hook.framing() {
            Framing::Ethernet => &self.frame,
            Framing::Ip => self.frame.get(self.link_bytes..).unwrap_or_default(),
        }
    }
}

/// The packets to start from.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for family in FAMILIES {
        let packets = datagrams(family)
            .into_iter()
            .chain(segments(family))
            .chain(odd(family))
            .chain(tunnels(family));
        shapes.extend(packets.map(|packet| Shape::new(family, &[], &packet)));
        let query = family.udp(Ingress, 53, &QUERY);
        let answer = family.udp(Egress, 53, &ANSWER);
        for packet in [query, answer] {
            for tags in [&[VLAN][..], &[SERVICE_VLAN], &[SERVICE_VLAN, VLAN], &[VLAN; 3]] {
                shapes.push(Shape::new(family, tags, &packet));
            }
        }
    }
    let mut arp = Shape::new(Family::V4, &[], &[0; 28]);
    arp.frame[12..14].copy_from_slice(&[0x08, 0x06]);
    shapes.push(arp);
    shapes
}

/// To and from every service over UDP.
fn datagrams(family: Family) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for (classifier, port) in KINDS {
        for (direction, payload) in messages(classifier) {
            packets.push(family.udp(direction, port, &payload));
        }
    }
    packets.push(family.udp(Ingress, 54, &QUERY));
    packets
}

/// Queries, answers and others of a protocol over UDP.
fn messages(classifier: Classifier) -> Vec<(anycast_ebpf::packet::Direction, Vec<u8>)> {
    // No two bytes of it are the same.
    let of = |head: &[u8], length: u8| [head, &(head.len() as u8..length).collect::<Vec<_>>()].concat();
    let ntp = |first: u8, place: usize| {
        let mut message = of(&[first], 48);
        message[place..place + 8].copy_from_slice(b"sometime");
        message
    };
    let ike = |version: u8, flags: u8| of(&[&[0x11; 16][..], &[33, version, 34, flags]].concat(), 40);
    let marked = |message: Vec<u8>| [vec![0; 4], message].concat();
    match classifier {
        Classifier::DnsUdp => vec![
            (Ingress, QUERY.to_vec()),
            (Egress, ANSWER.to_vec()),
            (Egress, SERVFAIL_TRUNCATED.to_vec()),
        ],
        Classifier::Ntp => vec![(Ingress, ntp(0x23, 40)), (Egress, ntp(0x24, 24))],
        Classifier::Quic => vec![
            (Ingress, of(&[0xc3, 0, 0, 0, 1], 60)),
            (Ingress, of(&[0xd3, 0x6b, 0x33, 0x43, 0xcf], 60)),
            (Ingress, of(&[0x43], 40)),
            (Egress, of(&[0xe3, 0, 0, 0, 1], 60)),
        ],
        Classifier::WireGuard => vec![
            (Ingress, of(b"\x01\0\0\0mine", 148)),
            (Egress, of(b"\x02\0\0\0hersmine", 92)),
            (Egress, of(b"\x03\0\0\0mine", 64)),
            (Ingress, of(&[4, 0, 0, 0], 32)),
        ],
        Classifier::Ike => vec![
            (Ingress, ike(0x20, 0x08)),
            (Egress, ike(0x20, 0x20)),
            (Ingress, ike(0x10, 0)),
        ],
        Classifier::IkeNatTraversal => vec![
            (Ingress, marked(ike(0x20, 0x08))),
            (Egress, marked(ike(0x20, 0x20))),
            (Ingress, of(&[0x11], 64)),
            (Ingress, vec![0xff]),
        ],
        Classifier::Udp | Classifier::UdpOneWay => vec![(Ingress, of(b"request", 20)), (Egress, of(b"response", 20))],
        Classifier::Tcp | Classifier::TcpServerFirst => Vec::new(),
    }
}

/// To and from every service over TCP.
fn segments(family: Family) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for (classifier, port) in KINDS {
        if matches!(classifier, Classifier::Tcp | Classifier::TcpServerFirst) {
            for (direction, flags, payload) in [
                (Ingress, SYN, &b""[..]),
                (Egress, SYN | ACK, b""),
                (Ingress, ACK, b""),
                (Ingress, ACK, b"a request"),
                (Egress, ACK, b"a response"),
                (Egress, RST | ACK, b""),
                (Ingress, FIN | ACK, b""),
            ] {
                packets.push(family.tcp(direction, port, flags, payload));
            }
        }
    }
    packets.push(family.tcp(Ingress, 54, ACK, b"a request"));
    packets
}

/// Options, extension headers, fragments, ICMP, sources that are no clients.
fn odd(family: Family) -> Vec<Vec<u8>> {
    let query = family.udp(Ingress, 53, &QUERY);
    let request = family.tcp(Ingress, 853, ACK, b"a request");
    let transport = &query[family.header_bytes()..];
    let mut packets = vec![
        family.ip_of(LOCAL, Ingress, 17, transport),
        family.ip_of(LOCAL, Ingress, 6, &request[family.header_bytes()..]),
        family.port_unreachable(&query),
        family.port_unreachable(&request),
        family.port_unreachable(&query[..family.header_bytes() + 8]),
    ];
    match family {
        Family::V4 => {
            let with_word = |word: [u8; 2]| {
                let mut packet = query.clone();
                packet[6..8].copy_from_slice(&word);
                packet
            };
            packets.extend([
                with_options(&query, &[1; 8]),
                with_options(&family.udp(Egress, 53, &ANSWER), &[1; 40]),
                family.port_unreachable(&with_options(&query, &[1; 4])),
                with_word([0x20, 0]),
                with_word([0x20, 0xb9]),
            ]);
        }
        Family::V6 => {
            let hop: (u8, &[u8]) = (0, &[0, 1, 4, 0, 0, 0, 0]);
            let long: (u8, &[u8]) = (60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            let first: (u8, &[u8]) = (44, &[0, 0, 1, 0, 0, 0, 9]);
            let later: (u8, &[u8]) = (44, &[0, 5, 0xc8, 0, 0, 0, 9]);
            for extensions in [&[hop][..], &[hop, long, first], &[later], &[long; 5]] {
                packets.push(with_extensions(&query, extensions));
            }
            packets.push(family.port_unreachable(&with_extensions(&query, &[hop])));
            packets.push(with_extensions(&family.port_unreachable(&query), &[hop]));
        }
    }
    packets
}

/// A query and a request of either version in each tunnel.
fn tunnels(outer: Family) -> Vec<Vec<u8>> {
    let mut packets = vec![outer.udp(Ingress, GUE_PORT, &[0x20, 4, 0, 0])];
    for inner in FAMILIES {
        for packet in [
            inner.udp(Ingress, 53, &QUERY),
            inner.tcp(Ingress, 853, ACK, b"a request"),
        ] {
            let gue = |header: &[u8]| outer.udp(Ingress, GUE_PORT, &[header, &packet].concat());
            packets.extend([
                outer.ip(Ingress, inner.protocol(), &packet),
                gue(&[]),
                gue(&[0, inner.protocol(), 0, 0]),
                gue(&[&[31, inner.protocol(), 0, 0][..], &[7; 124]].concat()),
            ]);
        }
    }
    packets
}
