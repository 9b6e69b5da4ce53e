//! What can go wrong in [`super`].

use std::io;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use crate::net::NetError;

/// Why a link was not taken down or up, or could not be prepared for it.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// No socket to ask whether a link is up.
    #[error("cannot prepare to ask whether a link is up: {0}; raise the limit on open files (LimitNOFILE=)")]
    UpState(#[source] io::Error),
    /// The kernel could not be asked, or refused.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The kernel acknowledged a change that is not there.
    #[error(
        "`{link}` is still {}: the kernel acknowledged the change, but something set the link back at once; \
         look for a network manager that keeps it so",
        if *up { "up" } else { "down" }
    )]
    ReadBack {
        /// The link.
        link: String,
        /// Its state as read.
        up: bool,
    },
    /// The link is down without this tool's mark, so it isn't this tool's to raise.
    #[error(
        "`{link}` is down without this tool's mark: somebody else wants it so; raise it with `ip link set {link} up`"
    )]
    NotOurs {
        /// The link.
        link: String,
    },
    /// Another process holds the link's [lock](super::LinkLock).
    #[error(
        "another anycast-probe is armed for `{link}`{}: two would undo each other's work; stop one of them",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The link.
        link: String,
        /// The process, where the kernel tells.
        pid: Option<i32>,
    },
    /// A link's [lock](super::LinkLock) could not be made.
    #[error("cannot lock `{link}`: {source}; the process needs AF_UNIX (RestrictAddressFamilies= in its unit)")]
    Lock {
        /// The link.
        link: String,
        /// Why.
        source: io::Error,
    },
    /// A command named a link that isn't there.
    #[error("link number {0} has no switch; this is a bug, please report it")]
    NoSuchSwitch(usize),
    /// A thread could not be started.
    #[error("cannot start the actuator thread: {0}; raise the limit on tasks (TasksMax= in the unit)")]
    Thread(#[source] io::Error),
    /// A sysctl is not what it must be and could not be set.
    #[error(
        "cannot write 1 to {}: {source}; without it the kernel drops IPv6 addresses when the link goes down: \
         set it by sysctl.d, or allow it (ProtectKernelTunables=no in the unit)",
        path.display()
    )]
    Sysctl {
        /// The file.
        path: PathBuf,
        /// Why it could not be read or written.
        source: io::Error,
    },
    /// A sysctl for all links is against it.
    #[error(
        "net.ipv6.conf.all.keep_addr_on_down is negative, so the kernel drops IPv6 addresses when a link goes down; \
         set it to 0 or 1"
    )]
    AddressesNotKept,
    /// An IPv6 address with a lifetime doesn't outlive its link going down.
    #[error(
        "{address} on `{link}` has a lifetime, so it would be gone after a withdrawal; make it permanent: \
         `ip address change {address}/{prefix_length} dev {link} valid_lft forever preferred_lft forever`"
    )]
    NotPermanent {
        /// The link.
        link: String,
        /// The address.
        address: Ipv6Addr,
        /// Its prefix length.
        prefix_length: u8,
    },
}

impl RouteError {
    /// Whether trying again can help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Net(error) => !matches!(error.errno(), Some(libc::ENODEV | libc::EPERM | libc::EOPNOTSUPP)),
            Self::ReadBack { .. } => true,
            _ => false,
        }
    }
}
