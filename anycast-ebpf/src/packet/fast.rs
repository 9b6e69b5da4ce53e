//! The common shapes: one bounds check, a few comparisons of whole words, nothing followed.

use super::{Direction, Flow, Framing, Head, Packet, View, transport::UDP_HEADER_BYTES};
use crate::layout::{PROTOCOL_TCP, PROTOCOL_UDP, ServiceKey, halves, ipv4_mapped};

const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = ETHERNET_BYTES + 4;
/// From the start of an IPv4 header without options to the end of a DNS header over UDP; a TCP header ends there too.
const IPV4_BYTES: usize = 20 + 8 + 12;
/// The same for IPv6 without extension headers.
const IPV6_BYTES: usize = 40 + 8 + 12;

// Of the wire, loaded as native numbers.
const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();
const ETHERTYPE_VLAN: u16 = 0x8100_u16.to_be();
/// More fragments, and the offset of this one.
const FRAGMENT: u16 = 0x3fff_u16.to_be();

/// What is done with a [`Flow`]. A continuation, and not a value that is returned: what most packets don't need, as they
/// are nobody's, the compiler then reads only for those that do. No closure, which can't be told to be inlined.
pub trait Take {
    /// Takes it. To be inlined always.
    fn take(self, flow: &Flow);
}

/// Reads UDP and TCP over IP without options or fragments, behind at most one VLAN tag, with [`Head::PAYLOAD_BYTES`] or
/// more behind the UDP header, and hands it to `take`. `None`: [`follow`](super::follow) has to look.
#[inline(always)]
pub fn fast<P: Packet>(packet: &P, view: View, take: impl Take) -> Option<()> {
    match shape(packet, view.framing)? {
        Shape::Ipv4(bytes, start) => ipv4(bytes, start, view, take),
        Shape::Ipv6(bytes, start) => ipv6(bytes, start, view, take),
    }
}

/// What may be a plain IP header and what follows it, and where in the packet it starts.
enum Shape<'packet> {
    Ipv4(&'packet [u8; IPV4_BYTES], usize),
    Ipv6(&'packet [u8; IPV6_BYTES], usize),
}

#[inline(always)]
fn shape<P: Packet>(packet: &P, framing: Framing) -> Option<Shape<'_>> {
    match framing {
        Framing::Ethernet => {
            let bytes = packet.bytes::<{ ETHERNET_BYTES + IPV4_BYTES }>(0)?;
            match short(bytes, 12)? {
                ETHERTYPE_IPV4 => Some(Shape::Ipv4(bytes.last_chunk()?, ETHERNET_BYTES)),
                ETHERTYPE_IPV6 => Some(Shape::Ipv6(
                    packet.bytes::<{ ETHERNET_BYTES + IPV6_BYTES }>(0)?.last_chunk()?,
                    ETHERNET_BYTES,
                )),
                ETHERTYPE_VLAN => match short(bytes, 16)? {
                    ETHERTYPE_IPV4 => Some(Shape::Ipv4(
                        packet.bytes::<{ VLAN_BYTES + IPV4_BYTES }>(0)?.last_chunk()?,
                        VLAN_BYTES,
                    )),
                    ETHERTYPE_IPV6 => Some(Shape::Ipv6(
                        packet.bytes::<{ VLAN_BYTES + IPV6_BYTES }>(0)?.last_chunk()?,
                        VLAN_BYTES,
                    )),
                    _ => None,
                },
                _ => None,
            }
        }
        Framing::Ip => {
            let bytes = packet.bytes::<IPV4_BYTES>(0)?;
            match bytes[0] >> 4 {
                4 => Some(Shape::Ipv4(bytes, 0)),
                6 => Some(Shape::Ipv6(packet.bytes(0)?, 0)),
                _ => None,
            }
        }
    }
}

/// `start` is where the header starts in the packet.
#[inline(always)]
fn ipv4(bytes: &[u8; IPV4_BYTES], start: usize, view: View, take: impl Take) -> Option<()> {
    if bytes[0] != 0x45 || short(bytes, 6)? & FRAGMENT != 0 {
        return None;
    }
    let address = |at| chunk(bytes, at).map(|address| ipv4_mapped(u32::from_ne_bytes(address)));
    let datagram = Plain {
        source: address(12)?,
        destination: address(16)?,
        protocol: bytes[9],
        transport: start + 20,
        transport_bytes: u16::from_be(short(bytes, 2)?).checked_sub(20)?,
        header: bytes.last_chunk()?,
    };
    datagram.hand_over(view, take)
}

/// As [`ipv4`].
#[inline(always)]
fn ipv6(bytes: &[u8; IPV6_BYTES], start: usize, view: View, take: impl Take) -> Option<()> {
    let payload_bytes = short(bytes, 4)?;
    // Zero: a jumbogram, or segments that the kernel has put together.
    if bytes[0] >> 4 != 6 || payload_bytes == 0 {
        return None;
    }
    let datagram = Plain {
        source: halves(chunk(bytes, 8)?),
        destination: halves(chunk(bytes, 24)?),
        protocol: bytes[6],
        transport: start + 40,
        transport_bytes: u16::from_be(payload_bytes),
        header: bytes.last_chunk()?,
    };
    datagram.hand_over(view, take)
}

/// A datagram whose IP header is as plain as can be.
struct Plain<'packet> {
    source: [u64; 2],
    destination: [u64; 2],
    protocol: u8,
    transport: usize,
    transport_bytes: u16,
    /// The UDP header and the start of its payload, or the TCP header.
    header: &'packet [u8; 20],
}

impl Plain<'_> {
    #[inline(always)]
    fn hand_over(self, view: View, take: impl Take) -> Option<()> {
        let Self {
            source,
            destination,
            protocol,
            transport,
            transport_bytes,
            header,
        } = self;
        let (transport_bytes, head) = match protocol {
            PROTOCOL_UDP => {
                let length = u16::from_be(short(header, 4)?);
                if usize::from(length) < UDP_HEADER_BYTES + Head::PAYLOAD_BYTES {
                    return None;
                }
                let head = Head {
                    is_known: true,
                    word: u32::from_ne_bytes(chunk(header, UDP_HEADER_BYTES)?),
                };
                (length, head)
            }
            PROTOCOL_TCP => (transport_bytes, Head::UNKNOWN),
            _ => return None,
        };
        let (source_port, destination_port) = (short(header, 0)?, short(header, 2)?);
        // A tunnel's port may be a service's by mistake: `follow` looks for the tunnel first.
        if view.tunnels.gue_port != 0
            && view.direction == Direction::Ingress
            && protocol == PROTOCOL_UDP
            && u16::from_be(destination_port) == view.tunnels.gue_port
        {
            return None;
        }
        let (service, client) = match view.direction {
            Direction::Ingress => ((destination, destination_port), (source, source_port)),
            Direction::Egress => ((source, source_port), (destination, destination_port)),
        };
        take.take(&Flow {
            service: ServiceKey::new(service.0, protocol, service.1),
            client: client.0,
            client_port: client.1,
            transport,
            transport_bytes: Some(transport_bytes),
            head,
        });
        Some(())
    }
}

/// `N` bytes at a constant position, which the compiler knows to be there, by one load.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Two bytes of the wire as a native number, likewise.
#[inline(always)]
fn short(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(u16::from_ne_bytes)
}
