//! What is held at which hook points, by this process or left by an earlier one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{
    DatapathError, Pins,
    hold::{Hold, HoldError, HookPoint, detach_pin, interface_of_pin},
    pins::{PinsError, pinned_programs},
};
use crate::{
    config::PinPlace,
    net::{Filter, LinkIndex, Netlink, Side},
};

/// All that is held. What is pinned stays when this is dropped, unless the daemon didn't come as far as to watch.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pins: Option<Pins>,
    held: BTreeMap<(LinkIndex, HookPoint), Held>,
    /// As if the kernel were older than TCX. For tests.
    pub(super) without_tcx: bool,
}

/// A program at a hook point.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hold: Hold,
    /// The program is one of this process, not of an earlier one.
    pub(super) current: bool,
}

impl Hooks {
    /// Takes over what is pinned, and the filters that run pinned programs. What is left of interfaces that are gone is
    /// removed.
    pub(super) fn adopt(pins: Option<Pins>) -> Result<Self, DatapathError> {
        let mut hooks = Self::default();
        if let Some(pins) = pins {
            hooks.adopt_links(&pins).map_err(|source| PinsError::Unusable {
                path: pins.path().to_owned(),
                source,
            })?;
            hooks.adopt_filters(&pins).map_err(|source| PinsError::Unusable {
                path: pins.path().to_owned(),
                source,
            })?;
            hooks.pins = Some(pins);
        }
        Ok(hooks)
    }

    fn adopt_links(&mut self, pins: &Pins) -> io::Result<()> {
        for (index, point) in pins.links()? {
            let path = pins.link(index, point);
            if interface_of_pin(&path)? == Some(index) {
                let hold = Hold::of_pin(path).map_err(io::Error::other)?;
                self.hold(index, point, hold, false);
            } else {
                detach_pin(&path)?;
            }
        }
        Ok(())
    }

    fn adopt_filters(&mut self, pins: &Pins) -> io::Result<()> {
        let mut netlink = Netlink::open().map_err(io::Error::other)?;
        let links = netlink.clsact_links().map_err(io::Error::other)?;
        for filter in filters_of(&mut netlink, &links, &pins.programs()?)? {
            let key = (filter.link, HookPoint::of(filter.side));
            if self.held.contains_key(&key) {
                // A second one of ours: it would count everything twice.
                netlink.delete_filter(&filter).map_err(io::Error::other)?;
            } else {
                self.hold(key.0, key.1, Hold::Filter(filter), false);
            }
        }
        pins.forget_clsact_but(&links)
    }

    /// Where to pin: none also when somebody removed the directory, and what is attached now can't outlive this process.
    pub(super) fn pins(&self) -> Option<&Pins> {
        self.pins.as_ref().filter(|pins| pins.are_there())
    }

    /// Somebody removed the directory of the pins.
    pub(super) fn are_pins_lost(&self) -> bool {
        self.pins.is_some() && self.pins().is_none()
    }

    /// What is pinned stays from now on, even if there was nothing before. No filter runs another program than those with
    /// the numbers `programs`.
    pub(super) fn keep(&mut self, programs: &[u32]) -> Result<(), PinsError> {
        let Some(pins) = &mut self.pins else { return Ok(()) };
        pins.keep(programs).map_err(|source| PinsError::Unusable {
            path: pins.path().to_owned(),
            source,
        })
    }

    pub(super) fn hold(&mut self, index: LinkIndex, point: HookPoint, hold: Hold, current: bool) {
        self.held.insert((index, point), Held { hold, current });
    }

    pub(super) fn get(&self, index: LinkIndex, point: HookPoint) -> Option<&Held> {
        self.held.get(&(index, point))
    }

    /// Takes out what is held, without detaching it.
    pub(super) fn take(&mut self, index: LinkIndex, point: HookPoint) -> Option<Held> {
        self.held.remove(&(index, point))
    }

    /// The numbers of the programs that an earlier process left.
    pub(super) fn earlier_programs(&self) -> impl Iterator<Item = u32> {
        let earlier = self.held.values().filter(|held| !held.current);
        earlier.filter_map(|held| held.hold.program())
    }

    /// The numbers of the programs that any instance has pinned.
    pub(super) fn pinned_programs(&self) -> Vec<u32> {
        // Without pins of its own it may meet what it left when it had some.
        match (&self.pins, PinPlace::default()) {
            (Some(pins), _) => pinned_programs(pins.base()),
            (None, PinPlace::Bpffs(usual)) => pinned_programs(&usual),
            (None, PinPlace::Off) => Vec::new(),
        }
    }

    /// The interfaces that anything is held at.
    pub(super) fn links(&self) -> BTreeSet<LinkIndex> {
        self.held.keys().map(|(index, _)| *index).collect()
    }

    /// Detaches what is held, if anything.
    pub(super) fn detach(&mut self, index: LinkIndex, point: HookPoint) -> Result<(), HoldError> {
        if let Some(held) = self.get(index, point) {
            // What stays where it is stays known: it is tried again, and nothing is put beside it.
            held.hold.detach()?;
        }
        drop(self.take(index, point));
        Ok(())
    }

    /// Makes sure that no pin is left of what is not held any more.
    pub(super) fn clear_pin(&self, index: LinkIndex, point: HookPoint) -> io::Result<()> {
        self.pins().map_or(Ok(()), |pins| detach_pin(&pins.link(index, point)))
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        if self.pins.as_ref().is_some_and(Pins::is_fresh) {
            for ((index, point), held) in std::mem::take(&mut self.held) {
                if let Err(error) = held.hold.detach() {
                    tracing::warn!(
                        "link {index}: the program at {} could not be detached: {error}",
                        point.name()
                    );
                }
            }
        }
    }
}

/// The filters on `links` that run one of `programs`.
pub(super) fn filters_of(netlink: &mut Netlink, links: &[LinkIndex], programs: &[u32]) -> io::Result<Vec<Filter>> {
    let mut filters = Vec::new();
    if programs.is_empty() {
        return Ok(filters);
    }
    for &link in links {
        for side in Side::BOTH {
            filters.extend(netlink.filters(link, side).map_err(io::Error::other)?);
        }
    }
    filters.retain(|filter| programs.iter().any(|&program| filter.runs(program)));
    Ok(filters)
}
