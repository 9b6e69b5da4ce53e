//! Packets for the tests.

extern crate std;
use std::{vec, vec::Vec};

use etherparse::{Icmpv4Type, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, icmpv4, icmpv6};

use crate::{
    layout::{PROTOCOL_TCP, PROTOCOL_UDP, ServiceKey},
    packet::{self, Direction, Flow, Framing, Take, Tunnels, View},
};

pub(crate) use Direction::{Egress, Ingress};

pub(crate) const CLIENT_PORT: u16 = 40_000;
/// A DNS query header.
pub(crate) const QUERY: [u8; 12] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];

/// The answer to it.
pub(crate) const ANSWER: [u8; 12] = [0x12, 0x34, 0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0];

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

const VLAN_TAG: [u8; 2] = [0, 5];

/// An IP version, with a client and a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The length of the IP header without options.
    pub(crate) const fn header_bytes(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// Its number where IP carries it.
    pub(crate) const fn protocol(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 41,
        }
    }

    /// The service with this protocol and port.
    pub(crate) const fn service(self, protocol: u8, port: u16) -> ServiceKey {
        match self {
            Self::V4 => ServiceKey::ipv4([192, 0, 2, 53], protocol, port),
            Self::V6 => ServiceKey::ipv6(V6_SERVICE, protocol, port),
        }
    }

    /// A client's address, like [`ServiceKey::address`].
    pub(crate) const fn client(self, host: u8) -> [u64; 2] {
        match self {
            Self::V4 => ServiceKey::ipv4([198, 51, 100, host], 0, 0).address,
            Self::V6 => ServiceKey::ipv6(v6_client(host), 0, 0).address,
        }
    }

    /// An IP packet between client 7 and the service.
    pub(crate) fn ip(self, direction: Direction, protocol: u8, payload: &[u8]) -> Vec<u8> {
        self.ip_of(7, direction, protocol, payload)
    }

    /// An IP packet between the client `host` and the service.
    pub(crate) fn ip_of(self, host: u8, direction: Direction, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u16;
        let mut packet = match self {
            Self::V4 => {
                let (source, destination) = ends(direction, [198, 51, 100, host], [192, 0, 2, 53]);
                Ipv4Header::new(length, 64, IpNumber(protocol), source, destination)
                    .expect("a short payload")
                    .to_bytes()
                    .to_vec()
            }
            Self::V6 => {
                let (source, destination) = ends(direction, v6_client(host), V6_SERVICE);
                let header = Ipv6Header {
                    payload_length: length,
                    next_header: IpNumber(protocol),
                    hop_limit: 64,
                    source,
                    destination,
                    ..Default::default()
                };
                header.to_bytes().to_vec()
            }
        };
        packet.extend_from_slice(payload);
        packet
    }

    /// An IP packet with a UDP datagram between the client and the service at `port`.
    pub(crate) fn udp(self, direction: Direction, port: u16, payload: &[u8]) -> Vec<u8> {
        self.ip(direction, PROTOCOL_UDP, &udp(direction, port, payload))
    }

    /// An IP packet with a TCP segment between the client and the service at `port`.
    pub(crate) fn tcp(self, direction: Direction, port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        self.ip(direction, PROTOCOL_TCP, &tcp(direction, port, flags, payload))
    }

    /// An IP packet in which the service says port unreachable, and quotes an IP packet.
    pub(crate) fn port_unreachable(self, quoted: &[u8]) -> Vec<u8> {
        use icmpv4::DestUnreachableHeader::Port;
        let header = match self {
            Self::V4 => etherparse::Icmpv4Header::new(Icmpv4Type::DestinationUnreachable(Port))
                .to_bytes()
                .to_vec(),
            Self::V6 => {
                let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
                etherparse::Icmpv6Header::new(kind).to_bytes().to_vec()
            }
        };
        let protocol = match self {
            Self::V4 => 1,
            Self::V6 => 58,
        };
        self.ip(Egress, protocol, &[&header, quoted].concat())
    }

    /// Puts an IP packet on an Ethernet, behind a tag for each of `tags`.
    pub(crate) fn tagged(self, tags: &[u16], ip: &[u8]) -> Vec<u8> {
        let ethertype: u16 = match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        };
        let mut frame = vec![2; 12];
        for tag in tags {
            frame.extend_from_slice(&tag.to_be_bytes());
            frame.extend_from_slice(&VLAN_TAG);
        }
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame.extend_from_slice(ip);
        frame
    }

    /// Puts an IP packet on an Ethernet.
    pub(crate) fn frame(self, ip: &[u8]) -> Vec<u8> {
        self.tagged(&[], ip)
    }
}

const V6_SERVICE: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

const fn v6_client(host: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

/// Source and destination.
fn ends<T>(direction: Direction, client: T, service: T) -> (T, T) {
    match direction {
        Ingress => (client, service),
        Egress => (service, client),
    }
}

/// A UDP datagram between the client and the service at `port`.
pub(crate) fn udp(direction: Direction, port: u16, payload: &[u8]) -> Vec<u8> {
    let (source_port, destination_port) = ends(direction, CLIENT_PORT, port);
    let header = UdpHeader {
        source_port,
        destination_port,
        length: 8 + payload.len() as u16,
        checksum: 0,
    };
    [&header.to_bytes(), payload].concat()
}

/// A TCP segment between the client and the service at `port`.
pub(crate) fn tcp(direction: Direction, port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (source_port, destination_port) = ends(direction, CLIENT_PORT, port);
    let mut header = TcpHeader::new(source_port, destination_port, 1, 65_535);
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.ack = flags & ACK != 0;
    [&header.to_bytes(), payload].concat()
}

/// Puts `options` into an IPv4 packet behind its header. Their length is a multiple of four.
pub(crate) fn with_options(ip: &[u8], options: &[u8]) -> Vec<u8> {
    let (header, payload) = ip.split_at(20);
    let mut packet = [header, options, payload].concat();
    packet[0] = 0x45 + (options.len() / 4) as u8;
    set_ipv4_length(&mut packet);
    packet
}

/// Makes the total length of an IPv4 packet right.
pub(crate) fn set_ipv4_length(packet: &mut [u8]) {
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Puts extension headers into an IPv6 packet: the kind of each, and its bytes but for the next kind.
pub(crate) fn with_extensions(ip: &[u8], extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let (header, payload) = ip.split_at(40);
    let mut packet = header.to_vec();
    let mut place = 6;
    let last = header[6];
    for (kind, bytes) in extensions {
        packet[place] = *kind;
        place = packet.len();
        packet.push(last);
        packet.extend_from_slice(bytes);
    }
    packet.extend_from_slice(payload);
    let length = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet
}

/// A packet on an Ethernet, no tunnel looked through.
pub(crate) const fn ethernet(direction: Direction) -> View {
    View {
        direction,
        framing: Framing::Ethernet,
        tunnels: NO_TUNNELS,
    }
}

/// No tunnel is looked through.
pub(crate) const NO_TUNNELS: Tunnels = Tunnels {
    ip_in_ip: false,
    gue_port: 0,
};

/// All are.
pub(crate) const TUNNELS: Tunnels = Tunnels {
    ip_in_ip: true,
    gue_port: 6080,
};

/// What [`packet::fast`] hands over.
pub(crate) fn fast(packet: &[u8], view: View) -> Option<Flow> {
    struct Keep<'flow>(&'flow mut Option<Flow>);
    impl Take for Keep<'_> {
        fn take(self, flow: &Flow) {
            *self.0 = Some(*flow);
        }
    }
    let mut flow = None;
    let is_known = packet::fast(&packet, view, Keep(&mut flow)).is_some();
    assert_eq!(
        is_known,
        flow.is_some(),
        "handed over and not said, or the other way round"
    );
    flow
}
