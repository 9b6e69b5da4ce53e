//! The sockets that a UDP server reads from, and what waits in them.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, Parseable as _};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_UDP, SOCK_DIAG_BY_FAMILY, SockDiagMessage, TCP_CLOSE,
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::decode::malformed;
use super::message::{Reply, Request};
use super::{NetError, Netlink};

/// A UDP socket that takes packets of anybody, at the moment it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSocket {
    /// The kernel's number for it. No other socket has it as long as the host runs.
    pub cookie: u64,
    /// The inode by which `/proc/PID/fd` knows it.
    pub inode: u32,
    /// The address that it is bound to, which may be the wildcard. An IPv6 one that stands for an IPv4 one is that.
    pub address: IpAddr,
    /// Of IPv6: it takes no IPv4.
    pub ipv6_only: bool,
    /// Bytes that wait to be read, as the kernel counts them (packets weigh more than they are long).
    pub receive_queue_bytes: u32,
    /// How many may wait.
    pub receive_buffer_bytes: u32,
    /// Packets that found no room, or that the socket refused for another reason, since it was made. Wraps.
    pub drops: u32,
}

impl UdpSocket {
    /// Whether it is bound to `address`, and to no other.
    #[must_use]
    pub fn is_bound_to(&self, address: IpAddr) -> bool {
        self.address == address
    }

    /// Whether it takes packets to `address` along with those to any other.
    #[must_use]
    pub fn is_wildcard_for(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(bound), IpAddr::V4(_)) => bound.is_unspecified(),
            (IpAddr::V6(bound), IpAddr::V6(_)) => bound.is_unspecified(),
            (IpAddr::V6(bound), IpAddr::V4(_)) => bound.is_unspecified() && !self.ipv6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

/// A connection to the kernel's table of sockets (`sock_diag`), in the network namespace of the thread that opened it.
pub struct SocketTable(Netlink);

impl SocketTable {
    /// Opens a connection. Needs no privilege.
    pub fn open() -> Result<Self, NetError> {
        Netlink::open_protocol(NETLINK_SOCK_DIAG).map(Self)
    }

    /// The UDP sockets on `port` that aren't connected to one peer, of IPv4 and of IPv6.
    ///
    /// The kernel loads its modules for that (`udp_diag`) when it has them as such, and says `ENOENT` when it has not.
    pub fn udp(&mut self, port: u16) -> Result<Vec<UdpSocket>, NetError> {
        let mut sockets = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut socket_id = if family == AF_INET {
                SocketId::new_v4()
            } else {
                SocketId::new_v6()
            };
            socket_id.source_port = port;
            let message = SockDiagMessage::InetRequest(InetRequest {
                family,
                protocol: IPPROTO_UDP,
                extensions: ExtensionFlags::SKMEMINFO,
                // Of UDP: not connected.
                states: StateFlags::from_bits_retain(1 << TCP_CLOSE),
                socket_id,
            });
            let mut request = Request::new("list sockets", message, NLM_F_DUMP);
            let found: Vec<UdpSocket> = self.0.dump(&mut request, udp_socket)?;
            sockets.extend(found);
        }
        Ok(sockets)
    }
}

fn udp_socket(reply: &Reply<'_>) -> Result<Option<UdpSocket>, NetError> {
    if reply.kind != SOCK_DIAG_BY_FAMILY {
        return Ok(None);
    }
    let InetResponse { header, nlas } =
        InetResponse::parse(reply.payload).map_err(|error| malformed("list sockets", &error))?;
    let mut socket = UdpSocket {
        cookie: u64::from_ne_bytes(header.socket_id.cookie),
        inode: header.inode,
        address: header.socket_id.source_address.to_canonical(),
        ipv6_only: false,
        receive_queue_bytes: header.recv_queue,
        receive_buffer_bytes: 0,
        drops: 0,
    };
    for attribute in nlas {
        match attribute {
            Nla::MemInfo(memory) => {
                socket.receive_buffer_bytes = memory.receive_queue_max;
                socket.drops = memory.drops;
            }
            Nla::SkV6Only(only) => socket.ipv6_only = only,
            _ => {}
        }
    }
    Ok(Some(socket))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Bound};
    use std::os::fd::AsFd as _;

    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket as open_socket, sockopt,
    };

    use super::*;
    use crate::clock::MonotonicTime;
    use crate::net::testing::in_namespace;
    use crate::sockets::{Tracker, serving};

    const PORT: u16 = 53;

    /// A socket that shares its address and port with others.
    fn shared(address: SocketAddr, ipv6_only: bool) -> Bound {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let descriptor = open_socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        setsockopt(&descriptor.as_fd(), sockopt::ReusePort, &true).unwrap();
        if address.is_ipv6() {
            setsockopt(&descriptor.as_fd(), sockopt::Ipv6V6Only, &ipv6_only).unwrap();
        }
        bind(
            std::os::fd::AsRawFd::as_raw_fd(&descriptor),
            &SockaddrStorage::from(address),
        )
        .unwrap();
        Bound::from(descriptor)
    }

    fn cookies(sockets: &[UdpSocket], address: IpAddr) -> Vec<u64> {
        let mut cookies: Vec<u64> = serving(sockets, address).map(|socket| socket.cookie).collect();
        cookies.sort_unstable();
        cookies
    }

    fn cookie(socket: &Bound) -> u64 {
        let mut cookie = 0_u64;
        let mut length = size_of::<u64>() as libc::socklen_t;
        // SAFETY: the kernel writes as many bytes as it is told to the number, which outlives the call.
        let result = unsafe {
            libc::getsockopt(
                std::os::fd::AsRawFd::as_raw_fd(socket),
                libc::SOL_SOCKET,
                libc::SO_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut length,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        cookie
    }

    #[test]
    fn the_sockets_that_serve_an_address_are_found() {
        in_namespace(|_| {
            let v4: IpAddr = Ipv4Addr::LOCALHOST.into();
            let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
            let mut table = SocketTable::open().unwrap();
            assert_eq!(table.udp(PORT).unwrap(), []);
            let dual = shared((Ipv6Addr::UNSPECIFIED, PORT).into(), false);
            let found = table.udp(PORT).unwrap();
            assert_eq!(cookies(&found, v4), [cookie(&dual)]);
            assert_eq!(cookies(&found, v6), [cookie(&dual)]);
            let only = shared((Ipv6Addr::UNSPECIFIED, PORT).into(), true);
            drop(dual);
            let found = table.udp(PORT).unwrap();
            assert_eq!(cookies(&found, v4), [0; 0]);
            assert_eq!(cookies(&found, v6), [cookie(&only)]);
            // Another port, and one that is connected, which takes nothing from strangers.
            let other = shared((v4, PORT + 1).into(), false);
            let connected = shared((v4, PORT).into(), false);
            connected.connect(other.local_addr().unwrap()).unwrap();
            assert_eq!(cookies(&table.udp(PORT).unwrap(), v4), [0; 0]);
            let bound = [shared((v4, PORT).into(), false), shared((v4, PORT).into(), false)];
            let any = shared((Ipv4Addr::UNSPECIFIED, PORT).into(), false);
            let mapped = shared((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), PORT).into(), false);
            let mut expected = [cookie(&bound[0]), cookie(&bound[1]), cookie(&mapped)];
            expected.sort_unstable();
            assert_eq!(cookies(&table.udp(PORT).unwrap(), v4), expected);
            drop(any);
        });
    }

    /// Sends to the server's address from new ports, so that every socket gets some, until `enough`.
    fn send_until(address: SocketAddr, mut enough: impl FnMut() -> bool) {
        const DATAGRAMS_MAX: u32 = 20_000;
        for _ in 0..DATAGRAMS_MAX {
            let client = Bound::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            client.send_to(&[0; 64], address).unwrap();
            if enough() {
                return;
            }
        }
        panic!("{DATAGRAMS_MAX} datagrams were not enough");
    }

    #[test]
    fn a_reader_that_stops_fills_its_queue_and_loses_packets() {
        in_namespace(|_| {
            let address: SocketAddr = (Ipv4Addr::LOCALHOST, PORT).into();
            let server = shared(address, false);
            setsockopt(&server, sockopt::RcvBuf, &4096).unwrap();
            let mut table = SocketTable::open().unwrap();
            let mut tracker = Tracker::default();
            let mut look = || {
                let found = table.udp(PORT).unwrap();
                let seen = tracker.look(MonotonicTime::now(), address.ip(), &found, 0);
                seen.expect("there is a socket")
            };
            let seen = look();
            assert_eq!((seen.sockets, seen.full, seen.receive_drops), (1, 0, 0));
            send_until(address, || {
                let seen = look();
                seen.full == 1 && seen.receive_drops > 0
            });
            server.set_nonblocking(true).unwrap();
            while server.recv(&mut [0; 64]).is_ok() {}
            let seen = look();
            assert_eq!((seen.full, seen.hung), (0, 0), "it was read again");
            assert!(seen.receive_drops > 0, "what was lost stays lost");
            drop(server);
            assert_eq!(look().sockets, 0);
        });
    }

    #[test]
    fn of_two_sockets_the_one_that_is_stuck_is_told() {
        in_namespace(|_| {
            let address: SocketAddr = (Ipv4Addr::LOCALHOST, PORT).into();
            let [stuck, read] = [(); 2].map(|()| shared(address, false));
            for socket in [&stuck, &read] {
                setsockopt(socket, sockopt::RcvBuf, &4096).unwrap();
            }
            read.set_nonblocking(true).unwrap();
            let mut table = SocketTable::open().unwrap();
            let mut tracker = Tracker::default();
            // The clock is the test's own: a second passes between two looks.
            let mut now = MonotonicTime::default();
            let mut look = || {
                now = now.after(std::time::Duration::from_secs(1));
                let found = table.udp(PORT).unwrap();
                let seen = tracker.look(now, address.ip(), &found, 0);
                seen.expect("there are sockets")
            };
            send_until(address, || {
                while read.recv(&mut [0; 64]).is_ok() {}
                look().hung == 1
            });
            let seen = look();
            assert_eq!((seen.sockets, seen.full, seen.hung), (2, 1, 1));
            stuck.recv(&mut [0; 64]).unwrap();
            assert_eq!(look().hung, 0, "it is read");
        });
    }
}
