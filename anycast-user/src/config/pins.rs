//! Where programs and counters are pinned.

use std::path::PathBuf;
use std::str::FromStr;

/// Where programs and counters are pinned, if at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinPlace {
    /// Nowhere: they end with the daemon.
    Off,
    /// On the BPF file system that is mounted there, an absolute path.
    Bpffs(PathBuf),
}

impl Default for PinPlace {
    fn default() -> Self {
        Self::Bpffs("/sys/fs/bpf".into())
    }
}

/// A place to pin at that is neither an absolute path nor `off`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an absolute path; write where a BPF file system is mounted, like \"/sys/fs/bpf\", or \"off\"")]
pub struct PinPlaceError(String);

impl FromStr for PinPlace {
    type Err = PinPlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            path if path.starts_with('/') && !path.contains('\0') => Ok(Self::Bpffs(path.into())),
            _ => Err(PinPlaceError(text.to_owned())),
        }
    }
}
