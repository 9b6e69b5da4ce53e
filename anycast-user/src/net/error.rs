//! What can go wrong in [`super`].

use std::io;

/// Why the network couldn't be read, or why a link can't be the switch of an announcement.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The netlink socket could not be opened or set up.
    #[error("cannot open a netlink socket: {0}; the process needs AF_NETLINK (RestrictAddressFamilies= in its unit)")]
    Open(#[source] io::Error),
    /// Talking to the kernel failed before it gave an answer.
    #[error("netlink: {operation}: {source}")]
    Socket {
        /// What was asked.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("{operation}: the kernel says: {source}{}", hint(source))]
    Kernel {
        /// What was asked.
        operation: &'static str,
        /// The kernel's error number.
        source: io::Error,
    },
    /// No answer came in time.
    #[error("{operation}: no answer from the kernel within a second; the host may be overloaded, try again")]
    Timeout {
        /// What was asked.
        operation: &'static str,
    },
    /// An answer made no sense.
    #[error("{operation}: the kernel's answer could not be read: {reason}; please report this with `uname -r`")]
    Malformed {
        /// What was asked.
        operation: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// The list changed while it was read, again and again.
    #[error("{operation}: the list changed while it was being read, {attempts} times; try again")]
    Inconsistent {
        /// What was asked.
        operation: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// There's no such link in this network namespace.
    #[error(
        "no link named `{name}` here: see `ip link` for the names; a service link is made by `ip link add {name} type dummy`"
    )]
    NoSuchLink {
        /// The name.
        name: String,
    },
    /// The loopback interface holds more than a service.
    #[error("`{name}` is the loopback interface: taking it down would break this host; {MAKE_A_DUMMY}")]
    Loopback {
        /// The link.
        name: String,
    },
    /// Queries arrive on it.
    #[error("`{name}` is an uplink: taking it down would cut this host off; {MAKE_A_DUMMY}")]
    Uplink {
        /// The link.
        name: String,
    },
    /// Hardware.
    #[error("`{name}` is not a virtual link: taking it down would cut traffic; {MAKE_A_DUMMY}")]
    NotVirtual {
        /// The link.
        name: String,
    },
    /// A virtual link that carries traffic of others.
    #[error("`{name}` is a {kind} link, which carries traffic of its own: taking it down would cut it; {MAKE_A_DUMMY}")]
    UnsuitableKind {
        /// The link.
        name: String,
        /// Its kind.
        kind: String,
    },
    /// A bridge that connects something.
    #[error("`{name}` is a bridge with ports ({ports}): taking it down would cut them off; {MAKE_A_DUMMY}")]
    BridgeWithPorts {
        /// The bridge.
        name: String,
        /// Names of its ports.
        ports: String,
    },
    /// Part of a bridge, bond or VRF.
    #[error("`{name}` belongs to `{master}`; take it out with `ip link set {name} nomaster`, or {MAKE_A_DUMMY}")]
    HasMaster {
        /// The link.
        name: String,
        /// What it belongs to.
        master: String,
    },
}

const MAKE_A_DUMMY: &str = "put the service address on a link of its own (`ip link add anycast0 type dummy`)";

impl NetError {
    /// The kernel's error number, when the kernel or the socket gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Open(source) | Self::Socket { source, .. } | Self::Kernel { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// What to do about the errors that have one usual cause.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => "; the process needs CAP_NET_ADMIN",
        Some(libc::ENODEV) => "; the link is gone: make it again and restart",
        _ => "",
    }
}
