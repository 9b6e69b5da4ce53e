//! Layer 3: from an IP header to what it carries.

use super::{Packet, blur::blurred, link::Start};
use crate::layout::{Unclassified, halves, ipv4_mapped};

pub(super) const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// IPv6 extension headers that are followed.
const EXTENSIONS_MAX: usize = 4;

const NEXT_HEADER_HOP_BY_HOP: u8 = 0;
const NEXT_HEADER_ROUTING: u8 = 43;
const NEXT_HEADER_FRAGMENT: u8 = 44;
const NEXT_HEADER_DESTINATION: u8 = 60;

/// An IP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// Source address, in halves.
    pub(super) source: [u64; 2],
    /// Destination address, in halves.
    pub(super) destination: [u64; 2],
    /// IP protocol of the payload, behind any extension header.
    pub(super) protocol: u8,
    /// Where the payload starts, in bytes from the start of the packet.
    pub(super) payload: usize,
    /// Whether the header is one of IPv6.
    pub(super) is_ipv6: bool,
    /// Bytes of payload; `None` where the header doesn't say (jumbograms, and segments that the kernel has put together).
    pub(super) payload_bytes: Option<u16>,
}

/// Reads an IP header and what stands between it and its payload.
#[inline(always)]
pub(super) fn datagram<P: Packet>(packet: &P, start: Start) -> Result<Datagram, Unclassified> {
    let datagram = match start {
        Start::Ipv4(offset) => ipv4(packet, offset),
        Start::Ipv6(offset) => ipv6(packet, offset),
    }?;
    Ok(Datagram {
        payload: blurred(datagram.payload, datagram.destination[1]),
        ..datagram
    })
}

/// RFC 791; options are skipped by the header length.
#[inline(always)]
fn ipv4<P: Packet>(packet: &P, offset: usize) -> Result<Datagram, Unclassified> {
    let header = packet
        .bytes::<IPV4_HEADER_BYTES>(offset)
        .ok_or(Unclassified::Truncated)?;
    let header_bytes = u16::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || usize::from(header_bytes) < IPV4_HEADER_BYTES {
        return Err(Unclassified::Malformed);
    }
    // Of whatever protocol: what it carries may look like the start of a tunnelled packet or of an ICMP message.
    if u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return Err(Unclassified::LaterFragment);
    }
    let payload_bytes = match u16::from_be_bytes([header[2], header[3]]) {
        0 => None,
        total => Some(total.checked_sub(header_bytes).ok_or(Unclassified::Malformed)?),
    };
    Ok(Datagram {
        source: ipv4_mapped(u32::from_ne_bytes([header[12], header[13], header[14], header[15]])),
        destination: ipv4_mapped(u32::from_ne_bytes([header[16], header[17], header[18], header[19]])),
        protocol: header[9],
        is_ipv6: false,
        payload: offset + usize::from(header_bytes),
        payload_bytes,
    })
}

/// RFC 8200; hop-by-hop, routing, destination and fragment headers are followed.
#[inline(always)]
fn ipv6<P: Packet>(packet: &P, offset: usize) -> Result<Datagram, Unclassified> {
    let header = packet
        .bytes::<IPV6_HEADER_BYTES>(offset)
        .ok_or(Unclassified::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Unclassified::Malformed);
    }
    let &[
        _,
        _,
        _,
        _,
        length_high,
        length_low,
        mut protocol,
        _,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        s8,
        s9,
        s10,
        s11,
        s12,
        s13,
        s14,
        s15,
        ref destination @ ..,
    ] = header;
    let mut payload = offset + IPV6_HEADER_BYTES;
    let mut extensions = 0;
    loop {
        match protocol {
            NEXT_HEADER_HOP_BY_HOP | NEXT_HEADER_ROUTING | NEXT_HEADER_DESTINATION => {
                let &[next, length] = packet.bytes::<2>(payload).ok_or(Unclassified::Truncated)?;
                protocol = next;
                payload += (usize::from(length) + 1) * 8;
            }
            NEXT_HEADER_FRAGMENT => {
                let &[next, _, high, low, ..] = packet.bytes::<8>(payload).ok_or(Unclassified::Truncated)?;
                if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
                    return Err(Unclassified::LaterFragment);
                }
                protocol = next;
                payload += 8;
            }
            _ => break,
        }
        extensions += 1;
        if extensions > EXTENSIONS_MAX {
            return Err(Unclassified::TooDeep);
        }
    }
    let extension_bytes = payload - offset - IPV6_HEADER_BYTES;
    let payload_bytes = match u16::from_be_bytes([length_high, length_low]) {
        0 => None,
        total => Some(
            total
                .checked_sub(extension_bytes as u16)
                .ok_or(Unclassified::Malformed)?,
        ),
    };
    Ok(Datagram {
        source: halves([s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15]),
        destination: halves(*destination),
        protocol,
        is_ipv6: true,
        payload,
        payload_bytes,
    })
}
