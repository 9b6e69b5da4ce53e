//! What the configuration means on this machine: links, addresses, uplinks and the DNS service, found by looking.

use std::{borrow::Cow, net::IpAddr};

use procfs::net::UdpNetEntry;
use thiserror::Error;

use crate::{
    config::{Config, LinkConfig, Protocol, ServiceConfig},
    net::{self, Link, NetError, Netlink, Route},
};

/// The port of DNS.
const DNS_PORT: u16 = 53;
/// Drivers in which native XDP is known to go on and off without bouncing the link.
const CALM_XDP_DRIVERS: [&str; 2] = ["veth", "virtio_net"];

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The links whose state is the announcement.
    pub links: Vec<PlannedLink>,
    /// The interfaces that queries arrive on and answers leave by.
    pub uplinks: Vec<Uplink>,
    /// What an operator should know before trusting it, one line each.
    pub warnings: Vec<String>,
}

/// A link and the services on its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLink {
    /// The link.
    pub link: Link,
    /// One for each service and address.
    pub services: Vec<PlannedService>,
}

/// A service at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedService {
    /// Its name.
    pub name: String,
    /// The service address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface.
    pub link: Link,
    /// Native XDP is known not to bounce it.
    pub native_xdp_is_calm: bool,
}

/// Why the configuration does not fit this machine.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// The kernel would not tell, a link is missing, or it can't be a switch.
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
    /// Frames of this interface have no Ethernet header.
    #[error(
        "uplink {uplink} is not an Ethernet interface, and others are not understood yet: name the uplinks that are with \
         `uplinks = [\"eth0\"]` in a configuration file"
    )]
    NotEthernet {
        /// The interface.
        uplink: String,
    },
    /// Nowhere to count.
    #[error(
        "no uplink: the main routing table has no route with a gateway and no default route; name them with `uplinks = [\"eth0\"]` in a configuration file"
    )]
    NoUplink,
}

/// Looks at the network namespace of the calling thread. Changes nothing.
pub fn discover(config: &Config, netlink: &mut Netlink) -> Result<Plan, DiscoverError> {
    let links = netlink.links()?;
    let routes = netlink.routes()?;
    let mut warnings = Vec::new();
    for name in config.uplinks.iter().flatten() {
        find(&links, name)?;
    }
    let uplinks = uplinks(config, &links, &routes);
    // The check has to see the uplinks before service links are taken out of them.
    let mut carriers = net::uplinks(&routes, &links, &[]);
    carriers.extend(uplinks.iter().map(|uplink| uplink.link.clone()));
    let planned = config
        .links
        .iter()
        .map(|wanted| {
            let link = find(&links, &wanted.name)?;
            net::link_switch_check(link, &links, &carriers)?;
            let addresses: Vec<IpAddr> = netlink
                .addresses(link.index)?
                .into_iter()
                .map(|address| address.address)
                .collect();
            let services = services_of(wanted, &addresses)?;
            warnings.extend(services.iter().filter(|service| !is_listening(service)).map(|service| {
                format!(
                    "no socket listens on UDP port {} of {}: it is watched all the same, and stays unarmed until it \
                     answers",
                    service.port, service.address
                )
            }));
            Ok(PlannedLink {
                link: link.clone(),
                services,
            })
        })
        .collect::<Result<_, DiscoverError>>()?;
    if uplinks.is_empty() {
        return Err(DiscoverError::NoUplink);
    }
    uplinks.iter().try_for_each(Uplink::check)?;
    Ok(Plan {
        links: planned,
        uplinks,
        warnings,
    })
}

/// The uplinks among `links`: those that are configured, as far as they are there, or those of `routes`. In the order of
/// their configuration, or of their indices.
#[must_use]
pub fn uplinks(config: &Config, links: &[Link], routes: &[Route]) -> Vec<Uplink> {
    let with_name = |name: &String| links.iter().find(|link| link.name == *name);
    let found = if let Some(names) = &config.uplinks {
        names.iter().filter_map(with_name).cloned().collect()
    } else {
        let service_links = config.links.iter().filter_map(|link| with_name(&link.name));
        let service_links: Vec<_> = service_links.map(|link| link.index).collect();
        net::uplinks(routes, links, &service_links)
    };
    found
        .into_iter()
        .map(|link| {
            let driver = net::driver(&link.name);
            let native_xdp_is_calm = driver.is_some_and(|driver| CALM_XDP_DRIVERS.contains(&driver.as_str()));
            Uplink {
                link,
                native_xdp_is_calm,
            }
        })
        .collect()
}

impl Uplink {
    /// Whether its packets can be read.
    pub fn check(&self) -> Result<(), DiscoverError> {
        if self.link.hardware_type == libc::ARPHRD_ETHER {
            return Ok(());
        }
        Err(DiscoverError::NotEthernet {
            uplink: self.link.name.clone(),
        })
    }
}

fn find<'a>(links: &'a [Link], name: &str) -> Result<&'a Link, NetError> {
    links
        .iter()
        .find(|link| link.name == name)
        .ok_or_else(|| NetError::NoSuchLink { name: name.to_owned() })
}

/// The services that the configuration puts on a link; DNS at all of its addresses when it names none.
#[must_use]
pub fn services(link: &LinkConfig) -> Cow<'_, [ServiceConfig]> {
    if !link.services.is_empty() {
        return Cow::Borrowed(&link.services);
    }
    Cow::Owned(vec![ServiceConfig {
        name: "dns".to_owned(),
        protocol: Protocol::DnsUdp,
        port: DNS_PORT,
        addresses: None,
    }])
}

/// The services of a link that has these addresses.
fn services_of(wanted: &LinkConfig, addresses: &[IpAddr]) -> Result<Vec<PlannedService>, DiscoverError> {
    if addresses.is_empty() {
        return Err(DiscoverError::NoAddress {
            link: wanted.name.clone(),
        });
    }
    let mut planned = Vec::new();
    for service in services(wanted).iter() {
        for &address in service.addresses.as_deref().unwrap_or(addresses) {
            if !addresses.contains(&address) {
                return Err(DiscoverError::AddressNotOnLink {
                    address,
                    link: wanted.name.clone(),
                });
            }
            planned.push(PlannedService {
                name: service.name.clone(),
                address,
                port: service.port,
            });
        }
    }
    Ok(planned)
}

/// Whether a UDP socket is bound to the service's address and port. When the kernel won't tell, it is assumed.
fn is_listening(service: &PlannedService) -> bool {
    let sockets = match service.address {
        IpAddr::V4(_) => procfs::net::udp().map(|mut v4| {
            v4.extend(procfs::net::udp6().unwrap_or_default());
            v4
        }),
        IpAddr::V6(_) => procfs::net::udp6(),
    };
    sockets.map_or(true, |sockets: Vec<UdpNetEntry>| {
        sockets.iter().any(|socket| {
            let local = socket.local_address;
            // A wildcard socket of IPv6 takes IPv4 as well, unless it is told not to.
            local.port() == service.port && (local.ip() == service.address || local.ip().is_unspecified())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(services: Vec<ServiceConfig>) -> LinkConfig {
        LinkConfig {
            name: "anycast0".to_owned(),
            services,
        }
    }

    fn addresses() -> Vec<IpAddr> {
        vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()]
    }

    #[test]
    fn a_link_without_services_has_dns_at_all_its_addresses() {
        let services = services_of(&wanted(Vec::new()), &addresses()).unwrap();
        let found: Vec<_> = services.iter().map(|service| (service.address, service.port)).collect();
        assert_eq!(
            found,
            addresses().into_iter().map(|address| (address, 53)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_address_that_is_not_there_is_refused() {
        let elsewhere = ServiceConfig {
            name: "dns".to_owned(),
            protocol: Protocol::DnsUdp,
            port: 53,
            addresses: Some(vec!["192.0.2.99".parse().unwrap()]),
        };
        let error = services_of(&wanted(vec![elsewhere]), &addresses()).unwrap_err();
        assert!(matches!(error, DiscoverError::AddressNotOnLink { .. }));
        let error = services_of(&wanted(Vec::new()), &[]).unwrap_err();
        assert!(matches!(error, DiscoverError::NoAddress { .. }));
    }
}
