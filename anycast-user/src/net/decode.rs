//! From netlink messages to [`super`]'s types.
//!
//! Only the attributes that are used are decoded, so that one which a new kernel or an odd driver made differently
//! can't hide a link.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator, Parseable, ParseableParametrized, parse_string, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteLwEnCapType, RouteNextHop, RouteType};

use super::message::Reply;
use super::{Address, Link, LinkIndex, NetError, NextHop, Route};

/// `struct ifinfomsg` and `struct rtmsg`.
const LINK_HEADER_BYTES: usize = 16;
const ROUTE_HEADER_BYTES: usize = 12;
/// `IFLA_XDP_DRV_PROG_ID`, `_SKB_PROG_ID` and `_HW_PROG_ID` of `linux/if_link.h`.
const XDP_PROGRAMS: std::ops::RangeInclusive<u16> = 5..=7;

/// A link; `None` for other messages.
pub(super) fn link(reply: &Reply<'_>) -> Result<Option<Link>, NetError> {
    if reply.kind != libc::RTM_NEWLINK {
        return Ok(None);
    }
    parse_link(reply.payload)
        .map(Some)
        .map_err(|error| malformed("read a link", &error))
}

fn parse_link(payload: &[u8]) -> Result<Link, DecodeError> {
    let header = LinkHeader::parse(payload)?;
    let mut link = Link {
        index: LinkIndex(header.index),
        name: String::new(),
        kind: None,
        up: header.flags.contains(LinkFlags::Up),
        loopback: header.flags.contains(LinkFlags::Loopback),
        alias: None,
        master: None,
        lower: None,
        hardware_type: header.link_layer_type.into(),
        broadcast: Vec::new(),
        xdp_programs: Vec::new(),
    };
    let mut lower_is_elsewhere = false;
    for attribute in NlasIterator::new(payload.get(LINK_HEADER_BYTES..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = parse_string(attribute.value())?,
            libc::IFLA_IFALIAS => link.alias = Some(text(attribute.value())).filter(|alias| !alias.is_empty()),
            libc::IFLA_MASTER => link.master = Some(LinkIndex(parse_u32(attribute.value())?)),
            // 0 for a tunnel that is bound to none.
            libc::IFLA_LINK => link.lower = Some(LinkIndex(parse_u32(attribute.value())?)).filter(|lower| lower.0 != 0),
            libc::IFLA_LINK_NETNSID => lower_is_elsewhere = true,
            libc::IFLA_BROADCAST => link.broadcast = attribute.value().to_vec(),
            libc::IFLA_XDP => {
                for xdp in NlasIterator::new(attribute.value()) {
                    let xdp = xdp?;
                    if XDP_PROGRAMS.contains(&xdp.kind()) {
                        link.xdp_programs.push(parse_u32(xdp.value())?);
                    }
                }
            }
            libc::IFLA_LINKINFO => {
                for info in NlasIterator::new(attribute.value()) {
                    let info = info?;
                    if info.kind() == libc::IFLA_INFO_KIND {
                        link.kind = Some(parse_string(info.value())?);
                    }
                }
            }
            _ => {}
        }
    }
    // These name their peer there.
    if lower_is_elsewhere || matches!(link.kind.as_deref(), Some("veth" | "netkit")) {
        link.lower = None;
    }
    Ok(link)
}

/// Free text of an operator, in whatever encoding.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// The flags of a link that was asked for, without an allocation.
pub(crate) fn is_up(payload: &[u8]) -> Result<bool, NetError> {
    let header = LinkHeader::parse(payload).map_err(|error| malformed("read a link", &error))?;
    Ok(header.flags.contains(LinkFlags::Up))
}

/// An address that a service can have; `None` for link-local IPv6, for duplicates and for other messages.
pub(super) fn address(reply: &Reply<'_>) -> Result<Option<Address>, NetError> {
    let can_serve = |address: &Address| {
        let link_local = matches!(address.address, IpAddr::V6(address) if address.is_unicast_link_local());
        !link_local && !address.flags.contains(AddressFlags::Dadfailed)
    };
    Ok(any_address(reply)?.filter(can_serve))
}

/// An address of a link; `None` for other messages.
pub(super) fn any_address(reply: &Reply<'_>) -> Result<Option<Address>, NetError> {
    if reply.kind != libc::RTM_NEWADDR {
        return Ok(None);
    }
    let message = AddressMessage::parse(reply.payload).map_err(|error| malformed("read an address", &error))?;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut local, mut peer_or_local, mut metric) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link this is the peer's address, and the local one comes extra.
            AddressAttribute::Address(address) => peer_or_local = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::RoutePriority(value) => metric = Some(*value),
            _ => {}
        }
    }
    let Some(address) = local.or(peer_or_local) else {
        return Ok(None);
    };
    Ok(Some(Address {
        link: LinkIndex(message.header.index),
        address,
        prefix_length: message.header.prefix_len,
        scope: message.header.scope,
        flags,
        metric,
    }))
}

/// A unicast route of the main table; `None` for other routes, families and messages.
pub(super) fn route(reply: &Reply<'_>, family: AddressFamily) -> Result<Option<Route>, NetError> {
    if reply.kind != libc::RTM_NEWROUTE {
        return Ok(None);
    }
    parse_route(reply.payload, family).map_err(|error| malformed("read a route", &error))
}

fn parse_route(payload: &[u8], family: AddressFamily) -> Result<Option<Route>, DecodeError> {
    let header = RouteHeader::parse(payload)?;
    if header.address_family != family || header.kind != RouteType::Unicast {
        return Ok(None);
    }
    let mut table = u32::from(header.table);
    let mut single = (None, false);
    let mut next_hops = Vec::new();
    for attribute in NlasIterator::new(payload.get(ROUTE_HEADER_BYTES..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            libc::RTA_TABLE => table = parse_u32(attribute.value())?,
            libc::RTA_OIF => single.0 = Some(LinkIndex(parse_u32(attribute.value())?)),
            libc::RTA_GATEWAY | libc::RTA_VIA => single.1 = true,
            libc::RTA_MULTIPATH => {
                let parameters = (family, header.kind, RouteLwEnCapType::None);
                if let RouteAttribute::MultiPath(hops) = RouteAttribute::parse_with_param(&attribute, parameters)? {
                    next_hops.extend(hops.iter().map(next_hop));
                }
            }
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return Ok(None);
    }
    if let (Some(link), gateway) = single {
        next_hops.push(NextHop { link, gateway });
    }
    Ok(Some(Route {
        prefix_length: header.destination_prefix_length,
        next_hops,
    }))
}

fn next_hop(hop: &RouteNextHop) -> NextHop {
    let is_gateway =
        |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_));
    NextHop {
        link: LinkIndex(hop.interface_index),
        gateway: hop.attributes.iter().any(is_gateway),
    }
}

pub(super) fn malformed(operation: &'static str, error: &DecodeError) -> NetError {
    NetError::Malformed {
        operation,
        reason: error.to_string(),
    }
}
