//! Compiles the fuzz target, which is no member of the workspace: all of it is compiled with coverage counters.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::tools;
use anyhow::{Context, Result};

use crate::cargo;
use crate::test_output::Counts;
use crate::workspace::{capture, root, status};

/// The fuzz target's name, and its directory's.
const TARGET: &str = "frame";
const MANIFEST: &str = "tests/fuzz/Cargo.toml";

/// What libFuzzer learns from: which edges were taken how often, and what was compared with what.
const RUSTFLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
];

/// The names by which a machine may have a C++ compiler.
const COMPILERS: [&str; 3] = ["c++", "g++", "clang++"];
const COMPILER_VARIABLE: &str = "CXX";

/// A fuzz target that can be run.
pub(super) struct Target {
    pub(super) program: PathBuf,
    /// Where it puts inputs that make a crash.
    pub(super) crashes: PathBuf,
}

/// The C++ compiler, for the engine.
pub(super) fn compiler() -> Result<PathBuf> {
    if let Some(path) = env::var_os(COMPILER_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    COMPILERS
        .iter()
        .find_map(|name| tools::find_on_machine(name))
        .map(|tool| tool.path().to_owned())
        .with_context(|| format!("the fuzzing engine is C++: install a compiler, or name one in {COMPILER_VARIABLE}"))
}

pub(super) fn build() -> Result<Target> {
    let directory = directory();
    let mut command = command("build", &compiler()?);
    command
        // Naming it, even though it is this machine's, keeps the counters out of build scripts.
        .args(["--release", "--bin", TARGET, "--target", &host()?])
        .arg("--target-dir")
        .arg(&directory)
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    Ok(Target {
        program: cargo::executable(&mut command, false)?,
        crashes: directory.join("crashes"),
    })
}

/// Lints the fuzz target, and checks how it is formatted.
pub(super) fn lint() -> Result<Counts> {
    let mut format = cargo::command();
    format.args(["fmt", "--check", "--manifest-path", MANIFEST]);
    let mut lints = command("clippy", &compiler()?);
    lints.arg("--target-dir").arg(directory()).args(["--", "-Dwarnings"]);
    let mut counts = Counts::default();
    for (name, mut command) in [("format", format), ("lints", lints)] {
        if status(&mut command)?.success() {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            counts.failures.push(format!("{name} of the fuzz target"));
        }
    }
    Ok(counts)
}

/// Always in the checkout, wherever the host's crates are built, so that a crash can be named in a few words.
fn directory() -> PathBuf {
    root().join("target/fuzz")
}

fn command(action: &str, compiler: &Path) -> Command {
    let mut command = cargo::command();
    command
        .args([action, "--locked", "--manifest-path", MANIFEST])
        .env(COMPILER_VARIABLE, compiler);
    command
}

/// The target that this machine's rustc compiles for unasked.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = capture(Command::new(rustc).arg("-vV").current_dir(root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV doesn't tell its host")?.to_owned())
}
