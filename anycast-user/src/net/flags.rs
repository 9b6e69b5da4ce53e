//! Whether a link is up, asked without the lock that a change of a link has to wait for.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

/// Asks for the state of one link, by ioctl: the kernel answers under RCU, where netlink may wait for the RTNL lock.
pub struct UpState {
    socket: UnixDatagram,
    name: String,
}

impl UpState {
    /// Prepares the question, for the network namespace of the calling thread.
    pub fn of(name: &str) -> io::Result<Self> {
        // Any socket will do for an interface ioctl, and this kind needs no address family but AF_UNIX.
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            name: name.to_owned(),
        })
    }

    /// Whether the link is up (`IFF_UP`); `None` when there is no link of that name any more.
    #[must_use]
    pub fn is_up(&self) -> Option<bool> {
        let mut request = interface_request(&self.name)?;
        // SAFETY: the descriptor is open, and `request` is a whole `ifreq` that outlives the call, which writes the flags
        // into it.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
        if result != 0 {
            return None;
        }
        // SAFETY: that call has just written this member of the union.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Some(libc::c_int::from(flags) & libc::IFF_UP != 0)
    }
}

/// A request about the link of this name; `None` when no link can have it.
pub(super) fn interface_request(name: &str) -> Option<libc::ifreq> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 },
    };
    // The last byte stays zero.
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::in_namespace;

    #[test]
    fn it_follows_the_link() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            let flags = UpState::of("anycast0").unwrap();
            for up in [true, false, true] {
                namespace.set_up(link.index, up);
                assert_eq!(flags.is_up(), Some(up));
            }
            namespace.delete_link(link.index);
            assert_eq!(flags.is_up(), None);
            assert_eq!(UpState::of("a-name-that-is-too-long").unwrap().is_up(), None);
        });
    }
}
