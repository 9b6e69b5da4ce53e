//! Makes IPv6 drain as IPv4 does.
//!
//! When a link goes down, Linux keeps its IPv4 addresses and the local routes to them: queries that are still on their
//! way are answered, and so are probes. Its IPv6 addresses are flushed. Before a link is armed, [`prepare`]
//!
//! 1. sets `net.ipv6.conf.<link>.keep_addr_on_down`, so that the addresses outlast the link;
//! 2. sets `nodad` on them, without which they are tentative, and nothing can bind them, while it is down;
//! 3. adds a *standing route* for each: `local <address>/128 dev lo table local metric 1024 proto 153`. While the link
//!    is up, the kernel's own route (metric 0) wins; while it is down, this one keeps the address reachable.
//!
//! The standing routes are in table `local`, which routing daemons don't read. To see what a crash has left:
//! `ip -6 route show table local proto 153`; to remove it: `ip -6 route flush table local proto 153`.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::{fs, io};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::RouteError;
use crate::net::{Address, AddressFlags, Link, LinkIndex, NetError, Netlink, Request};

/// The routing protocol number of the standing routes: not in iproute2's `rt_protos` nor used by BIRD, FRR, keepalived
/// or systemd.
pub const ROUTE_PROTOCOL: u8 = 153;
/// What the kernel gives to an IPv6 route of which nobody said anything; the point is that it is not 0.
const METRIC: u32 = 1024;
const TABLE_LOCAL: u8 = 255;

/// What [`prepare`] made for a link.
#[derive(Debug)]
pub struct Prepared {
    link: Link,
    addresses: Vec<Ipv6Addr>,
    /// The sysctl, when it was this call that set it.
    sysctl: Option<PathBuf>,
}

/// Prepares the IPv6 addresses of `link` to outlast a withdrawal; touches nothing when there are none.
///
/// What an earlier run left is taken over. Works whether the link is up or down, in the network namespace of the
/// calling thread (and with `netlink` from the same). Needs `CAP_NET_ADMIN` and a writable `/proc/sys`, unless the
/// sysctl is set already.
pub fn prepare(netlink: &mut Netlink, link: &Link) -> Result<Prepared, RouteError> {
    let mut prepared = Prepared {
        link: link.clone(),
        addresses: Vec::new(),
        sysctl: None,
    };
    let mut addresses = netlink.addresses(link.index)?;
    addresses.retain(|address| address.address.is_ipv6());
    // All that can be refused, before anything is changed.
    for address in &addresses {
        if let (IpAddr::V6(ipv6), false) = (address.address, address.flags.contains(AddressFlags::Permanent)) {
            return Err(RouteError::NotPermanent {
                link: link.name.clone(),
                address: ipv6,
                prefix_length: address.prefix_length,
            });
        }
    }
    if addresses.is_empty() {
        return Ok(prepared);
    }
    prepared.sysctl = keep_addresses_on_down(link)?;
    match add_standing_routes(netlink, addresses, &mut prepared.addresses) {
        Ok(()) => Ok(prepared),
        Err(error) => {
            if let Err(error) = prepared.release(netlink) {
                tracing::warn!("{error}");
            }
            Err(error.into())
        }
    }
}

/// Sets `nodad` and adds the routes; `done` are the addresses that have one, also when it fails.
fn add_standing_routes(
    netlink: &mut Netlink,
    addresses: Vec<Address>,
    done: &mut Vec<Ipv6Addr>,
) -> Result<(), NetError> {
    for address in addresses {
        let IpAddr::V6(ipv6) = address.address else { continue };
        if !address.flags.contains(AddressFlags::Nodad) {
            let address = Address {
                flags: address.flags | AddressFlags::Nodad,
                ..address
            };
            netlink.exchange(&mut address.add_request(NLM_F_REPLACE), |_| Ok(()))?;
        }
        let mut request = standing_route("add a standing route", ipv6, RouteNetlinkMessage::NewRoute);
        tolerate(libc::EEXIST, netlink.exchange(&mut request, |_| Ok(())))?;
        done.push(ipv6);
    }
    Ok(())
}

impl Prepared {
    /// The addresses that have a standing route.
    #[must_use]
    pub fn addresses(&self) -> &[Ipv6Addr] {
        &self.addresses
    }

    /// Takes it all back on an orderly exit, when the link is up (or gone). While it is down, everything stays: the
    /// address is still draining, and the next run takes over.
    pub fn release(self, netlink: &mut Netlink) -> Result<(), RouteError> {
        match netlink.link(&self.link.name) {
            Ok(link) if link.index == self.link.index && !link.up => return Ok(()),
            Ok(_) | Err(NetError::NoSuchLink { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        for &address in &self.addresses {
            let mut request = standing_route("remove a standing route", address, RouteNetlinkMessage::DelRoute);
            tolerate(libc::ESRCH, netlink.exchange(&mut request, |_| Ok(())))?;
        }
        match self.sysctl {
            Some(path) if path.exists() => fs::write(&path, "0").map_err(|source| RouteError::Sysctl { path, source }),
            _ => Ok(()),
        }
    }
}

/// Sees to it that the kernel keeps the addresses; gives the sysctl that it had to set.
fn keep_addresses_on_down(link: &Link) -> Result<Option<PathBuf>, RouteError> {
    // `/proc/sys/net` shows the network namespace of the thread that reads it.
    let path = |whose: &str| PathBuf::from(format!("/proc/sys/net/ipv6/conf/{whose}/keep_addr_on_down"));
    let read = |path: PathBuf| -> Result<(i32, PathBuf), RouteError> {
        let parse = |text: String| text.trim().parse::<i32>().map_err(io::Error::other);
        match fs::read_to_string(&path).and_then(parse) {
            Ok(value) => Ok((value, path)),
            Err(source) => Err(RouteError::Sysctl { path, source }),
        }
    };
    // The setting for all links goes first when it isn't 0.
    match read(path("all"))? {
        (1.., _) => return Ok(None),
        (..=-1, _) => return Err(RouteError::AddressesNotKept),
        (0, _) => {}
    }
    let (value, path) = read(path(&link.name))?;
    if value > 0 {
        return Ok(None);
    }
    match fs::write(&path, "1") {
        Ok(()) => Ok(Some(path)),
        Err(source) => Err(RouteError::Sysctl { path, source }),
    }
}

fn standing_route(
    operation: &'static str,
    address: Ipv6Addr,
    message_kind: fn(RouteMessage) -> RouteNetlinkMessage,
) -> Request {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet6,
        destination_prefix_length: 128,
        table: TABLE_LOCAL,
        protocol: RouteProtocol::Other(ROUTE_PROTOCOL),
        scope: RouteScope::Universe,
        kind: RouteType::Local,
        ..RouteHeader::default()
    };
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet6(address)),
        RouteAttribute::Oif(LinkIndex::LOOPBACK.0),
        RouteAttribute::Priority(METRIC),
    ];
    let message = message_kind(message);
    let flags = if matches!(message, RouteNetlinkMessage::NewRoute(_)) {
        NLM_F_CREATE | NLM_F_EXCL
    } else {
        0
    };
    Request::new(operation, message, flags)
}

fn tolerate(errno: i32, outcome: Result<(), NetError>) -> Result<(), NetError> {
    match outcome {
        Err(error) if error.errno() == Some(errno) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
