//! The interfaces that queries arrive on and answers leave by: named, or found, and each packet seen at one of them only.

use super::DiscoverError;
use crate::config::Encapsulation;
use crate::net::{self, Framing, Link, Stacked, stacked};

/// Drivers in which native XDP is known to go on and off without bouncing the link.
const CALM_XDP_DRIVERS: [&str; 2] = ["veth", "virtio_net"];

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface.
    pub link: Link,
    /// What its packets start with. XDP is only for [`Framing::Ethernet`].
    pub framing: Framing,
    /// Native XDP is known not to bounce it.
    pub native_xdp_is_calm: bool,
}

/// Takes out of `found`, which routes led to, what would count packets a second time. Whoever named his uplinks
/// (`named`) is told to choose instead.
///
/// Adds to `warnings` what was taken out.
pub(super) fn one_level(
    mut found: Vec<Link>,
    named: bool,
    links: &[Link],
    encapsulation: Encapsulation,
    warnings: &mut Vec<String>,
) -> Result<Vec<Link>, DiscoverError> {
    let looks_through = encapsulation.ipip || encapsulation.gue_port.is_some();
    while let Some(Stacked { upper, lower, sees_all }) = stacked(&found, links, looks_through) {
        let (false, Some(keep)) = (named, sees_all) else {
            return Err(DiscoverError::Stacked {
                upper: upper.name.clone(),
                lower: lower.name.clone(),
                keep: sees_all.map(|link| link.name.clone()),
            });
        };
        let other = if keep.index == upper.index { lower } else { upper };
        warnings.push(format!(
            "routes lead to {} and to {}, and {} sees the packets of both: counting there only",
            upper.name, lower.name, keep.name
        ));
        let other = other.index;
        found.retain(|link| link.index != other);
    }
    Ok(found)
}

/// What has to be known of uplinks to attach to them. An error when one is of a kind that is not understood.
pub(super) fn examine(found: Vec<Link>, links: &[Link]) -> Result<Vec<Uplink>, DiscoverError> {
    let examine = |link: Link| {
        if let Some(vrf) = vrf_of(&link, links) {
            return Err(DiscoverError::InVrf {
                uplink: link.name.clone(),
                vrf: vrf.name.clone(),
            });
        }
        let framing = Framing::of(&link)?;
        let driver = net::driver(&link.name);
        let native_xdp_is_calm =
            framing == Framing::Ethernet && driver.is_some_and(|driver| CALM_XDP_DRIVERS.contains(&driver.as_str()));
        Ok(Uplink {
            link,
            framing,
            native_xdp_is_calm,
        })
    };
    found.into_iter().map(examine).collect()
}

/// The VRF that a link is, or belongs to, by way of a bridge or bond too.
fn vrf_of<'a>(link: &'a Link, links: &'a [Link]) -> Option<&'a Link> {
    let master = |link: &&'a Link| {
        let master = link.master?;
        links.iter().find(|other| other.index == master)
    };
    // No chain is longer than there are links; one that was changed while it was read may be a circle.
    std::iter::successors(Some(link), master)
        .take(links.len() + 1)
        .find(|link| link.kind.as_deref() == Some("vrf"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::LinkIndex;
    use crate::net::testing::{Tun, in_namespace, link};

    const NOTHING: Encapsulation = Encapsulation {
        ipip: false,
        gue_port: None,
    };

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

    fn names(links: &[Link]) -> Vec<&str> {
        links.iter().map(|link| link.name.as_str()).collect()
    }

    #[test]
    fn of_stacked_ones_that_were_found_the_one_that_sees_all_is_kept() {
        let links = [
            link(2, "eth0", None),
            on(3, "eth0.5", "vlan", 2),
            on(4, "eth0.6", "vlan", 2),
            link(5, "br0", Some("bridge")),
            port(6, "eth1", 5),
        ];
        let mut warnings = Vec::new();
        let kept = one_level(links.to_vec(), false, &links, NOTHING, &mut warnings).unwrap();
        assert_eq!(names(&kept), ["eth0", "br0"]);
        assert_eq!(
            warnings,
            [
                "routes lead to eth0.5 and to eth0, and eth0 sees the packets of both: counting there only",
                "routes lead to eth0.6 and to eth0, and eth0 sees the packets of both: counting there only",
                "routes lead to br0 and to eth1, and br0 sees the packets of both: counting there only",
            ]
        );
        let siblings = &links[1..3];
        assert_eq!(
            one_level(siblings.to_vec(), true, &links, NOTHING, &mut warnings).unwrap(),
            siblings
        );
    }

    #[test]
    fn stacked_ones_that_were_named_are_refused_with_both_names() {
        let links = [link(2, "eth0", None), on(3, "eth0.5", "vlan", 2)];
        let refused = |links: &[Link], named| {
            one_level(links.to_vec(), named, links, NOTHING, &mut Vec::new())
                .unwrap_err()
                .to_string()
        };
        let error = refused(&links, true);
        assert!(
            error.starts_with("`eth0.5` lies on `eth0`") && error.ends_with("`eth0` sees all"),
            "{error}"
        );
        // A port sees a part of the bond, and a VLAN on it another one.
        let mut links = vec![
            link(5, "bond0", Some("bond")),
            port(6, "eth1", 5),
            on(7, "bond0.5", "vlan", 5),
        ];
        links.remove(0);
        let whole = [links.clone(), vec![link(5, "bond0", Some("bond"))]].concat();
        let error = one_level(links, false, &whole, NOTHING, &mut Vec::new())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`bond0.5` lies on `eth1`") && error.contains("between them"),
            "{error}"
        );
    }

    #[test]
    fn a_tunnel_over_an_uplink_counts_twice_only_when_it_is_looked_through() {
        let links = [link(2, "eth0", None), on(3, "ipip0", "ipip", 2)];
        let kept = |encapsulation| {
            let kept = one_level(links.to_vec(), false, &links, encapsulation, &mut Vec::new()).unwrap();
            names(&kept).join(" ")
        };
        assert_eq!(kept(NOTHING), "eth0 ipip0");
        let gue_port = Some(6080);
        assert_eq!(kept(Encapsulation { gue_port, ..NOTHING }), "eth0");
        assert_eq!(kept(Encapsulation { ipip: true, ..NOTHING }), "eth0");
    }

    #[test]
    fn vrfs_are_refused() {
        let links = [
            link(2, "vrf0", Some("vrf")),
            port(3, "eth0", 2),
            Link {
                master: Some(LinkIndex(2)),
                ..link(4, "br0", Some("bridge"))
            },
            port(5, "eth1", 4),
            link(6, "eth2", None),
        ];
        for uplink in &links[..4] {
            let error = examine(vec![uplink.clone()], &links).unwrap_err().to_string();
            let expected = format!("`{}` belongs to the VRF `vrf0`", uplink.name);
            assert!(error.starts_with(&expected), "{error}");
        }
        assert_eq!(examine(links[4..].to_vec(), &links).unwrap()[0].link, links[4]);
        let circle = [port(3, "a", 4), port(4, "b", 3)];
        assert_eq!(vrf_of(&circle[0], &circle), None);
    }

    #[test]
    fn real_uplinks_are_examined() {
        in_namespace(|namespace| {
            let (pair, _far) = namespace.add_pair("up0", "far0");
            let bridge = namespace.add_link("br0", "bridge");
            let _tun = Tun::open("up1", libc::IFF_TUN);
            let tun = namespace.netlink().link("up1").unwrap();
            let examined = examine(vec![pair, bridge, tun], &namespace.netlink().links().unwrap()).unwrap();
            let seen: Vec<_> = examined
                .iter()
                .map(|uplink| (uplink.framing, uplink.native_xdp_is_calm))
                .collect();
            assert_eq!(
                seen,
                [
                    (Framing::Ethernet, true),
                    (Framing::Ethernet, false),
                    (Framing::Ip, false)
                ]
            );
        });
    }
}
