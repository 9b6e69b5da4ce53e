//! Why the configuration does not fit this machine.

use std::net::IpAddr;

use thiserror::Error;

use super::UplinkError;
use crate::net::NetError;

/// Why the configuration does not fit this machine.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// The kernel would not tell, a link is missing, or it can't be what it is to be.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Nothing to announce.
    #[error("no service address on {link}: add one, such as `ip address add 192.0.2.53/32 dev {link}`")]
    NoAddress {
        /// The link.
        link: String,
    },
    /// A configured address is not there.
    #[error(
        "{address} is not on {link}: add it with `ip address add {address} dev {link}`, or take it out of the configuration"
    )]
    AddressNotOnLink {
        /// The address.
        address: IpAddr,
        /// The link.
        link: String,
    },
    /// Two services get the same packets.
    #[error(
        "the services {first} and {second} have the same protocol and port at {address}: name the `addresses` of both in \
         the configuration file, or take the address off one of their links"
    )]
    ServedTwice {
        /// The address.
        address: IpAddr,
        /// One service.
        first: String,
        /// The other one.
        second: String,
    },
    /// A link that nothing could ever withdraw.
    #[error(
        "no service of {link} can be probed, so it can't be armed: configure its DNS service (`protocol = \"dns-udp\"`), or \
         watch it without --arm and `armed = true`"
    )]
    NothingToProbe {
        /// The link.
        link: String,
    },
    /// Nowhere to count.
    #[error(
        "no uplink: the main routing table has no route with a gateway and no default route; name them with `uplinks = [\"eth0\"]` in a configuration file"
    )]
    NoUplink,
    /// An uplink that can't be watched.
    #[error("uplink `{uplink}`: {reason}")]
    Uplink {
        /// The interface.
        uplink: String,
        /// Why.
        reason: UplinkError,
    },
}
