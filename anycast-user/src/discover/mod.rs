//! What the configuration means on this machine: links, addresses, uplinks and the DNS service, found by looking.

mod addresses;
mod error;
mod kernel;
mod residents;
mod services;
mod uplinks;

use std::net::{IpAddr, SocketAddr};

use anycast_ebpf::{
    classify::Classifier,
    layout::{LOCAL_ADDRESSES_MAX, PROTOCOL_UDP},
};

use self::services::{check_endpoints, is_listening, services_of};
pub use self::{
    addresses::{LocalAddresses, local_addresses},
    error::DiscoverError,
    kernel::is_realtime_kernel,
    residents::Residents,
    services::services,
    uplinks::{Uplink, UplinkError, uplinks},
};
use crate::{
    config::{Config, has_probe},
    net::{self, Link, NetError, Netlink},
    policy::{WatchOnly, WithdrawWhen},
};

/// What is to be watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The links whose state is the announcement.
    pub links: Vec<PlannedLink>,
    /// The interfaces that queries arrive on and answers leave by.
    pub uplinks: Vec<Uplink>,
    /// The names of configured uplinks that are not there.
    pub missing_uplinks: Vec<String>,
    /// The host's own addresses but those of the services: what comes from them is no client's.
    pub local_addresses: Vec<IpAddr>,
    /// What an operator should know before trusting it, one line each.
    pub warnings: Vec<String>,
}

/// A link and the services on its addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLink {
    /// The link.
    pub link: Link,
    /// With how many dead services it is withdrawn.
    pub withdraw_when: WithdrawWhen,
    /// One for each service and address.
    pub services: Vec<PlannedService>,
}

/// A service at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedService {
    /// Its name.
    pub name: String,
    /// What its packets look like.
    pub protocol: Classifier,
    /// The service address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// What it weighs where a share of the link's services decides.
    pub weight: u32,
}

impl PlannedService {
    /// Its address and port.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// The same, of one over UDP.
    #[must_use]
    pub fn udp_endpoint(&self) -> Option<SocketAddr> {
        (self.protocol.protocol() == PROTOCOL_UDP).then_some(self.endpoint())
    }

    /// Why it is only watched, if it is: nothing that it does or leaves undone moves its link.
    #[must_use]
    pub fn watch_only(&self) -> Option<WatchOnly> {
        (!has_probe(self.protocol)).then_some(WatchOnly::NoProbe)
    }
}

/// Looks at the network namespace of the calling thread. Changes nothing.
pub fn discover(config: &Config, netlink: &mut Netlink) -> Result<Plan, DiscoverError> {
    let links = netlink.links()?;
    let routes = netlink.routes()?;
    let mut warnings = Vec::new();
    let missing_uplinks = uplinks::missing(config, &links)?;
    let candidates = uplinks::candidates(config, &links, &routes);
    // The check has to see the uplinks before service links are taken out of them.
    let mut carriers = net::uplinks(&routes, &links, &[]);
    carriers.extend(candidates.iter().cloned());
    let planned = config
        .links
        .iter()
        .map(|wanted| {
            let link = find(&links, &wanted.name)?;
            net::link_switch_check(link, &links, &carriers)?;
            if config.is_armed() && !wanted.can_be_armed() {
                return Err(DiscoverError::NothingToProbe {
                    link: wanted.name.clone(),
                });
            }
            let addresses: Vec<IpAddr> = netlink
                .addresses(link.index)?
                .into_iter()
                .map(|address| address.address)
                .collect();
            let services = services_of(wanted, &addresses)?;
            warnings.extend(services.iter().filter(|service| !is_listening(service)).map(|service| {
                format!(
                    "no socket serves {} port {} of {}: it is watched all the same, and stays unarmed until it answers",
                    service.protocol.name(),
                    service.port,
                    service.address
                )
            }));
            Ok(PlannedLink {
                link: link.clone(),
                withdraw_when: wanted.withdraw_when,
                services,
            })
        })
        .collect::<Result<Vec<_>, DiscoverError>>()?;
    check_endpoints(&planned)?;
    if candidates.is_empty() {
        return Err(DiscoverError::NoUplink);
    }
    let (uplinks, taken_out) = uplinks::one_level(config, candidates, &links);
    uplinks.iter().try_for_each(Uplink::check)?;
    warnings.extend(taken_out);
    let services = planned.iter().flat_map(|link| &link.services);
    let local = local_addresses(netlink, services.map(|service| service.address))?;
    if local.left_out > 0 {
        warnings.push(format!(
            "this host has {} addresses more than the {LOCAL_ADDRESSES_MAX} that can be told from clients: packets from \
             those count as queries",
            local.left_out
        ));
    }
    Ok(Plan {
        links: planned,
        uplinks,
        missing_uplinks,
        local_addresses: local.addresses,
        warnings,
    })
}

fn find<'a>(links: &'a [Link], name: &str) -> Result<&'a Link, NetError> {
    links
        .iter()
        .find(|link| link.name == name)
        .ok_or_else(|| NetError::NoSuchLink { name: name.to_owned() })
}
