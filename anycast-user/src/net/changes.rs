//! The kernel's word that links, routes or what is on the hooks of tc have changed.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net;

use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use tokio::net::UnixDatagram;

use super::NetError;

/// `RTMGRP_*` of `linux/rtnetlink.h`.
const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_TC: u32 = 0x8;
const RTMGRP_IPV4_ROUTE: u32 = 0x40;
const RTMGRP_IPV6_ROUTE: u32 = 0x400;
/// Messages that are forgotten in one go: a table of routes may be written faster than they are read.
const FORGOTTEN_AT_ONCE: usize = 4096;

/// A subscription to what changes in the network namespace of the thread that made it.
///
/// It only says that something did; who wants to know what, looks. So nothing is lost when there was no room for a
/// message.
#[derive(Debug)]
pub struct Changes {
    /// A netlink socket: to receive, one kind of datagram socket is like another.
    socket: UnixDatagram,
}

impl Changes {
    /// Subscribes to changes of links and of queueing disciplines and filters on them, and of IPv4 and IPv6 routes where
    /// they matter. Must be called within a tokio runtime; needs no privilege.
    ///
    /// The kernel says nothing about programs at its TCX hooks.
    pub fn subscribe(routes: bool) -> Result<Self, NetError> {
        let groups = if routes {
            RTMGRP_LINK | RTMGRP_TC | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE
        } else {
            RTMGRP_LINK | RTMGRP_TC
        };
        let subscribe = || -> io::Result<Self> {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Datagram,
                flags,
                SockProtocol::NetlinkRoute,
            )?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            let socket = UnixDatagram::from_std(net::UnixDatagram::from(socket))?;
            Ok(Self { socket })
        };
        subscribe().map_err(NetError::Open)
    }

    /// Waits until something has changed since the last time that this returned.
    pub async fn wait(&self) -> io::Result<()> {
        received(self.socket.recv(&mut [0; 16]).await)
    }

    /// Forgets the changes up to now.
    pub fn forget(&self) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if received(self.socket.try_recv(&mut [0; 16])).is_err() {
                return;
            }
        }
    }
}

fn received(result: io::Result<usize>) -> io::Result<()> {
    match result {
        // There were more than the socket holds.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::net::testing::in_namespace;

    /// Ample for a message of the kernel.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// Time without a message after which no more are to come.
    const QUIET: Duration = Duration::from_millis(200);

    #[test]
    fn links_and_routes_are_told_of_and_silence_is_silence() {
        in_namespace(|namespace| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let changes = Changes::subscribe(true).unwrap();
                let told = || async { timeout(PATIENCE, changes.wait()).await.unwrap().unwrap() };
                // The kernel configures a new link for a moment.
                let quiet = || async {
                    timeout(PATIENCE, async {
                        while timeout(QUIET, changes.wait()).await.is_ok() {}
                    })
                    .await
                    .unwrap();
                };
                let link = namespace.service_link("up0");
                told().await;
                namespace.add_address(&link, "10.0.0.1/24");
                quiet().await;
                namespace.add_default_route(&[("10.0.0.2", &link)]);
                told().await;
                quiet().await;
                namespace.delete_link(link.index);
                told().await;
            });
        });
    }
}
