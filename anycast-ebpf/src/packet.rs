//! From the bytes of a frame to the service that it belongs to.

use crate::layout::{PROTOCOL_UDP, ServiceKey, Unclassified};

/// The bytes of one frame, in the kernel or on the host.
pub trait Packet {
    /// `N` bytes from `offset`, or `None` where the frame is shorter.
    ///
    /// One bounds check for a whole header; the fields are then picked at constant positions.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;
}

impl Packet for &[u8] {
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..)?.first_chunk()
    }
}

/// Which end of a packet is the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Arriving: the destination.
    Ingress,
    /// Leaving: the source.
    Egress,
}

/// A UDP datagram, complete or its first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The end of it that may be a service.
    pub key: ServiceKey,
    /// Where its payload starts, in bytes from the start of the frame.
    pub payload: usize,
}

const ETHERNET_HEADER_BYTES: usize = 14;
const VLAN_TAG_BYTES: usize = 4;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const UDP_HEADER_BYTES: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// VLAN tags that are followed: one customer and one service tag (IEEE 802.1ad).
const VLAN_TAGS_MAX: usize = 2;
/// IPv6 extension headers that are followed before UDP.
const IPV6_EXTENSIONS_MAX: usize = 4;

const NEXT_HEADER_HOP_BY_HOP: u8 = 0;
const NEXT_HEADER_ROUTING: u8 = 43;
const NEXT_HEADER_FRAGMENT: u8 = 44;
const NEXT_HEADER_DESTINATION: u8 = 60;

/// Finds the UDP datagram in an Ethernet frame.
///
/// `Ok(None)` is traffic of another kind (ARP, TCP, …), which is nobody's business here; `Err` is a frame that can't be
/// followed to its ports.
#[inline(always)]
pub fn datagram<P: Packet>(packet: &P, direction: Direction) -> Result<Option<Datagram>, Unclassified> {
    let &[.., type_high, type_low] = packet
        .bytes::<ETHERNET_HEADER_BYTES>(0)
        .ok_or(Unclassified::Truncated)?;
    let mut ethertype = u16::from_be_bytes([type_high, type_low]);
    let mut offset = ETHERNET_HEADER_BYTES;
    let mut tags = 0;
    while ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN {
        if tags == VLAN_TAGS_MAX {
            return Err(Unclassified::TooDeep);
        }
        let &[_, _, type_high, type_low] = packet.bytes::<VLAN_TAG_BYTES>(offset).ok_or(Unclassified::Truncated)?;
        ethertype = u16::from_be_bytes([type_high, type_low]);
        offset += VLAN_TAG_BYTES;
        tags += 1;
    }
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(packet, direction, offset),
        ETHERTYPE_IPV6 => ipv6(packet, direction, offset),
        _ => Ok(None),
    }
}

/// RFC 791; options are skipped by the header length.
#[inline(always)]
fn ipv4<P: Packet>(packet: &P, direction: Direction, offset: usize) -> Result<Option<Datagram>, Unclassified> {
    let header = packet
        .bytes::<IPV4_HEADER_BYTES>(offset)
        .ok_or(Unclassified::Truncated)?;
    let header_bytes = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES {
        return Err(Unclassified::Malformed);
    }
    if header[9] != PROTOCOL_UDP {
        return Ok(None);
    }
    if u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return Err(Unclassified::LaterFragment);
    }
    let address = match direction {
        Direction::Ingress => [header[16], header[17], header[18], header[19]],
        Direction::Egress => [header[12], header[13], header[14], header[15]],
    };
    let (port, payload) = udp(packet, direction, offset + header_bytes)?;
    Ok(Some(Datagram {
        key: ServiceKey::ipv4(address, PROTOCOL_UDP, port),
        payload,
    }))
}

/// RFC 8200; hop-by-hop, routing, destination and fragment headers are followed.
#[inline(always)]
fn ipv6<P: Packet>(packet: &P, direction: Direction, offset: usize) -> Result<Option<Datagram>, Unclassified> {
    let header = packet
        .bytes::<IPV6_HEADER_BYTES>(offset)
        .ok_or(Unclassified::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Unclassified::Malformed);
    }
    let &[_, _, _, _, _, _, mut next_header, _, ref addresses @ ..] = header;
    let mut offset = offset + IPV6_HEADER_BYTES;
    let mut extensions = 0;
    loop {
        match next_header {
            PROTOCOL_UDP => break,
            NEXT_HEADER_HOP_BY_HOP | NEXT_HEADER_ROUTING | NEXT_HEADER_DESTINATION => {
                let &[next, length] = packet.bytes::<2>(offset).ok_or(Unclassified::Truncated)?;
                next_header = next;
                offset += (usize::from(length) + 1) * 8;
            }
            NEXT_HEADER_FRAGMENT => {
                let &[next, _, high, low, ..] = packet.bytes::<8>(offset).ok_or(Unclassified::Truncated)?;
                if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
                    return Err(Unclassified::LaterFragment);
                }
                next_header = next;
                offset += 8;
            }
            _ => return Ok(None),
        }
        extensions += 1;
        if extensions > IPV6_EXTENSIONS_MAX {
            return Err(Unclassified::TooDeep);
        }
    }
    let address = match direction {
        Direction::Ingress => addresses.last_chunk(),
        Direction::Egress => addresses.first_chunk(),
    };
    let &address = address.ok_or(Unclassified::Truncated)?;
    let (port, payload) = udp(packet, direction, offset)?;
    Ok(Some(Datagram {
        key: ServiceKey::ipv6(address, PROTOCOL_UDP, port),
        payload,
    }))
}

/// RFC 768: the service's port (host order) and where the payload starts.
#[inline(always)]
fn udp<P: Packet>(packet: &P, direction: Direction, offset: usize) -> Result<(u16, usize), Unclassified> {
    let header = packet
        .bytes::<UDP_HEADER_BYTES>(offset)
        .ok_or(Unclassified::Truncated)?;
    if usize::from(u16::from_be_bytes([header[4], header[5]])) < UDP_HEADER_BYTES {
        return Err(Unclassified::Malformed);
    }
    let port = match direction {
        Direction::Ingress => [header[2], header[3]],
        Direction::Egress => [header[0], header[1]],
    };
    Ok((u16::from_be_bytes(port), offset + UDP_HEADER_BYTES))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use etherparse::{Ipv6Header, PacketBuilder};
    use proptest::prelude::*;

    use super::*;

    const CLIENT: [u8; 4] = [198, 51, 100, 7];
    const SERVICE: [u8; 4] = [192, 0, 2, 53];
    const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
    const PAYLOAD: [u8; 12] = [7; 12];

    fn ipv4_frame() -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(CLIENT, SERVICE, 64)
            .udp(5353, 53);
        let mut frame = Vec::new();
        builder.write(&mut frame, &PAYLOAD).expect("a frame");
        frame
    }

    fn ipv6_frame(extensions: &[(u8, &[u8])]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (i, (_, bytes)) in extensions.iter().enumerate() {
            payload.push(extensions.get(i + 1).map_or(PROTOCOL_UDP, |(kind, _)| *kind));
            payload.extend_from_slice(bytes);
        }
        payload.extend_from_slice(&[0x14, 0xe9, 0, 53, 0, 20, 0, 0]);
        payload.extend_from_slice(&PAYLOAD);
        let header = Ipv6Header {
            payload_length: payload.len() as u16,
            next_header: extensions.first().map_or(PROTOCOL_UDP, |(kind, _)| *kind).into(),
            source: [9; 16],
            destination: SERVICE_V6,
            ..Default::default()
        };
        let mut frame = Vec::from([0x02; 12]);
        frame.extend_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
        frame.extend_from_slice(&header.to_bytes());
        frame.extend_from_slice(&payload);
        frame
    }

    fn tagged(frame: &[u8], ethertypes: &[u16]) -> Vec<u8> {
        let (addresses, rest) = frame.split_at(12);
        let mut tagged = addresses.to_vec();
        for ethertype in ethertypes {
            tagged.extend_from_slice(&ethertype.to_be_bytes());
            tagged.extend_from_slice(&[0, 5]);
        }
        tagged.extend_from_slice(rest);
        tagged
    }

    fn ingress(frame: &[u8]) -> Result<Option<Datagram>, Unclassified> {
        datagram(&frame, Direction::Ingress)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what the calls are compared with")]
    fn found(key: ServiceKey, payload: usize) -> Result<Option<Datagram>, Unclassified> {
        Ok(Some(Datagram { key, payload }))
    }

    #[test]
    fn the_service_is_the_destination_in_and_the_source_out() {
        let frame = ipv4_frame();
        assert_eq!(ingress(&frame), found(ServiceKey::ipv4(SERVICE, PROTOCOL_UDP, 53), 42));
        assert_eq!(
            datagram(&frame.as_slice(), Direction::Egress),
            found(ServiceKey::ipv4(CLIENT, PROTOCOL_UDP, 5353), 42)
        );
        let frame = ipv6_frame(&[]);
        assert_eq!(
            ingress(&frame),
            found(ServiceKey::ipv6(SERVICE_V6, PROTOCOL_UDP, 53), 62)
        );
        assert_eq!(
            datagram(&frame.as_slice(), Direction::Egress),
            found(ServiceKey::ipv6([9; 16], PROTOCOL_UDP, 5353), 62)
        );
    }

    #[test]
    fn up_to_two_vlan_tags_are_followed() {
        let key = ServiceKey::ipv4(SERVICE, PROTOCOL_UDP, 53);
        assert_eq!(ingress(&tagged(&ipv4_frame(), &[0x8100])), found(key, 46));
        assert_eq!(ingress(&tagged(&ipv4_frame(), &[0x88a8, 0x8100])), found(key, 50));
        assert_eq!(
            ingress(&tagged(&ipv4_frame(), &[0x88a8, 0x8100, 0x8100])),
            Err(Unclassified::TooDeep)
        );
    }

    #[test]
    fn ipv4_options_are_skipped() {
        let mut frame = ipv4_frame();
        frame[14] = 0x46;
        frame.splice(34..34, [1, 1, 1, 1]);
        assert_eq!(ingress(&frame), found(ServiceKey::ipv4(SERVICE, PROTOCOL_UDP, 53), 46));
    }

    #[test]
    fn ipv6_extension_headers_are_followed_four_deep() {
        let key = ServiceKey::ipv6(SERVICE_V6, PROTOCOL_UDP, 53);
        let hop: (u8, &[u8]) = (0, &[0; 7]);
        let long: (u8, &[u8]) = (60, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let first_fragment: (u8, &[u8]) = (44, &[0, 0, 1, 0, 0, 0, 1]);
        let later_fragment: (u8, &[u8]) = (44, &[0, 0, 8, 0, 0, 0, 1]);
        assert_eq!(ingress(&ipv6_frame(&[hop, long, first_fragment])), found(key, 62 + 32));
        assert_eq!(ingress(&ipv6_frame(&[hop; 4])), found(key, 62 + 32));
        assert_eq!(ingress(&ipv6_frame(&[hop; 5])), Err(Unclassified::TooDeep));
        assert_eq!(
            ingress(&ipv6_frame(&[later_fragment])),
            Err(Unclassified::LaterFragment)
        );
    }

    #[test]
    fn later_fragments_have_no_ports() {
        let mut frame = ipv4_frame();
        frame[20] = 0x20;
        assert!(
            ingress(&frame).is_ok_and(|found| found.is_some()),
            "the first fragment has them"
        );
        frame[21] = 1;
        assert_eq!(ingress(&frame), Err(Unclassified::LaterFragment));
    }

    #[test]
    fn headers_that_contradict_themselves_are_malformed() {
        for (position, value) in [(14, 0x55), (14, 0x44), (39, 7)] {
            let mut frame = ipv4_frame();
            frame[position] = value;
            assert_eq!(ingress(&frame), Err(Unclassified::Malformed), "byte {position}");
        }
        let mut frame = ipv6_frame(&[]);
        frame[14] = 0x45;
        assert_eq!(ingress(&frame), Err(Unclassified::Malformed));
    }

    #[test]
    fn other_traffic_is_nobodys_business() {
        let mut frame = ipv4_frame();
        frame[23] = 6;
        assert_eq!(ingress(&frame), Ok(None), "TCP");
        frame[12] = 0x08;
        frame[13] = 0x06;
        assert_eq!(ingress(&frame), Ok(None), "ARP");
    }

    #[test]
    fn a_frame_cut_anywhere_before_its_payload_is_truncated() {
        for frame in [
            ipv4_frame(),
            ipv6_frame(&[(0, &[0; 7])]),
            tagged(&ipv4_frame(), &[0x8100]),
        ] {
            for length in 0..frame.len() - PAYLOAD.len() {
                assert_eq!(
                    ingress(&frame[..length]),
                    Err(Unclassified::Truncated),
                    "{length} bytes"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(frame: Vec<u8>) {
            let _ = ingress(&frame);
        }

        #[test]
        fn a_mutated_frame_is_survived_and_its_payload_lies_behind_its_headers(
            position in 0_usize..62, value: u8, egress: bool
        ) {
            let mut frame = ipv6_frame(&[(0, &[0; 7])]);
            frame[position] = value;
            let direction = if egress { Direction::Egress } else { Direction::Ingress };
            if let Ok(Some(datagram)) = datagram(&frame.as_slice(), direction) {
                prop_assert!(datagram.payload <= frame.len());
            }
        }
    }
}
