//! Packets between a client and the services.

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, icmpv4,
    icmpv6,
};

use anycast_ebpf::packet::Direction;

pub(crate) use Direction::{Egress, Ingress};

pub(crate) const CLIENT_PORT: u16 = 40_000;
pub(crate) const SERVICE: [u8; 4] = [192, 0, 2, 53];
pub(crate) const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

pub(crate) const QUERY: [u8; 12] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
pub(crate) const ANSWER: [u8; 12] = [0x12, 0x34, 0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0];
pub(crate) const SERVFAIL_TRUNCATED: [u8; 12] = [0x12, 0x34, 0x82, 0x02, 0, 1, 0, 0, 0, 0, 0, 0];

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

pub(crate) const VLAN: u16 = 0x8100;
pub(crate) const SERVICE_VLAN: u16 = 0x88a8;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Family {
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

    /// An IP packet between the client with this last number and the service address.
    pub(crate) fn ip_of(self, host: u8, direction: Direction, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u16;
        let mut packet = match self {
            Self::V4 => {
                let (source, destination) = ends(direction, client(host), SERVICE);
                Ipv4Header::new(length, 64, IpNumber(protocol), source, destination)
                    .expect("a short payload")
                    .to_bytes()
                    .to_vec()
            }
            Self::V6 => {
                let (source, destination) = ends(direction, client_v6(host), SERVICE_V6);
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

    /// An IP packet between a client and the service address.
    pub(crate) fn ip(self, direction: Direction, protocol: u8, payload: &[u8]) -> Vec<u8> {
        self.ip_of(7, direction, protocol, payload)
    }

    /// An IP packet with a datagram between a client and the service at `port`.
    pub(crate) fn udp(self, direction: Direction, port: u16, payload: &[u8]) -> Vec<u8> {
        self.udp_of(CLIENT_PORT, direction, port, payload)
    }

    /// An IP packet with a datagram between a client's port and the service at `port`.
    pub(crate) fn udp_of(self, client_port: u16, direction: Direction, port: u16, payload: &[u8]) -> Vec<u8> {
        let (source_port, destination_port) = ends(direction, client_port, port);
        let header = UdpHeader {
            source_port,
            destination_port,
            length: 8 + payload.len() as u16,
            checksum: 0,
        };
        self.ip(direction, PROTOCOL_UDP, &[&header.to_bytes(), payload].concat())
    }

    /// An IP packet with a segment between a client's port and the service at `port`.
    pub(crate) fn tcp_of(
        self,
        client_port: u16,
        direction: Direction,
        port: u16,
        flags: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let (source_port, destination_port) = ends(direction, client_port, port);
        let mut header = TcpHeader::new(source_port, destination_port, 1, 65_535);
        header.fin = flags & FIN != 0;
        header.syn = flags & SYN != 0;
        header.rst = flags & RST != 0;
        header.ack = flags & ACK != 0;
        self.ip(direction, PROTOCOL_TCP, &[&header.to_bytes(), payload].concat())
    }

    /// An IP packet with a segment between a client and the service at `port`.
    pub(crate) fn tcp(self, direction: Direction, port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        self.tcp_of(CLIENT_PORT, direction, port, flags, payload)
    }

    /// An IP packet in which the service address says port unreachable, and quotes an IP packet.
    pub(crate) fn port_unreachable(self, quoted: &[u8]) -> Vec<u8> {
        let (protocol, header) = match self {
            Self::V4 => {
                let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
                (1, Icmpv4Header::new(kind).to_bytes().to_vec())
            }
            Self::V6 => {
                let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
                (58, Icmpv6Header::new(kind).to_bytes().to_vec())
            }
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
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 5]);
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(ip);
        frame
    }

    /// Puts an IP packet on an Ethernet.
    pub(crate) fn frame(self, ip: &[u8]) -> Vec<u8> {
        self.tagged(&[], ip)
    }

    /// A frame with a DNS query.
    pub(crate) fn query(self) -> Vec<u8> {
        self.frame(&self.udp(Ingress, 53, &QUERY))
    }

    /// A frame with a DNS answer.
    pub(crate) fn answer(self, message: &[u8; 12]) -> Vec<u8> {
        self.frame(&self.udp(Egress, 53, message))
    }
}

pub(crate) const fn client(host: u8) -> [u8; 4] {
    [198, 51, 100, host]
}

pub(crate) const fn client_v6(host: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

/// Source and destination.
fn ends<T>(direction: Direction, client: T, service: T) -> (T, T) {
    match direction {
        Ingress => (client, service),
        Egress => (service, client),
    }
}

/// Puts `options` into an IPv4 packet behind its header. Their length is a multiple of four.
pub(crate) fn with_options(ip: &[u8], options: &[u8]) -> Vec<u8> {
    let (header, payload) = ip.split_at(20);
    let mut packet = [header, options, payload].concat();
    packet[0] = 0x45 + (options.len() / 4) as u8;
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet
}

/// Puts extension headers into an IPv6 packet: the kind of each, and its bytes but for the next kind.
pub(crate) fn with_extensions(ip: &[u8], extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let (header, payload) = ip.split_at(40);
    let mut packet = header.to_vec();
    let mut place = 6;
    for (kind, bytes) in extensions {
        packet[place] = *kind;
        place = packet.len();
        packet.push(header[6]);
        packet.extend_from_slice(bytes);
    }
    packet.extend_from_slice(payload);
    let length = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet
}
