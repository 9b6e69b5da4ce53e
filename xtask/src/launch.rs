//! Builds a program of this workspace, and becomes it as root.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::tools;
use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::build_ebpf;
use crate::workspace::{cargo, root, say, stream};

/// Variables that a program behind sudo should still see.
const PASSED_ON: [&str; 2] = ["NO_COLOR", "ANYCAST_PROBE_LOG"];

/// Builds the kernel programs and the binaries of `packages`, and runs `program` of them as root.
///
/// Doesn't return when all is well: xtask becomes the program, whose exit code and signals are then its own.
pub(crate) fn become_root_program(packages: &[&str], program: &str, arguments: Vec<String>) -> Result<()> {
    build_ebpf::build()?;
    let mut command = as_root(&build(packages)?.join(program))?;
    let error = command.args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Builds the binaries of `packages`, and gives the directory where they are.
pub(crate) fn build(packages: &[&str]) -> Result<PathBuf> {
    say(format!("building {}", packages.join(", ")));
    let mut command = Command::new(cargo());
    command
        .current_dir(root())
        .args(["build", "--quiet", "--release", "--bins"]);
    for package in packages {
        command.args(["--package", package]);
    }
    stream(&mut command)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release"))
}

/// A command that runs `program` as root.
fn as_root(program: &Path) -> Result<Command> {
    if geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = tools::find_on_machine("sudo") else {
        bail!("{} needs root: run this as root, or install sudo", program.display());
    };
    // As a variable for `env`, not by sudo's own option, which many a sudoers file refuses.
    let mut command = sudo.command();
    command.arg("env");
    command.arg(format!("{}={}", tools::HOME_VARIABLE, tools::home().display()));
    for name in PASSED_ON {
        if let Ok(value) = std::env::var(name) {
            command.arg(format!("{name}={value}"));
        }
    }
    command.arg(program);
    Ok(command)
}
