//! What this host's network looks like: links, addresses, routes and drivers, read by blocking netlink.
//!
//! Everything speaks of the network namespace that the calling thread is in. `/sys/class/net` is never read: it shows
//! the namespace that mounted it.

mod change;
mod changes;
mod choose;
mod decode;
mod driver;
mod error;
mod flags;
mod framing;
mod message;
mod resident;
mod sock_diag;
mod socket;
mod stack;
mod tc;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

pub use changes::Changes;
pub use choose::{link_switch_check, uplinks};
pub(crate) use decode::is_up;
pub use driver::driver;
pub use error::NetError;
pub use flags::UpState;
pub use framing::{FramingError, framing};
pub(crate) use message::Request;
pub use netlink_packet_route::address::{AddressFlags, AddressScope};
pub use resident::{Resident, resident};
pub use sock_diag::{SocketTable, UdpSocket};
pub use socket::Netlink;
pub(crate) use socket::get_link;
pub use stack::{Stacked, leading_to, stacked};
pub use tc::{Filter, FilterProgram, Side};

/// The number by which the kernel knows a link; it survives a rename and is not used again while the host runs
/// (unless somebody asks for it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LinkIndex(pub u32);

impl LinkIndex {
    /// `lo`: the kernel gives it this index in every network namespace.
    pub const LOOPBACK: Self = Self(1);
}

impl fmt::Display for LinkIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: LinkIndex,
    /// Its name, such as `anycast0`.
    pub name: String,
    /// What made it: `dummy`, `ifb`, `bridge`, `veth`… `None` for hardware and for `lo`.
    pub kind: Option<String>,
    /// Whether it is administratively up (`IFF_UP`), which is what withdrawing and announcing change.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// The free text that `ip link set … alias` sets, at most 255 bytes. Never empty.
    pub alias: Option<String>,
    /// The bridge, bond or VRF that it is a port of.
    pub master: Option<LinkIndex>,
    /// The link that it was made on: a VLAN's or a macvlan's, or a tunnel's that is bound to one. `None` when that is
    /// in another network namespace, and for what comes in pairs (`veth`).
    pub lower: Option<LinkIndex>,
    /// The kernel's `ARPHRD_*` number: 1 is Ethernet; see [`framing`].
    pub hardware_type: u16,
    /// The broadcast address of its medium; of a tunnel, the address of its far end. As many bytes as an address there
    /// has.
    pub broadcast: Vec<u8>,
    /// The kernel's numbers of the XDP programs on it, in whatever mode; more than one only where the driver has one and
    /// the stack another.
    pub xdp_programs: Vec<u32>,
}

/// An IP address of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link that it is on.
    pub link: LinkIndex,
    /// The address itself, never the peer's.
    pub address: IpAddr,
    /// The prefix that is announced with it: 32 or 128 for the address alone.
    pub prefix_length: u8,
    /// How far it reaches; `Universe` for a service address.
    pub scope: AddressScope,
    /// What the kernel says of it. `Permanent`: has no lifetime; only such an IPv6 address can outlast its link going
    /// down. `Nodad`: IPv6 duplicate address detection is off; otherwise the address is `Tentative`, and nothing can
    /// bind it, for a while after its link came up and for as long as it is down.
    pub flags: AddressFlags,
    /// The metric of the route to the prefix, where one was given.
    pub metric: Option<u32>,
}

/// A unicast route of the main table, as far as it says where packets leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Length of the destination prefix; 0 is a default route.
    pub prefix_length: u8,
    /// Where it leads; several for a multipath route, none for one without an interface.
    pub next_hops: Vec<NextHop>,
}

/// One way that a route may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextHop {
    /// The output interface.
    pub link: LinkIndex,
    /// Whether packets go to a gateway, not straight to the destination.
    pub gateway: bool,
}
