//! The services that the programs are to know.

use std::net::IpAddr;

use anycast_ebpf::classify::Classifier;

use super::ReplayError;
use crate::{
    config::{Config, LinkConfig},
    datapath::Service,
    discover,
    net::{NetError, Netlink},
};

/// A service at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedService {
    /// The link that the configuration puts it on.
    pub link: String,
    /// Its name.
    pub name: String,
    /// The service address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// What its packets look like.
    pub protocol: Classifier,
}

impl ReplayedService {
    pub(super) fn for_programs(&self) -> Service {
        Service::new(self.address, self.port, self.protocol)
    }
}

/// Every service of `config` at each of its addresses.
///
/// The kernel is asked only for addresses that the configuration doesn't name: a capture is best looked at elsewhere than
/// on the node that it is from.
pub(super) fn of(config: &Config) -> Result<Vec<ReplayedService>, ReplayError> {
    let mut replayed = Vec::new();
    for link in &config.links {
        let mut on_link = None;
        for service in discover::services(link).iter() {
            let addresses = match (&service.addresses, &mut on_link) {
                (Some(addresses), _) => addresses,
                (None, Some(addresses)) => addresses,
                (None, not_asked) => not_asked.insert(addresses_of(link)?),
            };
            if addresses.is_empty() {
                return Err(ReplayError::NoAddresses {
                    service: service.name.clone(),
                    link: link.name.clone(),
                });
            }
            replayed.extend(addresses.iter().map(|&address| ReplayedService {
                link: link.name.clone(),
                name: service.name.clone(),
                address,
                port: service.port,
                protocol: service.protocol,
            }));
        }
    }
    Ok(replayed)
}

/// The addresses on a link; none when there is no such link.
fn addresses_of(link: &LinkConfig) -> Result<Vec<IpAddr>, NetError> {
    let mut netlink = Netlink::open()?;
    let found = match netlink.link(&link.name) {
        Ok(found) => found,
        Err(NetError::NoSuchLink { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let addresses = netlink.addresses(found.index)?;
    Ok(addresses.into_iter().map(|address| address.address).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::net::testing::in_namespace;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("test.toml")).unwrap()
    }

    fn endpoints(config: &Config) -> Vec<String> {
        let endpoint = |service: &ReplayedService| {
            let ReplayedService {
                link,
                name,
                address,
                port,
                ..
            } = service;
            format!("{link} {name} {address} {port}")
        };
        of(config).unwrap().iter().map(endpoint).collect()
    }

    const UNNAMED: &str = "[[link]]\nname = \"anycast0\"\n";
    const NAMED: &str = "[[link.service]]\nname = \"dns\"\nprotocol = \"dns-udp\"\nport = 53\n\
                         addresses = [\"192.0.2.1\", \"2001:db8::1\"]\n";
    const HALF_NAMED: &str = "[[link.service]]\nname = \"other\"\nprotocol = \"dns-udp\"\nport = 5353\n";

    #[test]
    fn addresses_of_the_configuration_need_no_link() {
        let config = config(&format!("{UNNAMED}{NAMED}"));
        assert_eq!(
            endpoints(&config),
            ["anycast0 dns 192.0.2.1 53", "anycast0 dns 2001:db8::1 53"]
        );
    }

    #[test]
    fn a_service_without_addresses_has_those_of_the_link() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            namespace.add_address(&link, "192.0.2.53/32");
            assert_eq!(endpoints(&config(UNNAMED)), ["anycast0 dns 192.0.2.53 53"]);
            assert_eq!(
                endpoints(&config(&format!("{UNNAMED}{NAMED}{HALF_NAMED}"))),
                [
                    "anycast0 dns 192.0.2.1 53",
                    "anycast0 dns 2001:db8::1 53",
                    "anycast0 other 192.0.2.53 5353"
                ]
            );
        });
    }

    #[test]
    fn a_service_whose_addresses_nobody_knows_is_refused() {
        in_namespace(|namespace| {
            let refused = |config: &Config| matches!(of(config), Err(ReplayError::NoAddresses { .. }));
            assert!(refused(&config(UNNAMED)), "no link");
            assert!(refused(&config(&format!("{UNNAMED}{NAMED}{HALF_NAMED}"))), "no link");
            namespace.service_link("anycast0");
            assert!(refused(&config(UNNAMED)), "no address on it");
        });
    }
}
