//! Takes away all that an instance has pinned and attached.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    HOME, PinsError,
    entries::{Entry, names, versions},
    instance::{Instance, this_namespace},
    lock::DirectoryLock,
    programs, require_bpffs,
};
use crate::{
    datapath::{
        HookPoint,
        hold::{detach_pin, interface_of_pin},
        hooks::filters_of,
    },
    net::{LinkIndex, Netlink, Side},
};

const FILTERS_OUT_OF_SIGHT: &str = "it has filters on uplinks of another network namespace, where alone they can be seen: \
                                    run it there, or, if that namespace is gone, remove this directory with `rm -r`";

/// Whose pins are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of one instance.
    One(Instance),
    /// Those of every instance on the bpffs.
    All,
}

/// What became of one instance.
#[derive(Debug, Serialize)]
pub struct Cleaned {
    /// Whose pins they were.
    pub instance: String,
    /// What was taken off uplinks.
    pub detached: Vec<Detached>,
    /// What was removed from the bpffs, besides.
    pub unpinned: Vec<PathBuf>,
    /// Interfaces whose clsact qdisc was removed: this tool had made it, and nobody else uses it.
    pub clsact_removed: Vec<LinkIndex>,
    /// Why it is not done, or not whole.
    pub error: Option<String>,
}

/// A program that was taken off an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detached {
    /// Name of the uplink, where it can be known.
    pub uplink: Option<String>,
    /// The kernel's number for it.
    pub interface: LinkIndex,
    /// Where on it.
    pub hook: HookPoint,
}

/// Detaches and unpins all that `which` has on the bpffs at `base`. An instance that a daemon uses stays as it is, and
/// is told as an error of its own. Filters and qdiscs are seen in the network namespace of the calling thread only.
///
/// Empty when there is nothing.
pub fn cleanup(base: &Path, which: &Which) -> Result<Vec<Cleaned>, PinsError> {
    require_bpffs(base)?;
    let all = base.join(HOME);
    let unusable = |source| PinsError::Unusable {
        path: all.clone(),
        source,
    };
    let mut cleaned = Vec::new();
    for name in names(&all).map_err(unusable)? {
        let Some(instance) = Instance::from_name(&name) else {
            continue;
        };
        if matches!(which, Which::One(one) if *one != instance) {
            continue;
        }
        let mut done = Cleaned::new(&instance);
        let outcome = done.clean(&all.join(&name), &instance);
        done.error = outcome.err().map(|error| error.to_string());
        cleaned.push(done);
    }
    // Gone when it was the last; otherwise it has something in it.
    let _ = fs::remove_dir(&all);
    Ok(cleaned)
}

impl Cleaned {
    fn new(instance: &Instance) -> Self {
        Self {
            instance: instance.to_string(),
            detached: Vec::new(),
            unpinned: Vec::new(),
            clsact_removed: Vec::new(),
            error: None,
        }
    }

    fn clean(&mut self, home: &Path, instance: &Instance) -> Result<(), PinsError> {
        // The directory is there: who made it is not asked, what is in it goes.
        let _lock = DirectoryLock::take(home, |_| Ok(()))?;
        let is_here = this_namespace().map_err(PinsError::Namespace)? == instance.namespace;
        self.remove(home, is_here).map_err(|source| PinsError::Unusable {
            path: home.to_owned(),
            source,
        })
    }

    /// Removes the directory of an instance, which is locked.
    fn remove(&mut self, home: &Path, is_here: bool) -> io::Result<()> {
        let result = self.remove_all(home, is_here);
        if is_here {
            self.name_uplinks();
        }
        result
    }

    fn remove_all(&mut self, home: &Path, is_here: bool) -> io::Result<()> {
        let versions = versions(home)?;
        if !is_here {
            for (_, directory) in &versions {
                // They are the only sign of whose a filter is.
                if !programs(directory)?.is_empty() {
                    return Err(io::Error::other(FILTERS_OUT_OF_SIGHT));
                }
            }
        }
        for (_, directory) in versions {
            let names = names(&directory)?;
            // While the programs are pinned, which tell whose a filter is.
            if is_here {
                self.remove_filters(&directory, &names)?;
            }
            self.remove_links(&directory, &names)?;
            for name in &names {
                let path = directory.join(name);
                match Entry::of(name) {
                    Some(Entry::Link(..)) => {}
                    Some(Entry::Clsact(_)) => fs::remove_dir(&path)?,
                    Some(Entry::Program(_)) => fs::remove_file(&path)?,
                    Some(Entry::Map(_)) | None => {
                        fs::remove_file(&path)?;
                        self.unpinned.push(path);
                    }
                }
            }
            fs::remove_dir(&directory)?;
        }
        fs::remove_dir(home)
    }

    fn remove_links(&mut self, directory: &Path, names: &[String]) -> io::Result<()> {
        // In the order of `HookPoint::ALL`.
        for wanted in HookPoint::ALL {
            for name in names {
                if let Some(Entry::Link(index, point)) = Entry::of(name)
                    && point == wanted
                {
                    let path = directory.join(name);
                    let was_attached = interface_of_pin(&path)?.is_some();
                    detach_pin(&path)?;
                    if was_attached {
                        self.detached(index, point);
                    }
                }
            }
        }
        Ok(())
    }

    fn remove_filters(&mut self, directory: &Path, names: &[String]) -> io::Result<()> {
        let mut netlink = Netlink::open().map_err(io::Error::other)?;
        let links = netlink.clsact_links().map_err(io::Error::other)?;
        for filter in filters_of(&mut netlink, &links, &programs(directory)?)? {
            netlink.delete_filter(&filter).map_err(io::Error::other)?;
            self.detached(filter.link, HookPoint::of(filter.side));
        }
        for name in names {
            if let Some(Entry::Clsact(index)) = Entry::of(name)
                && links.contains(&index)
            {
                let mut others = 0;
                for side in Side::BOTH {
                    others += netlink.filters(index, side).map_err(io::Error::other)?.len();
                }
                if others == 0 {
                    netlink.delete_clsact(index).map_err(io::Error::other)?;
                    self.clsact_removed.push(index);
                }
            }
        }
        Ok(())
    }

    fn detached(&mut self, interface: LinkIndex, hook: HookPoint) {
        self.detached.push(Detached {
            uplink: None,
            interface,
            hook,
        });
    }

    fn name_uplinks(&mut self) {
        let links = Netlink::open()
            .and_then(|mut netlink| netlink.links())
            .unwrap_or_default();
        for Detached { uplink, interface, .. } in &mut self.detached {
            let link = links.iter().find(|link| link.index == *interface);
            *uplink = link.map(|link| link.name.clone());
        }
    }
}

/// Removes what is left of network namespaces that are gone: the instances in the directory `all` that have links, and none
/// of them an interface any more. Nobody has a use for them, and after each restart of a container there would be one more.
/// What a daemon uses or what can't be told apart stays.
pub(super) fn remove_dead(all: &Path) -> io::Result<()> {
    let here = this_namespace()?;
    for name in names(all)? {
        let home = all.join(&name);
        let is_elsewhere = Instance::from_name(&name).is_some_and(|instance| instance.namespace != here);
        // Looked at before it is locked, too: a daemon that starts must not find it in use for nothing.
        if is_elsewhere
            && is_dead(&home)?
            && let Ok(_lock) = DirectoryLock::take(&home, |_| Ok(()))
            && is_dead(&home)?
        {
            Cleaned::new(&nobody()).remove(&home, false)?;
            tracing::info!("removed {}: its network namespace is gone", home.display());
        }
    }
    Ok(())
}

fn is_dead(home: &Path) -> io::Result<bool> {
    let mut links = 0;
    for (_, directory) in versions(home)? {
        for name in names(&directory)? {
            match Entry::of(&name) {
                // Filters may be left, out of sight.
                Some(Entry::Program(_)) => return Ok(false),
                Some(Entry::Link(..)) if interface_of_pin(&directory.join(&name))?.is_some() => return Ok(false),
                Some(Entry::Link(..)) => links += 1,
                _ => {}
            }
        }
    }
    Ok(links > 0)
}

/// An instance that is not told of.
fn nobody() -> Instance {
    Instance {
        link: String::new(),
        namespace: 0,
    }
}

/// Removes the directory of an instance that the caller has locked, and what is above it when nothing else is there.
pub(super) fn remove_instance(home: &Path) -> io::Result<()> {
    Cleaned::new(&nobody()).remove(home, true)?;
    if let Some(all) = home.parent() {
        let _ = fs::remove_dir(all);
    }
    Ok(())
}
