//! bpf-linker: links the programs' LLVM bitcode into a BPF object. Built from source, because its LLVM must be the one
//! of the rustc that wrote the bitcode.

use std::path::{Path, PathBuf};

use anycast_tests::tools;
use anyhow::{Context, Result};

use crate::workspace::{clean_command, say, stream};
use crate::{cargo, store};

/// The version that the programs are known to link with.
pub(crate) const VERSION: &str = "0.13.0";

/// Where setup puts it.
pub(crate) fn directory() -> PathBuf {
    tools::home().join("bpf-linker")
}

/// Where setup puts the LLVM library that it loads, where the compiler has none for it.
pub(crate) fn llvm_tree() -> PathBuf {
    tools::trees().join("libllvm")
}

/// The one that setup made, if it did.
pub(crate) fn private() -> Option<PathBuf> {
    Some(directory().join("bin/bpf-linker")).filter(|path| path.is_file())
}

/// The user's own, if there is one.
pub(crate) fn of_the_user() -> Option<PathBuf> {
    tools::find_on_machine("bpf-linker").map(|tool| tool.path().to_owned())
}

/// Builds it against LLVM `major`, found in `llvm_tree` or, without one, by the `llvm-config` on the machine.
pub(crate) fn install(major: u32, llvm_tree: Option<&Path>) -> Result<()> {
    say(format!(
        "building bpf-linker {VERSION} for LLVM {major} with cargo (about a minute on two cores)"
    ));
    // A known place rather than a temporary one, so that an interrupted build carries on.
    let build = tools::home().join("bpf-linker-build");
    store::publish(&directory(), |partial| {
        let mut command = clean_command(cargo::program());
        command
            .args(["install", "--locked", "--no-default-features", "--no-track"])
            .args(["--version", VERSION, "--features", &format!("llvm-{major}")])
            .arg("--root")
            .arg(partial)
            .arg("--target-dir")
            .arg(&build)
            .arg("bpf-linker")
            // Out of the checkout, whose cargo configuration is not meant for it.
            .current_dir(tools::home());
        if let Some(tree) = llvm_tree {
            let prefix = tree.join(format!("usr/lib/llvm-{major}"));
            command
                .env("LLVM_PREFIX", &prefix)
                .env(format!("LLVM_SYS_{major}1_PREFIX"), &prefix)
                .env("LD_LIBRARY_PATH", tools::library_path(tree));
        }
        stream(&mut command).context(
            "bpf-linker can't be built; the network, a C++ compiler or LLVM's development files may be missing. Another \
             way is a bpf-linker of your own on PATH, from https://github.com/aya-rs/bpf-linker/releases",
        )
    })?;
    store::remove(&build)
}
