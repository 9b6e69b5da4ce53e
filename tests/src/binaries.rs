//! What a lab needs to be there.

use crate::server::ServerKind;
use crate::tools;
use anyhow::{Context, Result};
use std::fmt::{self, Display, Formatter};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

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

/// The first line of what `program` prints when asked for its version by `flag`; `None` when it isn't there or doesn't
/// run, as when an interrupted fetch left it without its libraries.
#[must_use]
pub fn version_of(program: &str, flag: &str) -> Option<String> {
    let mut command = tools::find(program)?.command();
    let output = command.arg(flag).stdin(Stdio::null()).process_group(0).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    output.status.success().then(|| line.to_owned())
}

/// Looks for what tests of the whole can't do without, `servers` among it, and gives the executables to run.
pub fn prerequisites(servers: &[ServerKind]) -> Result<Binaries, MissingPrerequisite> {
    if !nix::unistd::geteuid().is_root() {
        return Err(MissingPrerequisite("it needs root".into()));
    }
    for (program, package) in [("ip", "iproute2"), ("unshare", "util-linux"), ("bird", "bird2")] {
        if tools::find(program).is_none() {
            let words =
                format!("there is no {program} that runs (package {package}); `cargo xtask setup` fetches what it can");
            return Err(MissingPrerequisite(words));
        }
    }
    if let Some(server) = servers.iter().find(|server| server.version().is_none()) {
        let words = format!("there is no {server} that runs; `cargo xtask setup` fetches it");
        return Err(MissingPrerequisite(words));
    }
    Binaries::find().map_err(|error| MissingPrerequisite(error.to_string()))
}
