//! Uplinks that are made of one another: their packets must be counted at one level only. Pure.

use std::collections::BTreeSet;

use super::{Link, LinkIndex};

/// Two uplinks, one of which carries packets of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacked<'a> {
    /// The one on top.
    pub upper: &'a Link,
    /// The one beneath.
    pub lower: &'a Link,
    /// The one that sees every packet of both, just once.
    pub sees_all: Option<&'a Link>,
}

/// Kinds of links that are made on another one, where their packets pass all hooks as they are: with a tag, or another
/// hardware address.
const ON_ANOTHER: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];
/// Tunnels that can be looked through.
const TUNNELS: [&str; 3] = ["ipip", "ip6tnl", "sit"];

/// The first two of `uplinks` that are stacked, through however many levels of `links`.
///
/// A VLAN and its like are seen whole on the link that they are made on. A port of a bridge, bond or team sees but a
/// part of it. Packets in a tunnel are other packets on the link beneath, unless tunnels are looked through
/// (`looks_through`); then a tunnel that is not bound to a link lies over every uplink.
#[must_use]
pub fn stacked<'a>(uplinks: &'a [Link], links: &[Link], looks_through: bool) -> Option<Stacked<'a>> {
    uplinks.iter().find_map(|upper| {
        let beneath = beneath(upper, links, looks_through);
        uplinks
            .iter()
            .filter(|lower| lower.index != upper.index)
            .find_map(|lower| {
                let unbound = looks_through && is_unbound_tunnel(upper) && !is_tunnel(lower);
                let found = beneath.iter().find(|found| found.link.index == lower.index);
                let path = found.map(|found| found.path).or(unbound.then_some(Path::CARRIED))?;
                Some(Stacked {
                    upper,
                    lower,
                    sees_all: match path {
                        Path { port: false, .. } => Some(lower),
                        Path { carried: false, .. } => Some(upper),
                        _ => None,
                    },
                })
            })
    })
}

/// The links by which packets leave for one of `lower` and nowhere else: those themselves, VLANs on them, and bridges and
/// bonds all of whose ports are among these, through however many levels.
///
/// By a bridge with another port a packet may leave there. A macvlan, or one of its like, hands packets to its siblings
/// beside the link that they are made on. What is in a tunnel is another packet beneath.
#[must_use]
pub fn leading_to(lower: impl IntoIterator<Item = LinkIndex>, links: &[Link]) -> BTreeSet<LinkIndex> {
    let mut found: BTreeSet<LinkIndex> = lower.into_iter().collect();
    loop {
        let before = found.len();
        for link in links {
            let is_vlan = link.kind.as_deref() == Some("vlan");
            let is_master = || {
                let mut ports = links.iter().filter(|port| port.master == Some(link.index)).peekable();
                ports.peek().is_some() && ports.all(|port| found.contains(&port.index))
            };
            if is_vlan && link.lower.is_some_and(|lower| found.contains(&lower)) || is_master() {
                found.insert(link.index);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// A link beneath another one.
struct Beneath<'a> {
    link: &'a Link,
    path: Path,
}

/// Which steps led down to a link.
#[derive(Clone, Copy, Default)]
struct Path {
    /// From a link to the one that carries all of it.
    carried: bool,
    /// From a bridge or bond to a port.
    port: bool,
}

impl Path {
    const CARRIED: Self = Self {
        carried: true,
        port: false,
    };
}

/// All links beneath `upper`, each once.
fn beneath<'a>(upper: &'a Link, links: &'a [Link], looks_through: bool) -> Vec<Beneath<'a>> {
    let mut found = vec![Beneath {
        link: upper,
        path: Path::default(),
    }];
    let mut next = 0;
    while let Some(&Beneath { link: above, path }) = found.get(next) {
        next += 1;
        let is_carried = above
            .kind
            .as_deref()
            .is_some_and(|kind| ON_ANOTHER.contains(&kind) || looks_through && TUNNELS.contains(&kind));
        for link in links {
            let path = Path {
                carried: path.carried || is_carried && above.lower == Some(link.index),
                port: path.port || link.master == Some(above.index),
            };
            let is_step = is_carried && above.lower == Some(link.index) || link.master == Some(above.index);
            // A list from the kernel may hold a circle when it was changed meanwhile.
            if is_step && found.iter().all(|known| known.link.index != link.index) {
                found.push(Beneath { link, path });
            }
        }
    }
    found
}

fn is_tunnel(link: &Link) -> bool {
    link.kind.as_deref().is_some_and(|kind| TUNNELS.contains(&kind))
}

fn is_unbound_tunnel(link: &Link) -> bool {
    is_tunnel(link) && link.lower.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::LinkIndex;
    use crate::net::testing::{in_namespace, link};

    #[test]
    fn packets_leave_for_a_link_by_those_above_it() {
        let port = |index: u32, master: u32| Link {
            master: Some(LinkIndex(master)),
            ..link(index, "eth", None)
        };
        let links = [
            // Before what they are made on: more than one round is needed.
            on(9, "br0.5.6", "vlan", 8),
            on(8, "br0.5", "vlan", 4),
            port(2, 4),
            port(3, 4),
            link(4, "br0", Some("bridge")),
            link(5, "eth5", None),
            on(6, "gre1", "gre", 2),
            on(7, "eth5.1", "vlan", 5),
            on(10, "macvlan0", "macvlan", 5),
            on(11, "macvtap0", "macvtap", 5),
            on(12, "ipvlan0", "ipvlan", 5),
            on(13, "ipvtap0", "ipvtap", 5),
        ];
        let found = |lower: &[u32]| -> Vec<u32> {
            let found = leading_to(lower.iter().copied().map(LinkIndex), &links);
            found.into_iter().map(|index| index.0).collect()
        };
        assert_eq!(found(&[2]), [2], "by its bridge packets may leave for the other port");
        assert_eq!(found(&[2, 3]), [2, 3, 4, 8, 9]);
        assert_eq!(found(&[4]), [4, 8, 9]);
        assert_eq!(found(&[8]), [8, 9]);
        assert_eq!(found(&[5]), [5, 7], "the others hand packets to one another");
        assert_eq!(found(&[6]), [6]);
        assert_eq!(leading_to([], &links).len(), 0);
    }

    fn on(index: u32, name: &str, kind: &str, lower: u32) -> Link {
        Link {
            lower: Some(LinkIndex(lower)),
            ..link(index, name, Some(kind))
        }
    }

    fn port(index: u32, name: &str, master: u32) -> Link {
        Link {
            master: Some(LinkIndex(master)),
            ..link(index, name, None)
        }
    }

    fn host() -> Vec<Link> {
        vec![
            link(2, "eth0", None),
            on(3, "eth0.5", "vlan", 2),
            on(4, "eth0.5.6", "vlan", 3),
            on(5, "macvlan0", "macvlan", 2),
            link(6, "bond0", Some("bond")),
            port(7, "eth1", 6),
            port(8, "eth2", 6),
            on(9, "bond0.5", "vlan", 6),
            on(10, "ipip0", "ipip", 2),
            link(11, "ipip1", Some("ipip")),
            on(12, "gre0", "gre", 2),
            on(13, "macsec0", "macsec", 2),
            link(14, "wg0", Some("wireguard")),
        ]
    }

    /// The stacked ones of these uplinks and the one that sees all: `upper lower all`.
    fn verdict(names: &[&str], looks_through: bool) -> String {
        let links = host();
        let uplinks: Vec<Link> = names
            .iter()
            .map(|name| links.iter().find(|link| link.name == *name).unwrap().clone())
            .collect();
        stacked(&uplinks, &links, looks_through).map_or_else(String::new, |stacked| {
            let all = stacked.sees_all.map_or("-", |link| &link.name);
            format!("{} {} {all}", stacked.upper.name, stacked.lower.name)
        })
    }

    #[test]
    fn what_is_made_on_an_uplink_is_seen_there() {
        for uplinks in [["eth0", "eth0.5"], ["eth0.5", "eth0"]] {
            assert_eq!(verdict(&uplinks, false), "eth0.5 eth0 eth0");
        }
        assert_eq!(verdict(&["eth0", "eth0.5.6"], false), "eth0.5.6 eth0 eth0");
        assert_eq!(verdict(&["macvlan0", "eth0"], false), "macvlan0 eth0 eth0");
    }

    #[test]
    fn a_port_sees_a_part_only() {
        assert_eq!(verdict(&["eth1", "bond0"], false), "bond0 eth1 bond0");
        assert_eq!(verdict(&["bond0", "bond0.5"], false), "bond0.5 bond0 bond0");
        assert_eq!(verdict(&["eth2", "bond0.5"], false), "bond0.5 eth2 -");
    }

    #[test]
    fn neighbours_are_not_stacked() {
        for uplinks in [
            &["eth0.5", "macvlan0"][..],
            &["eth1", "eth2"],
            &["eth0", "bond0", "wg0"],
        ] {
            assert_eq!(verdict(uplinks, false), "");
        }
    }

    #[test]
    fn packets_of_a_tunnel_are_others_beneath_it_unless_looked_through() {
        for tunnel in ["ipip0", "ipip1", "gre0", "macsec0"] {
            assert_eq!(verdict(&["eth0", tunnel], false), "", "{tunnel}");
        }
        assert_eq!(verdict(&["eth0", "ipip0"], true), "ipip0 eth0 eth0");
        assert_eq!(
            verdict(&["eth0", "ipip1"], true),
            "ipip1 eth0 eth0",
            "it is bound to none"
        );
        assert_eq!(verdict(&["bond0", "ipip0"], true), "", "it is bound to another one");
        assert_eq!(verdict(&["ipip0", "ipip1"], true), "");
        assert_eq!(verdict(&["eth0", "gre0", "wg0"], true), "");
    }

    #[test]
    fn a_circle_ends() {
        let mut links = host();
        links[0].kind = Some("vlan".to_owned());
        links[0].lower = Some(LinkIndex(4));
        let uplinks = [links[4].clone(), links[1].clone()];
        assert_eq!(stacked(&uplinks, &links, false), None);
    }

    #[test]
    fn real_links_know_what_they_are_made_on() {
        in_namespace(|namespace| {
            let (near, far) = namespace.add_pair("up0", "far0");
            let bridge = namespace.add_link("br0", "bridge");
            namespace.set_master(near.index, bridge.index);
            let macvlan = namespace.add_link_on("up0.1", "macvlan", far.index);
            let links = namespace.netlink().links().unwrap();
            let find = |name: &str| links.iter().find(|link| link.name == name).unwrap().clone();
            assert_eq!(macvlan.lower, Some(far.index));
            assert_eq!(
                (find("up0").lower, find("far0").lower),
                (None, None),
                "a pair is no stack"
            );

            let uplinks = [find("up0"), find("br0")];
            let found = stacked(&uplinks, &links, false).unwrap();
            assert_eq!(found.sees_all, Some(&find("br0")));
            let uplinks = [find("far0"), find("up0.1")];
            let found = stacked(&uplinks, &links, false).unwrap();
            assert_eq!(found.sees_all, Some(&find("far0")));
            let uplinks = [find("far0"), find("br0")];
            assert_eq!(stacked(&uplinks, &links, false), None);
        });
    }
}
