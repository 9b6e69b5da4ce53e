//! What a lab needs to be there.

use crate::tools;
use anyhow::{Context, Result};
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

/// The project's own executables that a lab runs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `anycast-probe`
    pub daemon: PathBuf,
    /// `anycast-lab`, which holds the built-in responder.
    pub lab: PathBuf,
}

impl Binaries {
    /// Looks beside the current executable, or above it when that is a test; `$ANYCAST_PROBE_BIN` names another
    /// daemon.
    pub fn find() -> Result<Self> {
        let current = std::env::current_exe()?;
        let beside = |name: &str| {
            current
                .ancestors()
                .skip(1)
                .take(2)
                .map(|directory| directory.join(name))
                .find(|path| path.is_file())
                .with_context(|| format!("there is no {name} near {}; `cargo build` makes it", current.display()))
        };
        let daemon = match std::env::var_os("ANYCAST_PROBE_BIN") {
            Some(path) => path.into(),
            None => beside("anycast-probe")?,
        };
        Ok(Self {
            daemon,
            lab: beside("anycast-lab")?,
        })
    }
}

/// Something that a lab can't do without is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPrerequisite(String);

impl Display for MissingPrerequisite {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for MissingPrerequisite {}

/// Looks for what tests of the whole can't do without, and gives the executables to run.
pub fn prerequisites() -> Result<Binaries, MissingPrerequisite> {
    if !nix::unistd::geteuid().is_root() {
        return Err(MissingPrerequisite("it needs root".into()));
    }
    for (program, package) in [("ip", "iproute2"), ("unshare", "util-linux"), ("bird", "bird2")] {
        if tools::find(program).is_none() {
            let words = format!("there is no {program} (package {package}); `cargo xtask setup` fetches what it can");
            return Err(MissingPrerequisite(words));
        }
    }
    Binaries::find().map_err(|error| MissingPrerequisite(error.to_string()))
}
