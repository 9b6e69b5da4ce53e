//! Uplinks, as they come and go: each that is there is watched.

mod follow;
mod passing;
mod watched;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anyhow::Result;

use self::watched::{Watched, why_refused};
pub(super) use self::{follow::follow, passing::confirm};
use super::residents::look_at_all;
use crate::{
    clock::MonotonicTime,
    config::Config,
    datapath::{Datapath, DatapathError},
    discover::{Residents, Uplink, local_addresses, uplinks},
    event::{Notice, UplinkAlert},
    net::{Link, LinkIndex, NetError, Netlink, leading_to},
    report::Teller,
};

/// How long an interface that is no uplink any more is watched on, unless another takes its place: its routes may be gone
/// for a moment only, and some drivers bounce the link when XDP goes off and on.
const LINGER: Duration = Duration::from_secs(10);

/// The programs, and what they are attached to.
pub(super) struct Uplinks {
    datapath: Datapath,
    /// The service addresses.
    services: Vec<IpAddr>,
    config: Config,
    teller: Teller,
    watched: BTreeMap<LinkIndex, Watched>,
    /// Why an uplink can't be watched, as it was told.
    failing: BTreeMap<LinkIndex, String>,
    /// Who else is on their XDP hooks.
    residents: Residents,
    /// It was told that there is none.
    none: bool,
    /// Something may have left uncounted since somebody asked whether all was counted.
    changed: bool,
}

impl Uplinks {
    /// Attaches to `uplinks`, and detaches from what an earlier run left elsewhere. An error when none of them can be
    /// watched; one that can't is told, and tried again at every look.
    pub(super) fn start(
        datapath: Datapath,
        config: &Config,
        uplinks: &[Uplink],
        residents: Residents,
        teller: &Teller,
    ) -> Result<Self> {
        let services = teller.names().services.iter().map(|service| service.address);
        let mut these = Self {
            datapath,
            services: services.collect(),
            config: config.clone(),
            teller: teller.clone(),
            watched: BTreeMap::new(),
            failing: BTreeMap::new(),
            residents,
            none: false,
            changed: true,
        };
        // First: an interface above or below an uplink would count the same packets.
        for index in these.datapath.links() {
            if uplinks.iter().all(|uplink| uplink.link.index != index) {
                these.datapath.detach(index)?;
            }
        }
        let mut failed = Vec::new();
        for uplink in uplinks {
            if let Err(error) = these.attach(uplink) {
                failed.push((uplink, error));
            }
        }
        if these.watched.is_empty()
            && let Some((_, error)) = failed.pop()
        {
            return Err(error.into());
        }
        for (uplink, error) in failed {
            these.fails(&uplink.link, error.to_string());
        }
        these.datapath.keep()?;
        Ok(these)
    }

    fn attach(&mut self, uplink: &Uplink) -> Result<(), DatapathError> {
        let Uplink {
            link,
            native_xdp_is_calm,
            ..
        } = uplink;
        let name = link.name.as_str();
        let attached = self.datapath.attach(link, self.config.hook, *native_xdp_is_calm)?;
        if let Some(refused) = &attached.refused {
            self.teller.notice(&Notice::AttachFallback {
                uplink: name,
                reason: why_refused(refused, link),
            });
        }
        self.teller.notice(&Notice::Attached {
            uplink: name,
            attached: &attached,
        });
        self.changed = true;
        self.watched.insert(link.index, Watched::new(link, &attached));
        self.failing.remove(&link.index);
        self.none = false;
        Ok(())
    }

    /// Looks once. What can't be done now is tried again at the next look. Gives why answers may leave past the counters,
    /// if they may.
    fn look(&mut self) -> Result<Option<String>, NetError> {
        let now = MonotonicTime::now();
        let mut netlink = Netlink::open()?;
        let links = netlink.links()?;
        // Where uplinks are configured, a routing table need not be read.
        let routes = if self.config.uplinks.is_some() {
            Vec::new()
        } else {
            netlink.routes()?
        };
        self.follow_local_addresses(&mut netlink)?;
        let uplinks = uplinks(&self.config, &links, &routes);
        self.leave(&links, &uplinks, now);
        look_at_all(
            &mut self.residents,
            &uplinks,
            &self.datapath.program_numbers(),
            &self.teller,
        );
        for uplink in &uplinks {
            self.see_to(uplink);
        }
        let ways_out = leading_to(self.watched.keys().copied(), &links);
        self.changed |= !self.datapath.has_ways_out(ways_out.iter().copied());
        if let Err(error) = self.datapath.set_ways_out(ways_out) {
            tracing::warn!("links that answers leave by: {error}");
        }
        if uplinks.is_empty() && self.watched.is_empty() && !self.none {
            self.none = true;
            self.teller.notice(&Notice::UplinkAlert {
                kind: UplinkAlert::NoUplink,
                uplink: None,
                reason: "there is no uplink any more: nothing is counted, and no route is withdrawn for want of answers",
            });
        }
        Ok(self.bypass())
    }

    /// Why answers may leave past the counters, if they may: by a stranger's program, or by an uplink that can't be watched.
    pub(super) fn bypass(&self) -> Option<String> {
        let failing = || {
            let reason = self.failing.values().next()?;
            Some(format!(
                "an uplink is not watched ({reason}): answers may leave uncounted"
            ))
        };
        self.residents.bypass().or_else(failing)
    }

    /// The host's addresses come and go as well.
    fn follow_local_addresses(&mut self, netlink: &mut Netlink) -> Result<(), NetError> {
        let found = local_addresses(netlink, self.services.iter().copied())?;
        if let Err(error) = self.datapath.set_local_addresses(&found.addresses) {
            tracing::warn!("the addresses of this host: {error}");
        }
        Ok(())
    }

    /// Whether what is attached goes on counting when this is dropped.
    pub(super) fn is_pinned(&self) -> bool {
        self.datapath.is_pinned()
    }

    /// Detaches from what is no uplink any more.
    fn leave(&mut self, links: &[Link], uplinks: &[Uplink], now: MonotonicTime) {
        // One that can't be watched is no replacement: it is as new at every look.
        let takes_over = |uplink: &Uplink| {
            let index = &uplink.link.index;
            uplink.framing.is_ok() && !self.watched.contains_key(index) && !self.failing.contains_key(index)
        };
        let replaced = uplinks.iter().any(takes_over);
        self.failing
            .retain(|index, _| uplinks.iter().any(|uplink| uplink.link.index == *index));
        for index in self.datapath.links() {
            if uplinks.iter().any(|uplink| uplink.link.index == index) {
                if let Some(watched) = self.watched.get_mut(&index) {
                    watched.unwanted = None;
                }
                continue;
            }
            let is_there = links.iter().any(|link| link.index == index);
            if let Some(watched) = self.watched.get_mut(&index) {
                let since = *watched.unwanted.get_or_insert(now);
                if is_there && !replaced && now.since(since) < LINGER {
                    continue;
                }
            }
            self.changed = true;
            if let Err(error) = self.datapath.detach(index) {
                // It is tried again at the next look.
                tracing::warn!("{error}");
                continue;
            }
            if let Some(Watched { name, .. }) = self.watched.remove(&index) {
                let successor = links.iter().find(|link| link.name == name && link.index != index);
                let reason = match successor {
                    _ if is_there => "it is no uplink any more".to_owned(),
                    None => "it is gone".to_owned(),
                    Some(link) => format!("it was made again (it was link {index}, it is link {})", link.index),
                };
                self.teller.notice(&Notice::Detached {
                    uplink: &name,
                    reason: &reason,
                });
            }
        }
    }

    /// Sees to it that an uplink is watched.
    fn see_to(&mut self, uplink: &Uplink) {
        let Link {
            index,
            name,
            xdp_programs,
            ..
        } = &uplink.link;
        if let Some(watched) = self.watched.get_mut(index) {
            // It may have been renamed.
            watched.name.clone_from(name);
            if watched.may_have_xdp(xdp_programs) {
                // Its place is free.
            } else if watched.is_in_place(&self.datapath, &uplink.link) {
                return;
            } else {
                self.watched.remove(index);
                self.teller.notice(&Notice::Detached {
                    uplink: name,
                    reason: "somebody took a program off; putting it back",
                });
            }
        }
        let attached = uplink.check().map_err(|error| error.to_string());
        let attached = attached.and_then(|()| self.attach(uplink).map_err(|error| error.to_string()));
        if let Err(reason) = attached {
            self.fails(&uplink.link, reason);
        }
    }

    /// It can't be watched; told when the reason is new.
    fn fails(&mut self, uplink: &Link, reason: String) {
        if self.failing.get(&uplink.index) != Some(&reason) {
            self.teller.notice(&Notice::UplinkAlert {
                kind: UplinkAlert::AttachFailed,
                uplink: Some(&uplink.name),
                reason: &reason,
            });
            self.failing.insert(uplink.index, reason);
        }
    }
}

#[cfg(test)]
mod tests;
