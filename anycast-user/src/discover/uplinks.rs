//! The interfaces that queries arrive on and answers leave by: named, or found, and each packet counted at one of them.

use anycast_ebpf::packet::Framing;
use thiserror::Error;

use super::DiscoverError;
use crate::config::Config;
use crate::net::{self, FramingError, Link, NetError, Route, Stacked, framing, stacked};

/// Drivers in which native XDP is known to go on and off without bouncing the link.
const CALM_XDP_DRIVERS: [&str; 2] = ["veth", "virtio_net"];

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface.
    pub link: Link,
    /// What its packets start with, or why they can't be counted. XDP is only for [`Framing::Ethernet`].
    pub framing: Result<Framing, UplinkError>,
    /// Native XDP is known not to bounce it.
    pub native_xdp_is_calm: bool,
}

/// Why an uplink can't be watched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UplinkError {
    /// Its packets can't be read.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Its packets would be counted twice.
    #[error("it lies on `{lower}`, which is an uplink too, and packets would be counted twice: {}", what_to_name(.keep.as_deref()))]
    Stacked {
        /// The uplink beneath.
        lower: String,
        /// The one of the two that sees the packets of both.
        keep: Option<String>,
    },
    /// Not tested, so not promised.
    #[error(
        "it belongs to the VRF `{vrf}`, and VRFs are not tested: name uplinks outside of VRFs with `uplinks = [\"eth0\"]` in \
         a configuration file"
    )]
    InVrf {
        /// The VRF, which may be the uplink itself.
        vrf: String,
    },
}

fn what_to_name(keep: Option<&str>) -> String {
    match keep {
        Some(keep) => format!("of the two, name only `{keep}` in `uplinks`, which sees all"),
        None => "name in `uplinks` the one interface that sees all, which is between them".to_owned(),
    }
}

impl Uplink {
    /// Whether it can be watched.
    pub fn check(&self) -> Result<(), DiscoverError> {
        match &self.framing {
            Ok(_) => Ok(()),
            Err(reason) => Err(DiscoverError::Uplink {
                uplink: self.link.name.clone(),
                reason: reason.clone(),
            }),
        }
    }
}

/// The uplinks among `links`: those that are configured, as far as they are there, or those of `routes`. In the order of
/// their configuration, or of their indices.
///
/// Of two that routes lead to and that lie on each other, the one that sees the packets of both.
#[must_use]
pub fn uplinks(config: &Config, links: &[Link], routes: &[Route]) -> Vec<Uplink> {
    one_level(config, candidates(config, links, routes), links).0
}

/// The names of configured uplinks that are not there. An error where none of them is: one that is broken must not cost
/// the protection of the others.
pub(super) fn missing(config: &Config, links: &[Link]) -> Result<Vec<String>, NetError> {
    let Some(names) = &config.uplinks else {
        return Ok(Vec::new());
    };
    let is_missing = |name: &&String| links.iter().all(|link| link.name != **name);
    let missing: Vec<String> = names.iter().filter(is_missing).cloned().collect();
    match missing.first() {
        Some(name) if missing.len() == names.len() => Err(NetError::NoSuchLink { name: name.clone() }),
        _ => Ok(missing),
    }
}

/// What [`uplinks`] starts from, before anything is taken out.
pub(super) fn candidates(config: &Config, links: &[Link], routes: &[Route]) -> Vec<Link> {
    let with_name = |name: &String| links.iter().find(|link| link.name == *name);
    if let Some(names) = &config.uplinks {
        names.iter().filter_map(with_name).cloned().collect()
    } else {
        let service_links = config.links.iter().filter_map(|link| with_name(&link.name));
        let service_links: Vec<_> = service_links.map(|link| link.index).collect();
        net::uplinks(routes, links, &service_links)
    }
}

/// Takes out of what routes lead to what would count packets a second time; whoever has named uplinks has to choose. The
/// second part tells what was taken out, a line each.
pub(super) fn one_level(config: &Config, mut found: Vec<Link>, links: &[Link]) -> (Vec<Uplink>, Vec<String>) {
    let tunnels = config.encapsulation;
    let looks_through = tunnels.ip_in_ip || tunnels.gue_port != 0;
    let mut taken_out = Vec::new();
    let mut refused = Vec::new();
    while let Some(Stacked { upper, lower, sees_all }) = stacked(&found, links, looks_through) {
        let out = match sees_all {
            Some(keep) if config.uplinks.is_none() => {
                taken_out.push(format!(
                    "routes lead to {} and to {}, and {} sees the packets of both: counting there only",
                    upper.name, lower.name, keep.name
                ));
                if keep.index == upper.index { lower } else { upper }
            }
            keep => {
                let error = UplinkError::Stacked {
                    lower: lower.name.clone(),
                    keep: keep.map(|link| link.name.clone()),
                };
                refused.push(uplink(upper.clone(), Err(error)));
                upper
            }
        };
        let out = out.index;
        found.retain(|link| link.index != out);
    }
    let examine = |link: Link| {
        let framing = examine(&link, links);
        uplink(link, framing)
    };
    let uplinks = found.into_iter().map(examine).chain(refused).collect();
    (uplinks, taken_out)
}

fn examine(link: &Link, links: &[Link]) -> Result<Framing, UplinkError> {
    if let Some(vrf) = vrf_of(link, links) {
        return Err(UplinkError::InVrf { vrf: vrf.name.clone() });
    }
    Ok(framing(link)?)
}

fn uplink(link: Link, framing: Result<Framing, UplinkError>) -> Uplink {
    let driver = net::driver(&link.name);
    Uplink {
        native_xdp_is_calm: framing == Ok(Framing::Ethernet)
            && driver.is_some_and(|driver| CALM_XDP_DRIVERS.contains(&driver.as_str())),
        framing,
        link,
    }
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
mod tests;
