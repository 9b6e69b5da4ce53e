//! What an operator reads before anything is fetched.

use std::collections::BTreeSet;

use anycast_tests::tools;

use super::{Plan, Step};
use crate::workspace::say;
use crate::{bpf_linker, rustup};

impl Plan {
    /// Says what is going to be fetched and where it goes.
    pub(crate) fn announce(&self) {
        if self.steps.is_empty() {
            return;
        }
        say(format!(
            "fetching into {} (`cargo xtask setup --remove` takes it away; the machine's own packages stay as they are):",
            tools::home().display()
        ));
        let (mut download, mut unpacked) = (0, 0);
        // A library that two trees need is unpacked twice and downloaded once.
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            match step {
                Step::Unpack { packages, .. } => {
                    for package in packages {
                        unpacked += package.unpacked_bytes;
                        if seen.insert(&package.name) {
                            download += package.download_bytes;
                            say(format!(
                                "  {} {} ({} kB)",
                                package.name,
                                package.version,
                                package.download_bytes / 1000
                            ));
                        }
                    }
                }
                Step::Rustup => say(format!("  {}", rustup::plan())),
                Step::BpfLinker { tree, .. } => say(format!(
                    "  bpf-linker {} from crates.io, built by cargo{}",
                    bpf_linker::VERSION,
                    if tree.is_some() {
                        ", after which the llvm packages are removed"
                    } else {
                        ""
                    },
                )),
            }
        }
        if download > 0 {
            say(format!(
                "in all {} MB of Debian packages, {} MB when unpacked",
                download / 1_000_000,
                unpacked / 1_000_000
            ));
        }
    }
}
