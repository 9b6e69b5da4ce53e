//! Which links carry the traffic, and which one may be the switch of an announcement. Pure.

use super::{Link, LinkIndex, NetError, NextHop, Route};

/// The links that queries arrive on and answers leave by: the output interfaces of the routes with a gateway, each
/// next hop of a multipath route counted; when there is none (a point-to-point uplink), those of the default routes.
///
/// Never `lo` and none of `service_links`. In the order of their indices. Routes of tables other than the main one are
/// not looked at: with policy routing, name the uplinks in the configuration.
#[must_use]
pub fn uplinks(routes: &[Route], links: &[Link], service_links: &[LinkIndex]) -> Vec<Link> {
    let chosen_by = |choose: &dyn Fn(&Route, &NextHop) -> bool| -> Vec<Link> {
        let leads_to = |link: &Link| {
            let mut hops = routes
                .iter()
                .flat_map(|route| route.next_hops.iter().map(move |hop| (route, hop)));
            hops.any(|(route, hop)| hop.link == link.index && choose(route, hop))
        };
        let eligible = |link: &&Link| !link.loopback && !service_links.contains(&link.index) && leads_to(link);
        let mut chosen: Vec<Link> = links.iter().filter(eligible).cloned().collect();
        chosen.sort_by_key(|link| link.index);
        chosen
    };
    let with_gateway = chosen_by(&|_, hop| hop.gateway);
    if with_gateway.is_empty() {
        chosen_by(&|route, _| route.prefix_length == 0)
    } else {
        with_gateway
    }
}

/// Whether taking `link` down withdraws an announcement and does nothing else.
///
/// A `dummy` link is the normal case. As stand-ins, for kernels without that driver, `ifb` and a bridge without ports
/// are accepted. `uplinks` must be those found without an exception for `link`, or the check is blind.
pub fn link_switch_check(link: &Link, links: &[Link], uplinks: &[Link]) -> Result<(), NetError> {
    let name = || link.name.clone();
    if link.loopback {
        return Err(NetError::Loopback { name: name() });
    }
    if uplinks.iter().any(|uplink| uplink.index == link.index) {
        return Err(NetError::Uplink { name: name() });
    }
    if let Some(master) = link.master {
        let found = links.iter().find(|other| other.index == master);
        let master = found.map_or_else(|| format!("link {master}"), |master| master.name.clone());
        return Err(NetError::HasMaster { name: name(), master });
    }
    match link.kind.as_deref() {
        None => Err(NetError::NotVirtual { name: name() }),
        Some("dummy" | "ifb") => Ok(()),
        Some("bridge") => {
            let ports = links.iter().filter(|port| port.master == Some(link.index));
            let ports: Vec<&str> = ports.map(|port| port.name.as_str()).collect();
            if ports.is_empty() {
                Ok(())
            } else {
                Err(NetError::BridgeWithPorts {
                    name: name(),
                    ports: ports.join(", "),
                })
            }
        }
        Some(kind) => Err(NetError::UnsuitableKind {
            name: name(),
            kind: kind.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::link;

    fn route(prefix_length: u8, next_hops: &[(u32, bool)]) -> Route {
        let next_hops = next_hops.iter().map(|&(link, gateway)| NextHop {
            link: LinkIndex(link),
            gateway,
        });
        Route {
            prefix_length,
            next_hops: next_hops.collect(),
        }
    }

    fn host() -> Vec<Link> {
        let mut loopback = link(1, "lo", None);
        loopback.loopback = true;
        vec![
            loopback,
            link(2, "eth0", None),
            link(3, "eth1", None),
            link(4, "anycast0", Some("dummy")),
        ]
    }

    fn names(links: &[Link]) -> Vec<&str> {
        links.iter().map(|link| link.name.as_str()).collect()
    }

    #[test]
    fn uplinks_have_a_gateway_and_multipath_has_several() {
        let routes = [
            route(24, &[(2, false)]),
            route(0, &[(3, true), (2, true)]),
            route(16, &[(3, true)]),
        ];
        assert_eq!(names(&uplinks(&routes, &host(), &[])), ["eth0", "eth1"]);
        let routes = [route(24, &[(2, false)]), route(0, &[(3, true)])];
        assert_eq!(names(&uplinks(&routes, &host(), &[])), ["eth1"]);
    }

    #[test]
    fn without_any_gateway_the_default_route_decides() {
        let routes = [route(24, &[(3, false)]), route(0, &[(2, false)])];
        assert_eq!(names(&uplinks(&routes, &host(), &[])), ["eth0"]);
        assert_eq!(names(&uplinks(&[route(24, &[(3, false)])], &host(), &[])), [""; 0]);
    }

    #[test]
    fn neither_loopback_nor_a_service_link_is_an_uplink() {
        let routes = [route(0, &[(1, true), (4, true), (9, true)])];
        assert_eq!(names(&uplinks(&routes, &host(), &[LinkIndex(4)])), [""; 0]);
        assert_eq!(names(&uplinks(&routes, &host(), &[])), ["anycast0"]);
    }

    #[test]
    fn only_links_that_carry_nothing_else_are_switches() {
        let mut links = host();
        links.push(link(5, "br0", Some("bridge")));
        links.push(link(6, "br1", Some("bridge")));
        links.push(link(7, "veth0", Some("veth")));
        links.push(link(8, "ifb0", Some("ifb")));
        links.push(link(9, "dummy9", Some("dummy")));
        for (index, master) in [(7, 6), (9, 6)] {
            links
                .iter_mut()
                .find(|link| link.index == LinkIndex(index))
                .unwrap()
                .master = Some(LinkIndex(master));
        }
        let uplinks = [links[2].clone()];
        let verdict = |name: &str| {
            let link = links.iter().find(|link| link.name == name).unwrap();
            link_switch_check(link, &links, &uplinks)
        };
        for name in ["anycast0", "br0", "ifb0"] {
            verdict(name).unwrap();
        }
        assert!(matches!(verdict("lo"), Err(NetError::Loopback { .. })));
        assert!(matches!(verdict("eth0"), Err(NetError::NotVirtual { .. })));
        assert!(matches!(verdict("eth1"), Err(NetError::Uplink { .. })));
        assert!(matches!(verdict("br1"), Err(NetError::BridgeWithPorts { ports, .. }) if ports == "veth0, dummy9"));
        assert!(matches!(verdict("veth0"), Err(NetError::HasMaster { .. })));
        assert!(matches!(verdict("dummy9"), Err(NetError::HasMaster { master, .. }) if master == "br1"));
        let veth = link(20, "veth1", Some("veth"));
        let refused = link_switch_check(&veth, &links, &uplinks).unwrap_err().to_string();
        assert!(
            refused.contains("veth1") && refused.contains("ip link add"),
            "{refused}"
        );
    }
}
