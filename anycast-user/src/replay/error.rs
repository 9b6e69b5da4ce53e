//! Why there is nothing to show.

use std::path::PathBuf;

use crate::{capture::CaptureError, datapath::DatapathError, net::NetError};

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file is broken.
    #[error("{}", .file.display())]
    Capture {
        /// The file, as it was named.
        file: PathBuf,
        /// What is wrong with it, and at which packet.
        source: CaptureError,
    },
    /// The kernel would not run a program on a packet.
    #[error("{}: packet {packet}", .file.display())]
    Packet {
        /// The file, as it was named.
        file: PathBuf,
        /// The number of the packet, from 1.
        packet: u64,
        /// What the kernel said.
        source: DatapathError,
    },
    /// Nobody says which addresses a service has.
    #[error(
        "service `{service}` has no addresses in the configuration, and there is no link `{link}` with addresses here: \
         name them with `addresses = [\"192.0.2.53\"]` under [[link.service]]"
    )]
    NoAddresses {
        /// The service.
        service: String,
        /// Its link.
        link: String,
    },
    /// The kernel would not tell what is on a link.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The programs could not be loaded.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}
