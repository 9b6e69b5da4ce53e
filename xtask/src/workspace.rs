//! The checkout, and how child processes are started in it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// Variables that cargo, rustup or a user's shell set for the build of xtask or of the host's crates, and that would
/// change or break another build that is started from here.
const LEAKED_VARIABLES: [&str; 13] = [
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_UNSTABLE_BUILD_STD",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    // What `cargo run` says now comes before what the compiler saw: two checkouts may share a target directory, and
    // then this program too.
    static MANIFEST: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    MANIFEST.parent().unwrap_or(&MANIFEST)
}

/// A command whose build isn't influenced by the build of xtask around it.
pub(crate) fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in LEAKED_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Says what happens, on stderr: stdout belongs to data.
pub(crate) fn say(words: impl AsRef<str>) {
    eprintln!("xtask: {}", words.as_ref());
}

/// Runs `command` with its output streaming to stderr; an exit code other than 0 is an error.
pub(crate) fn stream(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} failed: {status}; its output above says why", command_line(command));
    }
    Ok(())
}

/// Runs `command` with its output streaming to stderr.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Runs `command` quietly and gives its stdout; an exit code other than 0 is an error that quotes stderr.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}", command_line(command), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn command_line(command: &Command) -> String {
    let mut line = command.get_program().display().to_string();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
