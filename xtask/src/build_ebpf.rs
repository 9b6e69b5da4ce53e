//! `cargo xtask build-ebpf`: compiles the kernel programs.

use std::env::consts::ARCH;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::{root, say, status, stream};
use crate::{Outcome, setup, toolchain};

/// The package, binary and profile to build.
const PACKAGE: &str = "anycast-ebpf";
const BINARY: &str = "anycast-programs";
const PROFILE: &str = "bpf";

/// Arguments of `cargo xtask build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct BuildArgs {
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a build made.
#[derive(Debug, Serialize)]
pub(crate) struct Built {
    /// The BPF object: the daemon's build script embeds it.
    pub(crate) object: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
    /// The toolchain that made it.
    pub(crate) toolchain: String,
    /// The version of its rustc.
    pub(crate) rustc: String,
    /// The major version of its LLVM.
    pub(crate) llvm: u32,
}

impl Built {
    /// What made it, wherever that stood.
    pub(crate) fn compiler(&self) -> String {
        format!("rustc {} (LLVM {})", self.rustc, self.llvm)
    }
}

pub(crate) fn run() -> Result<Outcome> {
    Outcome::success(&build()?)
}

/// Builds the programs; runs setup first if the machine has no toolchain for them.
pub(crate) fn build() -> Result<Built> {
    let toolchain = setup::toolchain()?;
    say(format!("building the BPF programs with {}", toolchain.description));
    stream(cargo(&toolchain, toolchain.cargo(), "build").env("CARGO_ENCODED_RUSTFLAGS", rustflags(&[]))).with_context(
        || {
            format!(
                "the BPF programs can't be built with {}; another toolchain can be chosen with {}",
                toolchain.description,
                toolchain::CHOICE_VARIABLE,
            )
        },
    )?;
    let object = target_directory().join(TARGET).join(PROFILE).join(BINARY);
    let bytes = fs::metadata(&object)
        .with_context(|| format!("the build made no {}", object.display()))?
        .len();
    say(format!("built {} ({bytes} bytes)", object.display()));
    Ok(Built {
        object,
        bytes,
        toolchain: toolchain.description,
        rustc: toolchain.compiler.release,
        llvm: toolchain.compiler.llvm,
    })
}

/// Lints the programs for the BPF target with warnings denied.
pub(crate) fn lint(toolchain: &Toolchain) -> Result<ExitStatus> {
    let mut command = match toolchain.cargo_clippy() {
        Some(clippy) => cargo(toolchain, clippy, "clippy"),
        None => cargo(toolchain, toolchain.cargo(), "check"),
    };
    status(command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&["-Dwarnings"])))
}

/// `command`, which is cargo or a part of it, doing `action` to the programs.
fn cargo(toolchain: &Toolchain, mut command: Command, action: &str) -> Command {
    command
        .args([action, "--package", PACKAGE, "--bin", BINARY])
        .args(["--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(target_directory())
        .args(toolchain.build_arguments())
        .current_dir(root());
    command
}

/// Always in the checkout, wherever the host's crates are built: the daemon's build script looks there.
fn target_directory() -> PathBuf {
    root().join("target/bpf")
}

/// In the encoded form, the only one that can carry the quotes of a `--cfg`.
fn rustflags(more: &[&str]) -> String {
    let arch = format!("--cfg=bpf_target_arch=\"{ARCH}\"");
    let mut flags = vec![
        arch.as_str(),
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // The instruction set of every kernel since 5.1: 32-bit operations and jumps.
        "-Ctarget-cpu=v3",
        // Packets are not aligned. Loading them byte by byte would cost the fast path half its speed.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    ];
    flags.extend(more);
    flags.join("\x1f")
}
