//! Pins: what keeps links and maps alive when no process does, as files of a bpffs.
//!
//! ```text
//! /sys/fs/bpf/anycast-probe/anycast0@3/      locked by the daemon that uses it
//!                                     v1/    the version of the layout
//!                                        BANK, SERVICES, …   maps
//!                                        link-2-xdp          a link: interface 2, native XDP
//!                                        link-2-tc-egress
//!                                        program-51          a program that filters run, where there is no TCX
//!                                        clsact-2/           this daemon made the clsact qdisc of interface 2
//! ```

mod cleanup;
mod entries;
mod instance;
mod inventory;
mod lock;
mod observe;
mod shape;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anycast_ebpf::layout::LAYOUT_VERSION;
use aya::programs::SchedClassifier;
use nix::{
    errno::Errno,
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use thiserror::Error;

pub(super) use self::inventory::pinned_programs;
pub use self::{
    cleanup::{Cleaned, Detached, Which, cleanup},
    instance::Instance,
    inventory::{Attachment, PinnedInstance, ProgramSummary, inventory},
    observe::{ObserveError, Observed},
};
use self::{
    entries::{Entry, make_private, names, version_name, versions},
    lock::DirectoryLock,
};
use super::{HookPoint, hold::HoldError};
use crate::net::LinkIndex;

/// The directory of all instances, in the bpffs.
const HOME: &str = "anycast-probe";

/// Why there are no pins, or none that can be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PinsError {
    /// No bpffs is there.
    #[error(
        "{path} is not a BPF file system: mount one with `mount -t bpf bpf {path}`, or name another with `pins`",
        path = .0.display()
    )]
    NotBpffs(PathBuf),
    /// The file system would not.
    #[error("{}: {source}", .path.display())]
    Unusable {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("another anycast-probe{} uses {}", Process(*.pid), .path.display())]
    InUse {
        /// The directory of the instance.
        path: PathBuf,
        /// The process, where it can be seen.
        pid: Option<i32>,
    },
    /// Pins of another version are there.
    #[error(
        "{} holds what an anycast-probe of another version left (layout {found}; this one has {LAYOUT_VERSION}): it \
         still counts, but nobody reads it; remove it with `anycast-probe cleanup --link {link}`, then start again",
        .path.display()
    )]
    OtherLayout {
        /// The directory of that version.
        path: PathBuf,
        /// Its number.
        found: u32,
        /// The link that the instance is named after.
        link: String,
    },
    /// A pinned map is not what the programs expect.
    #[error(
        "{} is a map of {found}, not of {wanted}: remove what is pinned with `anycast-probe cleanup --link {link}`, then \
         start again",
        .path.display()
    )]
    MapDiffers {
        /// The pin.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
        /// The link that the instance is named after.
        link: String,
    },
    /// The programs' own object makes no sense.
    #[error("the kernel programs can't be read: {0}; please report this")]
    Object(String),
    /// The network namespace has no number.
    #[error("this network namespace can't be told from others: {0}")]
    Namespace(#[source] io::Error),
}

impl PinsError {
    /// Whether a daemon can do without pins instead: nothing of its own is in the way.
    #[must_use]
    pub fn is_avoidable(&self) -> bool {
        !matches!(self, Self::OtherLayout { .. } | Self::MapDiffers { .. })
    }
}

/// ` (process 12)`, or nothing.
struct Process(Option<i32>);

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// The pins of one daemon, which no other can use meanwhile.
#[derive(Debug)]
pub struct Pins {
    /// The bpffs.
    base: PathBuf,
    instance: Instance,
    /// Of the instance.
    home: PathBuf,
    /// Of its version.
    directory: PathBuf,
    /// There was nothing before, and the daemon has not come as far as to watch: what it made is of no use to anybody.
    fresh: bool,
    lock: Option<DirectoryLock>,
}

impl Pins {
    /// Takes the pins of `instance` on the bpffs at `base`, whether there are any yet or not.
    ///
    /// What an error leaves is what was there before.
    pub fn open(base: &Path, instance: Instance) -> Result<Self, PinsError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            |source| PinsError::Unusable { path, source }
        };
        require_bpffs(base)?;
        let all = base.join(HOME);
        make_private(&all).map_err(unusable(&all))?;
        if let Err(error) = cleanup::remove_dead(&all) {
            tracing::warn!(
                "{}: what gone network namespaces left can't be removed: {error}",
                all.display()
            );
        }
        let home = all.join(instance.to_string());
        let lock = DirectoryLock::take(&home, make_private)?;
        for (found, path) in versions(&home).map_err(unusable(&home))? {
            if found != LAYOUT_VERSION && !names(&path).map_err(unusable(&path))?.is_empty() {
                let link = instance.link;
                return Err(PinsError::OtherLayout { path, found, link });
            }
        }
        let directory = home.join(version_name(LAYOUT_VERSION));
        make_private(&directory).map_err(unusable(&directory))?;
        let fresh = names(&directory).map_err(unusable(&directory))?.is_empty();
        Ok(Self {
            base: base.to_owned(),
            instance,
            home,
            directory,
            fresh,
            lock: Some(lock),
        })
    }

    /// The bpffs that they are on.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// From now on what is pinned stays when this is dropped, even if it was the first to pin anything. Of the programs,
    /// only those with the numbers `programs` are needed.
    pub(super) fn keep(&mut self, programs: &[u32]) -> io::Result<()> {
        self.fresh = false;
        for name in names(&self.directory)? {
            if matches!(Entry::of(&name), Some(Entry::Program(id)) if !programs.contains(&id)) {
                fs::remove_file(self.directory.join(name))?;
            }
        }
        Ok(())
    }

    /// Whether the directory is still there, and the one that is locked: somebody may have removed it, and another daemon
    /// made its own.
    pub(super) fn are_there(&self) -> bool {
        let is_locked = self.lock.as_ref().is_some_and(|lock| lock.is_of(&self.home));
        is_locked && self.directory.is_dir()
    }

    /// Whether all that is pinned goes when this is dropped.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn link(&self, index: LinkIndex, point: HookPoint) -> PathBuf {
        self.directory.join(Entry::Link(index, point).name())
    }

    /// The links that are pinned.
    pub(super) fn links(&self) -> io::Result<Vec<(LinkIndex, HookPoint)>> {
        let names = names(&self.directory)?;
        let links = names.iter().filter_map(|name| match Entry::of(name)? {
            Entry::Link(index, point) => Some((index, point)),
            _ => None,
        });
        Ok(links.collect())
    }

    /// The numbers of the pinned programs, by which filters of this instance are known.
    pub(super) fn programs(&self) -> io::Result<Vec<u32>> {
        programs(&self.directory)
    }

    /// Pins a program, before any filter runs it, so that there is none that isn't known.
    pub(super) fn pin_program(&self, program: &mut SchedClassifier) -> Result<(), HoldError> {
        let path = self.directory.join(Entry::Program(program.info()?.id()).name());
        if !path.exists() {
            program.pin(path)?;
        }
        Ok(())
    }

    /// Remembers that the clsact qdisc of an interface is made by this instance. Returns whether that is new.
    pub(super) fn note_clsact(&self, index: LinkIndex) -> io::Result<bool> {
        let note = self.clsact(index);
        let is_new = !note.exists();
        make_private(&note)?;
        Ok(is_new)
    }

    /// Forgets that.
    pub(super) fn forget_clsact(&self, index: LinkIndex) -> io::Result<()> {
        fs::remove_dir(self.clsact(index))
    }

    fn clsact(&self, index: LinkIndex) -> PathBuf {
        self.directory.join(Entry::Clsact(index).name())
    }

    /// Forgets that of all interfaces but `links`: theirs is gone.
    pub(super) fn forget_clsact_but(&self, links: &[LinkIndex]) -> io::Result<()> {
        for name in names(&self.directory)? {
            if matches!(Entry::of(&name), Some(Entry::Clsact(index)) if !links.contains(&index)) {
                fs::remove_dir(self.directory.join(name))?;
            }
        }
        Ok(())
    }
}

/// The numbers of the programs that are pinned in the directory of a version.
fn programs(directory: &Path) -> io::Result<Vec<u32>> {
    let names = names(directory)?;
    let programs = names.iter().filter_map(|name| match Entry::of(name)? {
        Entry::Program(id) => Some(id),
        _ => None,
    });
    Ok(programs.collect())
}

fn require_bpffs(base: &Path) -> Result<(), PinsError> {
    match statfs(base) {
        Ok(status) if status.filesystem_type() == BPF_FS_MAGIC => Ok(()),
        Ok(_) | Err(Errno::ENOENT) => Err(PinsError::NotBpffs(base.to_owned())),
        Err(errno) => Err(PinsError::Unusable {
            path: base.to_owned(),
            source: errno.into(),
        }),
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if self.fresh
            && self.are_there()
            && let Err(error) = cleanup::remove_instance(&self.home)
        {
            tracing::warn!(
                "what was pinned in {} could not be removed: {error}",
                self.home.display()
            );
        }
        // Last, so that nobody finds it half removed.
        self.lock = None;
    }
}
