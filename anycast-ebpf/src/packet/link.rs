//! Layer 2: which IP version starts where.

use super::{Packet, network::IPV4_HEADER_BYTES};
use crate::layout::Unclassified;

const ETHERNET_HEADER_BYTES: usize = 14;
const VLAN_TAG_BYTES: usize = 4;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// VLAN tags that are followed: one customer and one service tag (IEEE 802.1ad).
const VLAN_TAGS_MAX: usize = 2;

/// An IP header, by the layer below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// IPv4, at this offset.
    Ipv4(usize),
    /// IPv6, at this offset.
    Ipv6(usize),
}

/// Follows an Ethernet header and its VLAN tags; `None` for another protocol than IP.
#[inline(always)]
pub(super) fn ethernet<P: Packet>(packet: &P) -> Result<Option<Start>, Unclassified> {
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
    Ok(match ethertype {
        ETHERTYPE_IPV4 => Some(Start::Ipv4(offset)),
        ETHERTYPE_IPV6 => Some(Start::Ipv6(offset)),
        _ => None,
    })
}

/// The packet of a device without a link layer: its version is all it has; `None` for another protocol than IP.
#[inline(always)]
pub(super) fn ip<P: Packet>(packet: &P) -> Result<Option<Start>, Unclassified> {
    // Not one byte alone: the verifier learns nothing from the comparison that makes of it.
    let &[version, ..] = packet.bytes::<IPV4_HEADER_BYTES>(0).ok_or(Unclassified::Truncated)?;
    Ok(match version >> 4 {
        4 => Some(Start::Ipv4(0)),
        6 => Some(Start::Ipv6(0)),
        _ => None,
    })
}
