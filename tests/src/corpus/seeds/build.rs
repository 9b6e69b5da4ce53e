//! What crafted packets are put together from: the bytes of one layer, or of all from IP upwards.

use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder, TcpHeader, icmpv4, icmpv6};

/// A client's IPv4 address (RFC 5737).
pub const CLIENT: [u8; 4] = [198, 51, 100, 7];
/// A client's IPv6 address (RFC 3849).
pub const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
/// The IPv4 service address.
pub const SERVICE: [u8; 4] = [192, 0, 2, 53];
/// The IPv6 service address.
pub const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

/// The client's port.
const CLIENT_PORT: u16 = 40_000;
const HOPS: u8 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// Source and destination, of the client's and the service's.
    pub(super) const fn ends<T: Copy>(self, client: T, service: T) -> (T, T) {
        match self {
            Self::In => (client, service),
            Self::Out => (service, client),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }

    /// The length of its header.
    pub(super) const fn header_bytes(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// Its number where it is carried by IP.
    pub(super) const fn protocol(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 41,
        }
    }

    const fn ethertype(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }

    /// An IP packet with a UDP datagram of the client and the service at `port`.
    pub(super) fn udp(self, way: Way, port: u16, payload: &[u8]) -> Vec<u8> {
        let (source_port, destination_port) = way.ends(CLIENT_PORT, port);
        match self {
            Self::V4 => {
                let (source, destination) = way.ends(CLIENT, SERVICE);
                let builder = PacketBuilder::ipv4(source, destination, HOPS).udp(source_port, destination_port);
                written(builder.size(payload.len()), |packet| builder.write(packet, payload))
            }
            Self::V6 => {
                let (source, destination) = way.ends(CLIENT_V6, SERVICE_V6);
                let builder = PacketBuilder::ipv6(source, destination, HOPS).udp(source_port, destination_port);
                written(builder.size(payload.len()), |packet| builder.write(packet, payload))
            }
        }
    }

    /// An IP packet with a TCP segment of the client and the service at `port`; `flags` is the header's octet.
    pub(super) fn tcp(self, way: Way, port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (source_port, destination_port) = way.ends(CLIENT_PORT, port);
        let mut header = TcpHeader::new(source_port, destination_port, 1, 65_535);
        header.acknowledgment_number = 1;
        header.fin = flags & FIN != 0;
        header.syn = flags & SYN != 0;
        header.rst = flags & RST != 0;
        header.psh = flags & PSH != 0;
        header.ack = flags & ACK != 0;
        match self {
            Self::V4 => {
                let (source, destination) = way.ends(CLIENT, SERVICE);
                let builder = PacketBuilder::ipv4(source, destination, HOPS).tcp_header(header);
                written(builder.size(payload.len()), |packet| builder.write(packet, payload))
            }
            Self::V6 => {
                let (source, destination) = way.ends(CLIENT_V6, SERVICE_V6);
                let builder = PacketBuilder::ipv6(source, destination, HOPS).tcp_header(header);
                written(builder.size(payload.len()), |packet| builder.write(packet, payload))
            }
        }
    }

    /// An IP packet with an ICMP message of the service to the client: port unreachable, and the IP packet that it
    /// quotes.
    pub(super) fn port_unreachable(self, quoted: &[u8]) -> Vec<u8> {
        match self {
            Self::V4 => {
                let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
                let builder = PacketBuilder::ipv4(SERVICE, CLIENT, HOPS).icmpv4(kind);
                written(builder.size(quoted.len()), |packet| builder.write(packet, quoted))
            }
            Self::V6 => {
                let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
                let builder = PacketBuilder::ipv6(SERVICE_V6, CLIENT_V6, HOPS).icmpv6(kind);
                written(builder.size(quoted.len()), |packet| builder.write(packet, quoted))
            }
        }
    }

    /// An IP packet of the client to the service with an echo request.
    pub(super) fn echo_request(self) -> Vec<u8> {
        match self {
            Self::V4 => {
                let builder = PacketBuilder::ipv4(CLIENT, SERVICE, HOPS).icmpv4_echo_request(1, 1);
                written(builder.size(8), |packet| builder.write(packet, &[7; 8]))
            }
            Self::V6 => {
                let builder = PacketBuilder::ipv6(CLIENT_V6, SERVICE_V6, HOPS).icmpv6_echo_request(1, 1);
                written(builder.size(8), |packet| builder.write(packet, &[7; 8]))
            }
        }
    }

    /// An IP packet of a load balancer to the service address that carries `payload` as IP protocol `protocol`.
    pub(super) fn carrying(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = self.udp(Way::In, 0, &[]);
        packet.truncate(self.header_bytes());
        packet.extend_from_slice(payload);
        let length = packet.len() as u16;
        match self {
            Self::V4 => {
                set(&mut packet, 2, &length.to_be_bytes());
                set(&mut packet, 9, &[protocol]);
            }
            Self::V6 => {
                set(&mut packet, 4, &(length - 40).to_be_bytes());
                set(&mut packet, 6, &[protocol]);
            }
        }
        packet
    }
}

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// Puts an IP packet on an Ethernet, behind a VLAN tag for each of `tags`.
pub(super) fn ethernet(family: Family, tags: &[u16], ip: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 6];
    frame.extend_from_slice(&[4; 6]);
    for tag in tags {
        frame.extend_from_slice(&tag.to_be_bytes());
        frame.extend_from_slice(&[0, 5]);
    }
    frame.extend_from_slice(&family.ethertype().to_be_bytes());
    frame.extend_from_slice(ip);
    frame
}

/// The first `length` bytes of `packet`.
pub(super) fn cut(packet: &[u8], length: usize) -> &[u8] {
    packet.get(..length).unwrap_or(packet)
}

/// Overwrites bytes of `packet`; beyond its end nothing happens.
pub(super) fn set(packet: &mut [u8], offset: usize, bytes: &[u8]) {
    for (place, byte) in packet.iter_mut().skip(offset).zip(bytes) {
        *place = *byte;
    }
}

/// Puts `more` into an IPv6 packet behind its header, as extension headers of which the first is `first`.
pub(super) fn extended(ip: &[u8], first: u8, more: &[u8]) -> Vec<u8> {
    let (header, payload) = ip.split_at(Family::V6.header_bytes());
    let mut packet = [header, more, payload].concat();
    let length = (more.len() + payload.len()) as u16;
    set(&mut packet, 4, &length.to_be_bytes());
    set(&mut packet, 6, &[first]);
    packet
}

/// Puts `options` into an IPv4 packet behind its header.
pub(super) fn with_options(ip: &[u8], options: &[u8]) -> Vec<u8> {
    let (header, payload) = ip.split_at(Family::V4.header_bytes());
    let mut packet = [header, options, payload].concat();
    let words = (header.len() + options.len()) / 4;
    let length = packet.len() as u16;
    set(&mut packet, 0, &[0x40 | words as u8]);
    set(&mut packet, 2, &length.to_be_bytes());
    packet
}

/// What `write` writes; it doesn't fail, as payloads here are short and a vector takes all.
fn written<E>(bytes: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut packet = Vec::with_capacity(bytes);
    _ = write(&mut packet);
    packet
}
