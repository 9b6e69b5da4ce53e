//! What can go wrong in [`super`].

use std::io;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use crate::net::NetError;

/// Why a link was not taken down or up, or could not be prepared for it.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
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
    /// The link is up again, but an IPv6 address that it had is missing.
    #[error("`{link}` is up, but its address {address} could not be put back: {source}; add it by hand")]
    AddressLost {
        /// The link.
        link: String,
        /// The address that is missing.
        address: Ipv6Addr,
        /// Why.
        source: NetError,
    },
    /// A newer command for the same link took the place of this one.
    #[error("a newer command for the same link came first")]
    Superseded,
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
            Self::ReadBack { .. } | Self::AddressLost { .. } => true,
            _ => false,
        }
    }
}
