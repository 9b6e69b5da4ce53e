//! Builds a program of this workspace, and becomes it as root.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anycast_tests::tools;
use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::{build_ebpf, cargo};

/// Variables that a program behind sudo should still see.
const PASSED_ON: [&str; 2] = ["NO_COLOR", "ANYCAST_PROBE_LOG"];

/// Builds the kernel programs and the binaries of `packages`, and runs `program` of them as root.
///
/// Doesn't return when all is well: xtask becomes the program, whose exit code and signals are then its own.
pub(crate) fn become_root_program(packages: &[&str], program: &str, arguments: Vec<String>) -> Result<Infallible> {
    build_ebpf::build()?;
    let mut command = as_root(&cargo::build(packages)?.join(program))?;
    let error = command.args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Builds the binaries of `packages`, and runs `program` of them as whoever runs this. The kernel programs aren't needed.
///
/// Doesn't return when all is well: xtask becomes the program.
pub(crate) fn become_program(packages: &[&str], program: &str, arguments: Vec<String>) -> Result<Infallible> {
    let program = cargo::build(packages)?.join(program);
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
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
