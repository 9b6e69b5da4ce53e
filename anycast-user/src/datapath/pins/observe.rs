//! Reading along: the counters that a daemon has pinned, mapped by another process, which can change nothing.

use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anycast_ebpf::layout::LAYOUT_VERSION;
use aya::maps::{MapData, MapError, MapInfo};
use thiserror::Error;

use super::{HOME, Instance, PinsError, entries::version_name, lock::holder, require_bpffs};
use crate::datapath::{Bank, DatapathError, Service, cpus, services::numbers_in_use};

/// The maps that are read.
const MAPS: [&str; 4] = ["SERVICES", "BANK", "UNCLASSIFIED", "LATENCY"];

/// Why what a daemon counts can't be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// Nothing is pinned there.
    #[error(
        "nothing is pinned in {}: start the daemon first (`anycast-probe run`), with pins, and name its first link or its \
         configuration; `anycast-probe attach-status` lists what is pinned",
        .0.display()
    )]
    NothingPinned(PathBuf),
    /// Not allowed.
    #[error("not permitted to read {}: run as root, as the daemon does", .0.display())]
    NotPermitted(PathBuf),
    /// What is pinned counts for other services.
    #[error(
        "the daemon in {path} does not count {service}: give the configuration that it runs with by --config",
        path = .path.display()
    )]
    NotCounted {
        /// Where it pins.
        path: PathBuf,
        /// The service.
        service: String,
    },
    /// A pin can't be opened.
    #[error("{}: {source}", .path.display())]
    Unusable {
        /// The pin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no BPF file system, or it can't be read.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The counters could not be mapped.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}

/// The counters of a daemon, read by another process.
#[derive(Debug)]
pub struct Observed {
    /// The counters, in the order of the services that were asked for.
    pub bank: Bank,
    /// The daemon, where it can be seen. Without one, what it left attached goes on counting.
    pub daemon: Option<i32>,
    pin: PathBuf,
    map: u32,
}

impl Observed {
    /// Maps the counters that the daemon `instance` has pinned on the bpffs at `base`, of `services`.
    ///
    /// Locks nothing, and writes nothing.
    pub fn open(base: &Path, instance: &Instance, services: &[Service]) -> Result<Self, ObserveError> {
        require_bpffs(base)?;
        let home = base.join(HOME).join(instance.to_string());
        let directory = home.join(version_name(LAYOUT_VERSION));
        let [table, bank, unclassified, latency] = MAPS.map(|name| open(&directory, name));
        let table = table?;
        let numbers = numbers_in_use(table.fd().as_fd(), services)?;
        let numbers = services.iter().zip(numbers).map(|(service, number)| {
            number.ok_or_else(|| ObserveError::NotCounted {
                path: home.clone(),
                service: format!(
                    "{} port {} of {}",
                    service.classifier.name(),
                    service.port,
                    service.address
                ),
            })
        });
        let numbers = numbers.collect::<Result<Vec<u16>, _>>()?;
        let [bank, unclassified, latency] = [bank?, unclassified?, latency?];
        let pin = directory.join("BANK");
        let cpus = cpus::numbers_in_use().map_err(DatapathError::Cpus)?;
        let map = number(&pin).ok_or_else(|| ObserveError::NothingPinned(home.clone()))?;
        Ok(Self {
            bank: Bank::of_descriptors(
                |name| match name {
                    "BANK" => bank.fd().as_fd(),
                    "LATENCY" => latency.fd().as_fd(),
                    _ => unclassified.fd().as_fd(),
                },
                numbers,
                cpus as usize,
            )?,
            daemon: holder(&home),
            pin,
            map,
        })
    }

    /// Whether what is pinned is still what is read: it may have been removed, and made anew by another run.
    #[must_use]
    pub fn is_current(&self) -> bool {
        number(&self.pin) == Some(self.map)
    }
}

fn open(directory: &Path, name: &str) -> Result<MapData, ObserveError> {
    let path = directory.join(name);
    MapData::from_pin(&path).map_err(|error| {
        let source = match error {
            MapError::SyscallError(error) => error.io_error,
            other => io::Error::other(other),
        };
        match source.kind() {
            io::ErrorKind::NotFound => ObserveError::NothingPinned(directory.to_owned()),
            io::ErrorKind::PermissionDenied => ObserveError::NotPermitted(path),
            _ => ObserveError::Unusable { path, source },
        }
    })
}

/// The kernel's number for the map that is pinned at `pin`.
fn number(pin: &Path) -> Option<u32> {
    Some(MapInfo::from_pin(pin).ok()?.id())
}
