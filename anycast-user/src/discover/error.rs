//! Why the configuration does not fit this machine.

use std::net::IpAddr;

use thiserror::Error;

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
    /// Packets would be counted twice.
    #[error("`{upper}` lies on `{lower}`, and both are uplinks: their packets would be counted twice; {}", what_to_keep(.keep.as_deref()))]
    Stacked {
        /// The uplink on top.
        upper: String,
        /// The one beneath.
        lower: String,
        /// The one that sees the packets of both.
        keep: Option<String>,
    },
    /// Not tested, so not promised.
    #[error(
        "`{uplink}` belongs to the VRF `{vrf}`, and VRFs are not tested: name uplinks outside of VRFs with `uplinks = \
         [\"eth0\"]` in a configuration file"
    )]
    InVrf {
        /// The interface.
        uplink: String,
        /// The VRF; the same when it is the uplink itself.
        vrf: String,
    },
    /// Answers may leave where nobody counts them.
    #[error("{reason}; nothing can be armed: take that program off, or watch without --arm and `armed = true`")]
    Bypassed {
        /// Names the uplink and the program.
        reason: String,
    },
}

fn what_to_keep(link: Option<&str>) -> String {
    match link {
        Some(link) => format!("keep one of them in `uplinks`: `{link}` sees all"),
        None => "name in `uplinks` the one interface that sees all, which is between them".to_owned(),
    }
}
