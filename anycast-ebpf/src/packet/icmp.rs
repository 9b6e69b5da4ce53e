//! ICMP port unreachable (RFC 792, RFC 4443): what a host sends for a datagram to a port on which nobody listens.

use super::{
    Followed, Packet,
    link::Start,
    network::{self, Datagram},
};
use crate::layout::{PROTOCOL_TCP, PROTOCOL_UDP, ServiceKey, Unclassified};

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;
/// Type, code, checksum, four unused bytes; then the packet that could not be delivered.
const HEADER_BYTES: usize = 8;

/// Type and code of port unreachable.
const PORT_UNREACHABLE: [u8; 2] = [3, 3];
const PORT_UNREACHABLE_V6: [u8; 2] = [1, 4];

/// The service that an ICMP message on its way out says nobody listens on.
#[inline(always)]
pub(super) fn unreachable<P: Packet>(packet: &P, datagram: &Datagram) -> Result<Followed, Unclassified> {
    if datagram.protocol != PROTOCOL_ICMP && datagram.protocol != PROTOCOL_ICMPV6 {
        return Ok(Followed::Other);
    }
    let &[kind, code, ..] = packet
        .bytes::<HEADER_BYTES>(datagram.payload)
        .ok_or(Unclassified::Truncated)?;
    let quoted = datagram.payload + HEADER_BYTES;
    let quoted = match (datagram.protocol, [kind, code]) {
        (PROTOCOL_ICMP, PORT_UNREACHABLE) => Start::Ipv4(quoted),
        (PROTOCOL_ICMPV6, PORT_UNREACHABLE_V6) => Start::Ipv6(quoted),
        _ => return Ok(Followed::Other),
    };
    let quoted = network::datagram(packet, quoted)?;
    if quoted.protocol != PROTOCOL_UDP && quoted.protocol != PROTOCOL_TCP {
        return Ok(Followed::Other);
    }
    let &[_, _, port_0, port_1] = packet.bytes::<4>(quoted.payload).ok_or(Unclassified::Truncated)?;
    Ok(Followed::Unreachable(ServiceKey::new(
        quoted.destination,
        quoted.protocol,
        u16::from_ne_bytes([port_0, port_1]),
    )))
}
