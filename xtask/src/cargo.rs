//! Builds of this workspace for this machine.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{root, say};

/// The cargo that runs xtask.
pub(crate) fn program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// A cargo command in the checkout.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    command.current_dir(root());
    command
}

/// Builds the binaries of `packages`, and gives the directory where they are.
pub(crate) fn build(packages: &[&str]) -> Result<PathBuf> {
    say(format!("building {}", packages.join(", ")));
    let mut command = command();
    command.args(["build", "--release", "--bins"]);
    for package in packages {
        command.args(["--package", package]);
    }
    let mut directory = executable(&mut command, false)?;
    directory.pop();
    Ok(directory)
}

/// Compiles the test `name` of `package`, and gives its executable.
pub(crate) fn build_test(package: &str, name: &str) -> Result<PathBuf> {
    say(format!("building the test {name} of {package}"));
    let mut command = command();
    command.args(["test", "--release", "--no-run", "--package", package, "--test", name]);
    executable(&mut command, true)
}

/// Runs a build and gives its first executable, `test` or not. Cargo is asked where that is: the target directory and
/// the target may be set by variables and by any of several configuration files.
pub(crate) fn executable(command: &mut Command, test: bool) -> Result<PathBuf> {
    let output = command
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(io::stderr())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the build failed; cargo says why above");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        // A package's programs are built beside its tests, and named too.
        .filter(|message| message.pointer("/profile/test") == Some(&test.into()))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .context("cargo didn't name what it built")
}
