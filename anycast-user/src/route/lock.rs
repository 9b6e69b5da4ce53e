//! A lock for each link, so that a second armed daemon is refused before it touches anything.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};

use super::RouteError;
use crate::net::Link;

/// The right to take one link down and up, in the network namespace of the thread that took it. Dropping it gives it
/// back; so does the end of the process, however it ends.
///
/// It is the abstract unix socket `anycast-probe/<link>`: such names belong to a network namespace, as links do, and
/// leave nothing behind, as a file would. See it with `ss -xl`.
#[derive(Debug)]
pub struct LinkLock {
    _listener: UnixListener,
}

impl LinkLock {
    /// Takes the lock, or says who has it.
    pub fn take(link: &Link) -> Result<Self, RouteError> {
        let failed = |source| RouteError::Lock {
            link: link.name.clone(),
            source,
        };
        let name = format!("anycast-probe/{}", link.name);
        let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => Ok(Self { _listener: listener }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(RouteError::Locked {
                link: link.name.clone(),
                pid: holder(&name),
            }),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The process that listens at an abstract address. `None` when it has just ended, is out of sight (another PID
/// namespace), or is too busy to say.
fn holder(name: &str) -> Option<i32> {
    let address = UnixAddr::new_abstract(name.as_bytes()).ok()?;
    // Non-blocking: nobody accepts at the other end, and the queue there may be full.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
    connect(socket.as_raw_fd(), &address).ok()?;
    let pid = getsockopt(&socket, sockopt::PeerCredentials).ok()?.pid();
    (pid != 0).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::{in_namespace, link};

    #[test]
    fn one_holder_a_link_and_the_second_is_told_who() {
        in_namespace(|_| {
            let (first, second) = (link(4, "anycast0", None), link(5, "anycast1", None));
            let lock = LinkLock::take(&first).unwrap();
            let _other = LinkLock::take(&second).unwrap();
            let refused = LinkLock::take(&first).unwrap_err();
            let me = std::process::id();
            assert!(
                matches!(&refused, RouteError::Locked { link, pid: Some(pid) } if link == "anycast0" && *pid == me.cast_signed())
            );
            assert!(refused.to_string().contains(&format!("process {me}")), "{refused}");
            drop(lock);
            LinkLock::take(&first).unwrap();
        });
    }

    #[test]
    fn links_of_the_same_name_in_other_namespaces_are_other_links() {
        in_namespace(|_| {
            let link = link(4, "anycast0", None);
            let _lock = LinkLock::take(&link).unwrap();
            in_namespace(|_| drop(LinkLock::take(&link).unwrap()));
        });
    }
}
