//! Which link a recorded service is on, and by which settings it is judged.

use std::net::IpAddr;

use crate::{
    config::{Config, LinkConfig, ServiceConfig, has_probe},
    discover,
    engine::{ServiceSetup, Settings},
    policy::{WatchOnly, WithdrawWhen},
};

/// What a configuration says of the services of a recording.
#[derive(Debug)]
pub(super) struct Layout {
    links: Vec<LinkPlan>,
    settings: Settings,
}

/// A link and the services that are expected on it.
#[derive(Clone, Debug)]
pub(super) struct LinkPlan {
    pub(super) name: String,
    pub(super) withdraw_when: WithdrawWhen,
    pub(super) services: Vec<ServicePlan>,
}

/// A service of the configuration, at all of its addresses.
#[derive(Clone, Debug)]
pub(super) struct ServicePlan {
    pub(super) name: String,
    addresses: Option<Vec<IpAddr>>,
    pub(super) setup: ServiceSetup,
}

/// Where a recorded service is: the index of a link of the configuration and that of a service on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Configured {
    pub(super) link: usize,
    pub(super) service: usize,
}

impl Layout {
    /// Of a daemon with `config` that is armed, unless it says otherwise.
    pub(super) fn new(config: &Config) -> Self {
        let links: Vec<LinkPlan> = config.links.iter().map(LinkPlan::from).collect();
        let services = links.iter().flat_map(|link| &link.services);
        let addresses: usize = services.map(ServicePlan::places).sum();
        Self {
            settings: Settings::of(config, addresses, config.armed.unwrap_or(true)),
            links,
        }
    }

    /// By which all services are judged.
    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn link(&self, index: usize) -> Option<&LinkPlan> {
        self.links.get(index)
    }

    /// Finds a service by the name that it is recorded under: `NAME`, or `NAME@ADDRESS`.
    pub(super) fn find(&self, recorded: &str) -> Option<Configured> {
        let split = recorded.rsplit_once('@');
        let (name, address) = split
            .and_then(|(name, address)| Some((name, Some(address.parse::<IpAddr>().ok()?))))
            .unwrap_or((recorded, None));
        let is_it = |service: &ServicePlan| {
            let all = service.addresses.as_deref();
            service.name == name && all.zip(address).is_none_or(|(all, address)| all.contains(&address))
        };
        self.links.iter().enumerate().find_map(|(link, plan)| {
            let service = plan.services.iter().position(is_it)?;
            Some(Configured { link, service })
        })
    }
}

impl LinkPlan {
    /// The link of a service that the configuration doesn't name: its own, called like it.
    pub(super) fn of_one(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            withdraw_when: WithdrawWhen::default(),
            services: vec![ServicePlan {
                name: name.to_owned(),
                addresses: None,
                setup: ServiceSetup::default(),
            }],
        }
    }
}

impl From<&LinkConfig> for LinkPlan {
    fn from(link: &LinkConfig) -> Self {
        Self {
            name: link.name.clone(),
            withdraw_when: link.withdraw_when,
            services: discover::services(link).iter().map(ServicePlan::from).collect(),
        }
    }
}

impl From<&ServiceConfig> for ServicePlan {
    fn from(service: &ServiceConfig) -> Self {
        Self {
            name: service.name.clone(),
            addresses: service.addresses.clone(),
            setup: ServiceSetup {
                watch_only: (!has_probe(service.protocol)).then_some(WatchOnly::NoProbe),
                weight: service.weight.into(),
            },
        }
    }
}

impl ServicePlan {
    /// How often it is there: at each address, or once where the link's are not known.
    pub(super) fn places(&self) -> usize {
        self.addresses.as_ref().map_or(1, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn layout(text: &str) -> Layout {
        Layout::new(&Config::parse_for_recording(text, Path::new("test.toml")).unwrap())
    }

    const TWO_LINKS: &str = r#"
        [[link]]
        name = "anycast0"
        [[link]]
        name = "anycast1"
        [[link.service]]
        name = "dns"
        protocol = "dns-udp"
        port = 53
        addresses = ["192.0.2.53", "2001:db8::53"]
        [[link.service]]
        name = "ntp"
        protocol = "ntp"
        port = 123
        addresses = ["192.0.2.123"]
    "#;

    #[test]
    fn a_service_is_found_by_its_name_and_address() {
        let layout = layout(TWO_LINKS);
        let found = |name: &str| layout.find(name).map(|Configured { link, service }| (link, service));
        assert_eq!(
            found("dns"),
            Some((0, 0)),
            "where no service is named there is DNS, at any address"
        );
        assert_eq!(found("dns@198.51.100.1"), Some((0, 0)));
        assert_eq!(found("ntp"), Some((1, 1)));
        assert_eq!(found("ntp@192.0.2.123"), Some((1, 1)));
        assert_eq!(found("ntp@192.0.2.124"), None, "that is another service");
        assert_eq!(found("resolver"), None);
        let ntp = &layout.link(1).unwrap().services[1];
        assert_eq!(ntp.setup.watch_only, Some(WatchOnly::NoProbe));
    }

    #[test]
    fn it_is_armed_unless_the_configuration_says_otherwise() {
        for (text, armed) in [("", true), ("armed = true", true), ("armed = false", false)] {
            assert_eq!(layout(text).settings().armed, armed, "{text:?}");
        }
    }

    #[test]
    fn services_share_the_budget_by_their_addresses() {
        assert_eq!(layout(TWO_LINKS).settings().detect.services, 4);
        assert_eq!(layout("").settings().detect.services, 1);
    }
}
