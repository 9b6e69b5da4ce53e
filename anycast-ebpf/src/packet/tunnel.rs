//! Tunnels by which an L4 load balancer hands over what clients sent: IP in IP (RFC 2003, RFC 4213) and Generic UDP
//! Encapsulation (draft-ietf-intarea-gue, versions 0 and 1).

use super::{Packet, link::Start, network::Datagram, transport::UDP_HEADER_BYTES};
use crate::layout::{PROTOCOL_UDP, Unclassified};

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_IPV6: u8 = 41;

/// The tunnels that are looked through on the way in. Answers leave by none: they go straight to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// IPv4 or IPv6 in IPv4 or IPv6.
    pub ip_in_ip: bool,
    /// UDP port of GUE, in host order; 0: none.
    pub gue_port: u16,
}

/// The inner packet, where `datagram` is one of a tunnel that is looked through.
#[inline(always)]
pub(super) fn inside<P: Packet>(
    packet: &P,
    datagram: &Datagram,
    tunnels: Tunnels,
) -> Result<Option<Start>, Unclassified> {
    if tunnels.ip_in_ip
        && let Some(start) = start(datagram.protocol, datagram.payload)
    {
        return Ok(Some(start));
    }
    if tunnels.gue_port != 0 && datagram.protocol == PROTOCOL_UDP {
        return gue(packet, datagram.payload, tunnels.gue_port);
    }
    Ok(None)
}

#[inline(always)]
fn start(protocol: u8, offset: usize) -> Option<Start> {
    match protocol {
        PROTOCOL_IPV4 => Some(Start::Ipv4(offset)),
        PROTOCOL_IPV6 => Some(Start::Ipv6(offset)),
        _ => None,
    }
}

#[inline(always)]
fn gue<P: Packet>(packet: &P, udp: usize, port: u16) -> Result<Option<Start>, Unclassified> {
    let &[_, _, port_high, port_low, ..] = packet.bytes::<UDP_HEADER_BYTES>(udp).ok_or(Unclassified::Truncated)?;
    if u16::from_be_bytes([port_high, port_low]) != port {
        return Ok(None);
    }
    let payload = udp + UDP_HEADER_BYTES;
    let &[first, protocol, ..] = packet.bytes::<4>(payload).ok_or(Unclassified::Truncated)?;
    Ok(match first >> 4 {
        // Version 1: no header; its number is the first two bits of an IP version.
        4 => Some(Start::Ipv4(payload)),
        6 => Some(Start::Ipv6(payload)),
        // Version 0, a data message: optional fields are skipped by their length, in words.
        0 | 1 if first & 0x20 == 0 => start(protocol, payload + 4 + usize::from(first & 0x1f) * 4),
        _ => None,
    })
}
