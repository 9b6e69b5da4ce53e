//! Layer 4: UDP and TCP.

use super::{Direction, Flow, Followed, Head, Packet, network::Datagram};
use crate::layout::{PROTOCOL_TCP, PROTOCOL_UDP, ServiceKey, Unclassified};

pub(super) const UDP_HEADER_BYTES: usize = 8;
pub(super) const TCP_HEADER_BYTES: usize = 20;

/// RFC 768.
#[inline(always)]
pub(super) fn udp<P: Packet>(packet: &P, datagram: &Datagram, direction: Direction) -> Result<Followed, Unclassified> {
    let &[
        source_0,
        source_1,
        destination_0,
        destination_1,
        length_high,
        length_low,
        ..,
    ] = packet
        .bytes::<UDP_HEADER_BYTES>(datagram.payload)
        .ok_or(Unclassified::Truncated)?;
    let length = match u16::from_be_bytes([length_high, length_low]) {
        // Meant for jumbograms (RFC 2675), and taken by Linux for "as long as the packet" in any.
        0 if datagram.is_ipv6 => datagram.payload_bytes.unwrap_or(u16::MAX),
        length => length,
    };
    if usize::from(length) < UDP_HEADER_BYTES {
        return Err(Unclassified::Malformed);
    }
    let source = u16::from_ne_bytes([source_0, source_1]);
    let destination = u16::from_ne_bytes([destination_0, destination_1]);
    Ok(Followed::Flow(Flow {
        transport_bytes: Some(length),
        head: head(packet, datagram.payload + UDP_HEADER_BYTES, length),
        ..flow(datagram, PROTOCOL_UDP, (source, destination), direction)
    }))
}

/// RFC 9293: the ports, and no more: most segments are for nobody here.
#[inline(always)]
pub(super) fn tcp_flow<P: Packet>(
    packet: &P,
    datagram: &Datagram,
    direction: Direction,
) -> Result<Followed, Unclassified> {
    let &[source_0, source_1, destination_0, destination_1, ..] = packet
        .bytes::<TCP_HEADER_BYTES>(datagram.payload)
        .ok_or(Unclassified::Truncated)?;
    let source = u16::from_ne_bytes([source_0, source_1]);
    let destination = u16::from_ne_bytes([destination_0, destination_1]);
    Ok(Followed::Flow(flow(
        datagram,
        PROTOCOL_TCP,
        (source, destination),
        direction,
    )))
}

#[inline(always)]
fn head<P: Packet>(packet: &P, payload: usize, udp_length: u16) -> Head {
    if usize::from(udp_length) < UDP_HEADER_BYTES + Head::PAYLOAD_BYTES {
        return Head::UNKNOWN;
    }
    match packet.bytes::<{ Head::PAYLOAD_BYTES }>(payload) {
        Some(&[a, b, c, d, ..]) => Head {
            is_known: true,
            word: u32::from_ne_bytes([a, b, c, d]),
        },
        None => Head::UNKNOWN,
    }
}

#[inline(always)]
fn flow(datagram: &Datagram, protocol: u8, (source, destination): (u16, u16), direction: Direction) -> Flow {
    let (service, client) = match direction {
        Direction::Ingress => ((datagram.destination, destination), (datagram.source, source)),
        Direction::Egress => ((datagram.source, source), (datagram.destination, destination)),
    };
    Flow {
        service: ServiceKey::new(service.0, protocol, service.1),
        client: client.0,
        client_port: client.1,
        transport: datagram.payload,
        transport_bytes: datagram.payload_bytes,
        head: Head::UNKNOWN,
    }
}

/// What a TCP segment does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The flags, the octet of CWR to FIN.
    pub flags: u8,
    /// Whether it carries payload.
    pub has_payload: bool,
}

impl Segment {
    /// The flag of a last segment.
    pub const FIN: u8 = 0x01;
    /// The flag of a first segment.
    pub const SYN: u8 = 0x02;
    /// The flag of a refusal.
    pub const RST: u8 = 0x04;
    /// The flag of all but first segments.
    pub const ACK: u8 = 0x10;
}

/// Reads the TCP header of a segment.
#[inline(always)]
pub fn tcp<P: Packet>(packet: &P, flow: &Flow) -> Result<Segment, Unclassified> {
    let header = packet
        .bytes::<TCP_HEADER_BYTES>(flow.transport)
        .ok_or(Unclassified::Truncated)?;
    let header_bytes = u16::from(header[12] >> 4) * 4;
    if usize::from(header_bytes) < TCP_HEADER_BYTES {
        return Err(Unclassified::Malformed);
    }
    let has_payload = match flow.transport_bytes {
        None => true,
        Some(bytes) if bytes < header_bytes => return Err(Unclassified::Malformed),
        Some(bytes) => bytes > header_bytes,
    };
    Ok(Segment {
        flags: header[13],
        has_payload,
    })
}
