//! Whose pins are whose.

use std::{
    fmt, io,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
};

/// What tells the pins of one daemon from those of others on the same bpffs: its first link, and its network namespace.
///
/// As text `anycast0@3`. The namespace is known by its cookie, which the kernel never gives to another one. (Its inode
/// number is used again; and whether it is the initial one can't be told from within a container, nor without
/// privileges that the daemon does without.)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Name of the first link that is configured.
    pub link: String,
    /// The cookie of the network namespace.
    pub namespace: u64,
}

impl Instance {
    /// The instance of the daemon whose first link is `link`, in the network namespace of the calling thread.
    pub fn here(link: impl Into<String>) -> io::Result<Self> {
        Ok(Self {
            link: link.into(),
            namespace: this_namespace()?,
        })
    }

    /// The instance whose text is `name`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        // An interface may have an @ in its name.
        let (link, namespace) = name.rsplit_once('@')?;
        Some(Self {
            link: link.to_owned(),
            namespace: namespace.parse().ok()?,
        })
    }
}

/// The cookie of the network namespace of the calling thread. Minimum kernel version: 5.14.
pub(super) fn this_namespace() -> io::Result<u64> {
    // Any socket will do, and this kind needs no address family but AF_UNIX.
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the descriptor is open; `cookie` has the length that is told and outlives the call, as does `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.link, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::in_namespace;

    #[test]
    fn the_name_says_the_link_and_the_namespace() {
        for link in ["anycast0", "a@b"] {
            let instance = Instance {
                link: link.to_owned(),
                namespace: 42,
            };
            assert_eq!(instance.to_string(), format!("{link}@42"));
            assert_eq!(Instance::from_name(&instance.to_string()), Some(instance));
        }
        for text in ["", "anycast0", "anycast0@", "anycast0@x", "anycast0@-1"] {
            assert_eq!(Instance::from_name(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_link_in_another_namespace_is_another_instance() {
        let here = Instance::here("anycast0").unwrap();
        assert_eq!(Instance::here("anycast0").unwrap(), here);
        in_namespace(|_| assert_ne!(Instance::here("anycast0").unwrap(), here));
    }
}
