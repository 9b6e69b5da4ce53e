//! rustup: the user's nightly, used as it is, and a nightly of our own where there is no apt.

use std::path::PathBuf;

use anycast_tests::tools;
use anyhow::{Context, Result};

use crate::store;
use crate::workspace::{capture, clean_command, say, stream};

/// A nightly that the pinned aya crates are known to build with, and whose LLVM bpf-linker supports. The newest one
/// may be ahead of both.
const NIGHTLY: &str = "nightly-2026-05-20";

/// The major version of the LLVM in [`NIGHTLY`].
pub(crate) const NIGHTLY_LLVM: u32 = 22;

/// Whether the machine has rustup.
pub(crate) fn is_there() -> bool {
    tools::find_on_machine("rustup").is_some()
}

/// The rustc of the user's nightly, if one is installed.
pub(crate) fn nightly_rustc() -> Option<PathBuf> {
    let rustup = tools::find_on_machine("rustup")?;
    let mut command = clean_command(rustup.path());
    // "which" must not install what it is asked for.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    let path = capture(command.args(["which", "--toolchain", "nightly", "rustc"])).ok()?;
    Some(PathBuf::from(path.trim())).filter(|path| path.is_file())
}

/// Where [`install`] puts the nightly of our own.
pub(crate) fn private_sysroot() -> PathBuf {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    rustup_home().join("toolchains").join(format!("{NIGHTLY}-{host}"))
}

/// Downloads a nightly with rust-src and clippy below [`tools::home`]; the user's toolchains stay as they are.
pub(crate) fn install() -> Result<()> {
    say(format!("downloading {NIGHTLY} with rust-src by rustup"));
    store::create(&rustup_home())?;
    stream(
        clean_command("rustup")
            .env("RUSTUP_HOME", rustup_home())
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUST_BACKTRACE")
            .args(["toolchain", "install", NIGHTLY, "--no-self-update"])
            .args(["--profile", "minimal", "--component", "rust-src,clippy"]),
    )
    .context("rustup can't download a nightly toolchain; is the network there?")
}

/// What [`install`] is going to do, for the operator.
pub(crate) fn plan() -> String {
    format!("rustup toolchain {NIGHTLY} with rust-src, from static.rust-lang.org (about 150 MB)")
}

fn rustup_home() -> PathBuf {
    tools::home().join("rustup")
}
