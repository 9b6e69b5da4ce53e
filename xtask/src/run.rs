//! `cargo xtask run`: builds everything, then runs the lab or, with arguments after `--`, the daemon on this machine.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::arguments::LabArguments;
use anycast_tests::tools;
use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::workspace::{cargo, root, say, stream};
use crate::{build_ebpf, setup};

/// Variables that a program behind sudo should still see.
const PASSED_ON: [&str; 2] = ["NO_COLOR", "RUST_LOG"];

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    lab: LabArguments,
    /// Run the daemon on this machine with these arguments, instead of the lab
    #[arg(last = true, value_name = "ARGS")]
    daemon: Vec<String>,
}

/// Doesn't return when all is well: xtask becomes the program that it starts, whose exit code and signals are then its
/// own.
pub(crate) fn run(arguments: RunArgs) -> Result<()> {
    let RunArgs { lab, daemon } = arguments;
    let runs_lab = daemon.is_empty();
    if runs_lab {
        setup::lab()?;
    }
    build_ebpf::build()?;
    let directory = build(runs_lab)?;
    let mut command = as_root(&directory.join(if runs_lab { "anycast-lab" } else { "anycast-probe" }))?;
    if runs_lab {
        command.arg("failover").args(lab.to_words());
    } else {
        command.args(daemon);
    }
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Builds the daemon, and the lab when it is wanted, and gives the directory where they are.
fn build(with_lab: bool) -> Result<PathBuf> {
    say("building the daemon");
    let mut command = Command::new(cargo());
    command
        .current_dir(root())
        .args(["build", "--quiet", "--release", "--bins", "--package", "anycast-user"]);
    if with_lab {
        command.args(["--package", "anycast-tests"]);
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
