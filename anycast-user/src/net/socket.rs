//! A blocking netlink client: one request at a time, every answer matched by its sequence number.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::decode;
use super::message::{Replies, Reply, Request, status};
use super::{Address, Link, LinkIndex, NetError, Route};

/// How long the kernel may take for one message of an answer. (A request itself is carried out inside `send`, which
/// can wait for the kernel's RTNL lock for as long as somebody else holds it.)
const TIMEOUT: Duration = Duration::from_secs(1);
/// The kernel sends at most 32 KiB at once.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// A list that changes while it is read is read again this often.
const DUMP_ATTEMPTS: u32 = 8;

/// A connection to the kernel's routing netlink, in the network namespace of the thread that opened it.
pub struct Netlink {
    socket: Socket,
    /// Of which of the kernel's netlinks it is, `NETLINK_*`.
    protocol: isize,
    buffer: Box<[u8]>,
    sequence: u32,
}

impl Netlink {
    /// Opens a connection. Needs no privilege to read; changing links needs `CAP_NET_ADMIN`.
    pub fn open() -> Result<Self, NetError> {
        Self::open_protocol(NETLINK_ROUTE)
    }

    /// Opens a connection to another netlink of the kernel than routing.
    pub(super) fn open_protocol(protocol: isize) -> Result<Self, NetError> {
        Ok(Self {
            socket: connect(protocol).map_err(NetError::Open)?,
            protocol,
            buffer: vec![0; RECEIVE_BUFFER_BYTES].into_boxed_slice(),
            sequence: 0,
        })
    }

    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>, NetError> {
        let mut request = Request::new("list links", get_link(LinkIndex(0), None), NLM_F_DUMP);
        self.dump(&mut request, decode::link)
    }

    /// The link with this name (or alternative name).
    pub fn link(&mut self, name: &str) -> Result<Link, NetError> {
        let mut request = Request::new("look up a link", get_link(LinkIndex(0), Some(name)), 0);
        match self.read_link(&mut request) {
            // EINVAL and ERANGE: what can't be a name at all.
            Err(error) if matches!(error.errno(), Some(libc::ENODEV | libc::EINVAL | libc::ERANGE)) => {
                Err(NetError::NoSuchLink { name: name.to_owned() })
            }
            outcome => outcome,
        }
    }

    /// The link that a request for one, see [`get_link`], is answered with.
    pub(crate) fn read_link(&mut self, request: &mut Request) -> Result<Link, NetError> {
        let mut found = None;
        self.exchange(request, |reply| {
            found = found.take().or(decode::link(reply)?);
            Ok(())
        })?;
        found.ok_or_else(|| NetError::Malformed {
            operation: request.operation(),
            reason: "there is no link in it".to_owned(),
        })
    }

    /// The addresses of a link that a service can be reached at: neither link-local IPv6 ones nor those that another
    /// host was found to use.
    pub fn addresses(&mut self, link: LinkIndex) -> Result<Vec<Address>, NetError> {
        let mut message = AddressMessage::default();
        message.header.index = link.0;
        let mut request = Request::new("list addresses", RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP);
        let mut addresses: Vec<Address> = self.dump(&mut request, decode::address)?;
        addresses.retain(|address| address.link == link);
        Ok(addresses)
    }

    /// The addresses of all links, IPv6 link-local ones too.
    pub fn all_addresses(&mut self) -> Result<Vec<IpAddr>, NetError> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut request = Request::new("list addresses", message, NLM_F_DUMP);
        let addresses: Vec<Address> = self.dump(&mut request, decode::any_address)?;
        Ok(addresses.into_iter().map(|address| address.address).collect())
    }

    /// The unicast routes of the main table, IPv4 and IPv6. Nexthop objects are seen through as long as the sysctl
    /// `net.ipv4.nexthop_compat_mode` is 1, the default.
    ///
    /// Each kind once: a full BGP table has a million routes, and few ways that they take.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetError> {
        let mut routes = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            // The socket is strict, so the kernel filters: a full BGP table elsewhere is not copied.
            message.header.table = RouteHeader::RT_TABLE_MAIN;
            let mut request = Request::new("list routes", RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP);
            match self.dump::<_, BTreeSet<_>>(&mut request, |reply| decode::route(reply, family)) {
                Ok(found) => routes.extend(found),
                // No such table before its first route; no such family with `ipv6.disable=1`.
                Err(error)
                    if matches!(
                        error.errno(),
                        Some(libc::ENOENT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(routes.into_iter().collect())
    }

    /// Reads a whole list, anew when it changed meanwhile or did not fit.
    pub(super) fn dump<T, All: Default + Extend<T>>(
        &mut self,
        request: &mut Request,
        decode: impl Fn(&Reply<'_>) -> Result<Option<T>, NetError>,
    ) -> Result<All, NetError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut items = All::default();
            let outcome = self.exchange(request, |reply| {
                items.extend(decode(reply)?);
                Ok(())
            });
            match outcome {
                Ok(()) => return Ok(items),
                // A dump given up half way would make the kernel answer EBUSY to the next: start with a new socket.
                Err(NetError::Inconsistent { .. }) => self.socket = connect(self.protocol).map_err(NetError::Open)?,
                Err(error) if matches!(error.errno(), Some(libc::ENOBUFS | libc::EBUSY | libc::EINTR)) => {
                    self.socket = connect(self.protocol).map_err(NetError::Open)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(NetError::Inconsistent {
            operation: request.operation(),
            attempts: DUMP_ATTEMPTS,
        })
    }

    /// Sends `request` and hands each message of the answer to `take`, up to the acknowledgement or the end of the
    /// list. Messages with another sequence number are left-overs of an earlier request: skipped. Allocates nothing
    /// unless it fails.
    pub(crate) fn exchange(
        &mut self,
        request: &mut Request,
        mut take: impl FnMut(&Reply<'_>) -> Result<(), NetError>,
    ) -> Result<(), NetError> {
        let operation = request.operation();
        self.sequence = self.sequence.wrapping_add(1);
        request.set_sequence(self.sequence);
        self.socket
            .send(request.bytes(), 0)
            .map_err(|source| NetError::Socket { operation, source })?;

        let mut deadline = Instant::now() + TIMEOUT;
        let mut interrupted = false;
        // The first failure of `take` is kept and the rest read, so that the next request starts clean.
        let mut taken = Ok(());
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, operation)?;
            for reply in Replies(datagram) {
                let reply = reply.map_err(|reason| NetError::Malformed { operation, reason })?;
                if reply.sequence != self.sequence {
                    continue;
                }
                deadline = Instant::now() + TIMEOUT;
                interrupted |= reply.flags & NLM_F_DUMP_INTR != 0;
                match reply.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        status(operation, &reply)?;
                        taken?;
                        return if interrupted {
                            Err(NetError::Inconsistent { operation, attempts: 1 })
                        } else {
                            Ok(())
                        };
                    }
                    NLMSG_NOOP => {}
                    NLMSG_OVERRUN => interrupted = true,
                    _ if taken.is_ok() => taken = take(&reply),
                    _ => {}
                }
            }
            if Instant::now() > deadline {
                return Err(NetError::Timeout { operation });
            }
        }
    }
}

/// One datagram from the kernel.
fn receive<'a>(socket: &Socket, buffer: &'a mut [u8], operation: &'static str) -> Result<&'a [u8], NetError> {
    loop {
        let mut space = &mut *buffer;
        match socket.recv_from(&mut space, libc::MSG_TRUNC) {
            // Only the kernel has port 0; nobody else has a say here.
            Ok((_, sender)) if sender.port_number() != 0 => {}
            Ok((length, _)) => {
                return buffer.get(..length).ok_or_else(|| NetError::Malformed {
                    operation,
                    reason: format!("{length} bytes do not fit in {RECEIVE_BUFFER_BYTES}"),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(NetError::Timeout { operation }),
            Err(source) => return Err(NetError::Socket { operation, source }),
        }
    }
}

fn connect(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Acknowledgements without a copy of the request; filters that are obeyed.
    socket.set_cap_ack(true)?;
    socket.set_netlink_get_strict_chk(true)?;
    let timeout = TimeVal::seconds(TIMEOUT.as_secs().cast_signed());
    setsockopt(&socket.as_fd(), sockopt::ReceiveTimeout, &timeout)?;
    Ok(socket)
}

/// A request for the link with this index, or (index 0) with this name, or for all, without the statistics that make up
/// most of an answer.
pub(crate) fn get_link(index: LinkIndex, name: Option<&str>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index.0;
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
        .attributes
        .extend(name.map(|name| LinkAttribute::IfName(name.to_owned())));
    RouteNetlinkMessage::GetLink(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::{Namespace, in_namespace};
    use crate::net::uplinks;

    #[test]
    fn a_link_that_is_not_there_is_an_error_that_names_it() {
        let mut netlink = Netlink::open().unwrap();
        for name in ["no-such-link", "", "a/b", "..", "sixteen-bytes-xx", &"x".repeat(1000)] {
            let error = netlink.link(name).unwrap_err();
            assert!(
                matches!(&error, NetError::NoSuchLink { name: named } if named == name),
                "{error}"
            );
        }
    }

    #[test]
    fn a_new_namespace_has_one_link_and_no_route() {
        in_namespace(|namespace| {
            let netlink = namespace.netlink();
            let links = netlink.links().unwrap();
            let loopback: Vec<_> = links
                .iter()
                .filter(|link| link.loopback)
                .map(|link| link.index)
                .collect();
            assert_eq!(loopback, [LinkIndex::LOOPBACK]);
            assert_eq!(netlink.routes().unwrap(), []);
        });
    }

    #[test]
    fn uplinks_are_found_behind_single_and_multipath_routes_of_both_families() {
        in_namespace(|namespace| {
            let names = ["up0", "up1", "up2", "anycast0"];
            let [first, second, third, service] = names.map(|name| namespace.service_link(name));
            for (link, addresses) in [
                (&first, ["10.0.1.1/24", "2001:db8:1::1/64"]),
                (&second, ["10.0.2.1/24", "2001:db8:2::1/64"]),
                (&third, ["10.0.3.1/24", "2001:db8:3::1/64"]),
                (&service, ["192.0.2.53/32", "2001:db8::53/128"]),
            ] {
                for address in addresses {
                    namespace.add_address(link, address);
                }
            }
            let found = |namespace: &mut Namespace| -> Vec<String> {
                let (routes, links) = (
                    namespace.netlink().routes().unwrap(),
                    namespace.netlink().links().unwrap(),
                );
                uplinks(&routes, &links, &[])
                    .into_iter()
                    .map(|link| link.name)
                    .collect()
            };
            assert_eq!(found(namespace), [""; 0]);
            namespace.add_default_route(&[("2001:db8:2::2", &second)]);
            assert_eq!(found(namespace), ["up1"]);
            namespace.add_default_route(&[("10.0.3.2", &third), ("10.0.1.2", &first)]);
            assert_eq!(found(namespace), ["up0", "up1", "up2"]);
        });
    }

    #[test]
    fn hundreds_of_addresses_come_in_many_datagrams() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            for host in 0..600_u16 {
                let [high, low] = host.to_be_bytes();
                namespace.add_address(&link, &format!("10.1.{high}.{low}/32"));
            }
            assert_eq!(namespace.netlink().addresses(link.index).unwrap().len(), 600);
        });
    }

    #[test]
    fn after_a_failed_request_the_next_one_gets_its_own_answer() {
        in_namespace(|namespace| {
            namespace.service_link("anycast0");
            let netlink = namespace.netlink();
            let mut request = Request::new("list links", get_link(LinkIndex(0), None), NLM_F_DUMP);
            let refuse = |_: &Reply<'_>| Err(NetError::NoSuchLink { name: String::new() });
            netlink.exchange(&mut request, refuse).unwrap_err();
            // Unread answers of earlier requests: a list, and a refusal.
            netlink.socket.send(request.bytes(), 0).unwrap();
            let refused = Request::new("look up a link", get_link(LinkIndex(0), Some("no-such-link")), 0);
            netlink.socket.send(refused.bytes(), 0).unwrap();
            assert_eq!(netlink.link("lo").unwrap().index, LinkIndex::LOOPBACK);
        });
    }
}
