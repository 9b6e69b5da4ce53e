//! Why there is no recording, or no more of it.

use std::{io, path::PathBuf};

use crate::{datapath::ObserveError, datapath::PinsError, discover::DiscoverError, net::NetError, probe::ProbeError};

/// Why nothing is recorded, or nothing more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// There is something already.
    #[error("{} is there already; name another file, or write over it with --force", .0.display())]
    Exists(PathBuf),
    /// The file can't be made.
    #[error("{} can't be written: {source}", .file.display())]
    Create {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be written any further, as on a full disk.
    #[error("{} can't be written any further: {source}; the {bytes} bytes before are whole lines", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
        /// How much of it is written.
        bytes: u64,
    },
    /// What is read was removed.
    #[error(
        "what the daemon counts into was removed or made anew; start the recording again, what was recorded is whole"
    )]
    Gone,
    /// `pins = "off"`.
    #[error("the daemon pins nothing (`pins = \"off\"`), so its counters can't be read by another process")]
    Unpinned,
    /// What is there doesn't fit the configuration.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The kernel would not tell what is there.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Which daemon it is can't be told.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The counters of the daemon can't be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// There can be no probes.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Something that a process needs was not to be had.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
