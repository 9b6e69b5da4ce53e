//! The common shapes: one bounds check, a few comparisons of whole words, nothing followed.

use super::{Direction, Flow, Framing, Head, Packet, View, transport::UDP_HEADER_BYTES};
use crate::layout::{PROTOCOL_TCP, PROTOCOL_UDP, ServiceKey, halves, ipv4_mapped};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;

/// From the start of an IPv4 header without options to the end of a DNS header over UDP; a TCP header ends there too.
const IPV4_BYTES: usize = 20 + 8 + 12;
/// The same for IPv6 without extension headers.
const IPV6_BYTES: usize = 40 + 8 + 12;
/// More fragments, and the offset of this one.
const FRAGMENT: u16 = 0x3fff;
const ETHERNET: usize = 14;
const VLAN: usize = ETHERNET + 4;

/// Reads UDP and TCP over IP without options or fragments, behind at most one VLAN tag, with 12 bytes or more behind
/// the UDP header. `None`: [`follow`](super::follow) has to look.
#[inline(always)]
pub fn fast<P: Packet>(packet: &P, view: View) -> Option<Flow> {
    let View {
        direction,
        framing,
        tunnels,
    } = view;
    let flow = match framing {
        Framing::Ethernet => {
            let bytes = packet.bytes::<{ ETHERNET + IPV4_BYTES }>(0)?;
            match u16::from_be_bytes([bytes[12], bytes[13]]) {
                ETHERTYPE_IPV4 => ipv4::<ETHERNET, _>(bytes, direction),
                ETHERTYPE_IPV6 => ipv6::<ETHERNET, _>(packet.bytes::<{ ETHERNET + IPV6_BYTES }>(0)?, direction),
                ETHERTYPE_VLAN => match u16::from_be_bytes([bytes[16], bytes[17]]) {
                    ETHERTYPE_IPV4 => ipv4::<VLAN, _>(packet.bytes::<{ VLAN + IPV4_BYTES }>(0)?, direction),
                    ETHERTYPE_IPV6 => ipv6::<VLAN, _>(packet.bytes::<{ VLAN + IPV6_BYTES }>(0)?, direction),
                    _ => None,
                },
                _ => None,
            }
        }
        Framing::Ip => {
            let bytes = packet.bytes::<IPV4_BYTES>(0)?;
            match bytes[0] >> 4 {
                4 => ipv4::<0, _>(bytes, direction),
                6 => ipv6::<0, _>(packet.bytes::<IPV6_BYTES>(0)?, direction),
                _ => None,
            }
        }
    }?;
    // The port of a tunnel may be in a service's key by mistake; `follow` looks for the tunnel first.
    let is_tunnel = tunnels.gue_port != 0
        && direction == Direction::Ingress
        && flow.service.protocol() == PROTOCOL_UDP
        && flow.service.wire_port() == tunnels.gue_port.to_be();
    (!is_tunnel).then_some(flow)
}

/// `START` is where the IP header starts in the `BYTES` that were checked.
#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    reason = "constants; the compiler checks them for each START and BYTES"
)]
fn ipv4<const START: usize, const BYTES: usize>(bytes: &[u8; BYTES], direction: Direction) -> Option<Flow> {
    const { assert!(START + IPV4_BYTES == BYTES) }
    let short = |at: usize| [bytes[START + at], bytes[START + at + 1]];
    let address = |at: usize| {
        ipv4_mapped(u32::from_ne_bytes([
            bytes[START + at],
            bytes[START + at + 1],
            bytes[START + at + 2],
            bytes[START + at + 3],
        ]))
    };
    let is_plain = bytes[START] == 0x45 && u16::from_be_bytes(short(6)) & FRAGMENT == 0;
    let payload_bytes = u16::from_be_bytes(short(2)).checked_sub(20)?;
    if !is_plain {
        return None;
    }
    let ends = Ends {
        addresses: (address(12), address(16)),
        ports: (u16::from_ne_bytes(short(20)), u16::from_ne_bytes(short(22))),
    };
    let head = [
        bytes[START + 28],
        bytes[START + 29],
        bytes[START + 30],
        bytes[START + 31],
    ];
    let udp_length = u16::from_be_bytes(short(24));
    ends.flow(direction, bytes[START + 9], START + 20, payload_bytes, udp_length, head)
}

/// As [`ipv4`].
#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    reason = "constants; the compiler checks them for each START and BYTES"
)]
fn ipv6<const START: usize, const BYTES: usize>(bytes: &[u8; BYTES], direction: Direction) -> Option<Flow> {
    const { assert!(START + IPV6_BYTES == BYTES) }
    let short = |at: usize| [bytes[START + at], bytes[START + at + 1]];
    let address = |at: usize| {
        let mut address = [0; 16];
        let mut i = 0;
        while i < 16 {
            address[i] = bytes[START + at + i];
            i += 1;
        }
        halves(address)
    };
    let payload_bytes = u16::from_be_bytes(short(4));
    // Zero: a jumbogram, or segments that the kernel has put together.
    if bytes[START] >> 4 != 6 || payload_bytes == 0 {
        return None;
    }
    let ends = Ends {
        addresses: (address(8), address(24)),
        ports: (u16::from_ne_bytes(short(40)), u16::from_ne_bytes(short(42))),
    };
    let head = [
        bytes[START + 48],
        bytes[START + 49],
        bytes[START + 50],
        bytes[START + 51],
    ];
    let udp_length = u16::from_be_bytes(short(44));
    ends.flow(direction, bytes[START + 6], START + 40, payload_bytes, udp_length, head)
}

/// Source and destination.
struct Ends {
    addresses: ([u64; 2], [u64; 2]),
    ports: (u16, u16),
}

impl Ends {
    #[inline(always)]
    fn flow(
        self,
        direction: Direction,
        protocol: u8,
        transport: usize,
        transport_bytes: u16,
        udp_length: u16,
        head: [u8; 4],
    ) -> Option<Flow> {
        let head = match protocol {
            PROTOCOL_UDP if usize::from(udp_length) >= UDP_HEADER_BYTES => Head {
                is_known: true,
                word: u32::from_ne_bytes(head),
            },
            PROTOCOL_TCP => Head::UNKNOWN,
            _ => return None,
        };
        let Self {
            addresses: (source, destination),
            ports: (source_port, destination_port),
        } = self;
        let (service, client) = match direction {
            Direction::Ingress => ((destination, destination_port), (source, source_port)),
            Direction::Egress => ((source, source_port), (destination, destination_port)),
        };
        Some(Flow {
            service: ServiceKey::new(service.0, protocol, service.1),
            client: client.0,
            client_port: client.1,
            transport,
            transport_bytes: Some(transport_bytes),
            head,
        })
    }
}
