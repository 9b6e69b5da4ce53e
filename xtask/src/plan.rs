//! What setup is about to fetch: worked out and said first, then done.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anycast_tests::tools;
use anyhow::{Context, Result, bail, ensure};

use crate::apt::{Apt, Package};
use crate::workspace::say;
use crate::{apt, bpf_linker, rustup, store, toolchain};

/// A package of the lab and the programs of it that the lab runs.
struct LabPackage {
    name: &'static str,
    programs: &'static [&'static str],
}

/// None of them is required: the lab says what it does without.
const LAB: [LabPackage; 6] = [
    LabPackage {
        name: "bird2",
        programs: &["bird", "birdc"],
    },
    LabPackage {
        name: "knot",
        programs: &["knotd", "knotc"],
    },
    LabPackage {
        name: "nsd",
        programs: &["nsd"],
    },
    LabPackage {
        name: "unbound",
        programs: &["unbound"],
    },
    LabPackage {
        name: "nftables",
        programs: &["nft"],
    },
    LabPackage {
        name: "iproute2",
        programs: &["ip", "tc"],
    },
];

/// What boots the kernels of the kernel matrix, and its package.
pub(crate) const EMULATOR: &str = "qemu-system-x86_64";
const EMULATOR_PACKAGE: &str = "qemu-system-x86";

/// How long a package that couldn't be had is left alone by the lab.
const RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// One thing to do.
enum Step {
    /// Unpack packages into a tree.
    Unpack {
        tree: PathBuf,
        wanted: Wanted,
        packages: Vec<Package>,
        required: bool,
    },
    /// Install a nightly of our own.
    Rustup,
    /// Build bpf-linker, with LLVM from a tree that isn't needed afterwards.
    BpfLinker { llvm: u32, tree: Option<PathBuf> },
}

/// Names of packages.
enum Wanted {
    /// To be run: with what they need and the machine lacks.
    Programs(Vec<String>),
    /// To be taken apart: alone.
    Files(Vec<String>),
}

/// Everything to do, in order.
pub(crate) struct Plan {
    apt: Option<Apt>,
    steps: Vec<Step>,
}

/// The names of the lab's programs.
pub(crate) fn lab_programs() -> impl Iterator<Item = &'static str> {
    LAB.iter().flat_map(|package| package.programs).copied()
}

impl Plan {
    /// An empty plan.
    pub(crate) fn new() -> Self {
        Self {
            apt: Apt::find(),
            steps: Vec::new(),
        }
    }

    /// Adds what is missing of the toolchain that setup makes.
    pub(crate) fn add_toolchain(&mut self) -> Result<()> {
        let llvm = match toolchain::private_compiler() {
            Some(compiler) => compiler.llvm,
            None => self.add_compiler()?,
        };
        if bpf_linker::private().is_some() {
            return Ok(());
        }
        let development = format!("llvm-{llvm}-dev");
        let tree = if self.apt.as_ref().is_some_and(|apt| apt.knows(&development)) {
            let tree = tools::home().join("llvm");
            self.add_tree(
                &tree,
                Wanted::Programs(vec![development, format!("llvm-{llvm}"), format!("libllvm{llvm}")]),
                true,
            )?;
            Some(tree)
        } else if bpf_linker::of_the_user().is_some() {
            return Ok(());
        } else {
            // The build finds what LLVM the machine has, or says that it has none.
            None
        };
        self.steps.push(Step::BpfLinker { llvm, tree });
        Ok(())
    }

    /// Adds a compiler: the distribution's where it has one with a BPF `core`, else rustup's. Gives the major version
    /// of its LLVM.
    fn add_compiler(&mut self) -> Result<u32> {
        const STANDARD_LIBRARY: &str = "libstd-rust-web-dev";
        const BPF_CORE: &str = "libstd-rust-web-dev-bpf";
        if let Some(apt) = &self.apt
            && ["rustc-web", STANDARD_LIBRARY, BPF_CORE]
                .iter()
                .all(|name| apt.knows(name))
        {
            let shared = apt.dependency(STANDARD_LIBRARY, "libstd-rust-web-");
            let llvm = apt.dependency("rustc-web", "libllvm");
            let (Some(shared), Some(llvm)) = (shared, llvm) else {
                bail!("apt doesn't tell the dependencies of rustc-web; `apt-cache depends --recurse rustc-web` should");
            };
            let major = llvm
                .trim_start_matches("libllvm")
                .parse()
                .with_context(|| format!("{llvm} names no version of LLVM"))?;
            let mut wanted = ["rustc-web", STANDARD_LIBRARY, BPF_CORE].map(str::to_owned).to_vec();
            wanted.extend([shared, llvm]);
            self.add_tree(&toolchain::rust_tree(), Wanted::Programs(wanted), true)?;
            return Ok(major);
        }
        say("apt has no rustc-web with a BPF core for this machine; rustup is next");
        ensure!(
            rustup::is_there(),
            "this machine has no compiler for BPF, and neither apt (package rustc-web) nor rustup to get one. Install \
             rustup from https://rustup.rs and run this again, or put a rustc with rust-src and a bpf-linker on PATH"
        );
        self.steps.push(Step::Rustup);
        Ok(rustup::NIGHTLY_LLVM)
    }

    /// Adds the lab's packages whose programs are missing. With `again`, also those that couldn't be had before.
    pub(crate) fn add_lab(&mut self, again: bool) {
        for package in &LAB {
            let missing = package.programs.iter().any(|program| tools::find(program).is_none());
            let tree = tools::trees().join(package.name);
            if missing
                && (again || !gave_up_lately(&tree))
                && let Err(error) = self.add_tree(&tree, Wanted::Programs(vec![package.name.to_owned()]), false)
            {
                give_up(&tree, &error);
            }
        }
    }

    /// Adds the emulator of virtual machines if the machine has none.
    pub(crate) fn add_emulator(&mut self) -> Result<()> {
        if tools::find(EMULATOR).is_some() {
            return Ok(());
        }
        let tree = tools::trees().join(EMULATOR_PACKAGE);
        self.add_tree(&tree, Wanted::Programs(vec![EMULATOR_PACKAGE.to_owned()]), true)
    }

    /// Adds the distribution's newest kernel of `series`, such as `6.1`, as `tree`.
    pub(crate) fn add_kernel(&mut self, series: &str, tree: &Path) -> Result<()> {
        let apt = self.apt.as_ref().context("this machine has no apt")?;
        // The release's own kernel has a package without a number.
        let image = [
            format!("linux-image-{series}-cloud-amd64"),
            "linux-image-cloud-amd64".to_owned(),
        ]
        .iter()
        .filter(|name| apt.knows(name))
        .filter_map(|name| apt.dependency(name, "linux-image-"))
        .find(|image| image.starts_with(&format!("linux-image-{series}.")))
        .with_context(|| format!("apt knows no cloud kernel of the {series} series"))?;
        self.add_tree(tree, Wanted::Files(vec![image]), true)
    }

    fn add_tree(&mut self, tree: &Path, wanted: Wanted, required: bool) -> Result<()> {
        let apt = self.apt.as_ref().context("this machine has no apt")?;
        let (Wanted::Programs(names) | Wanted::Files(names)) = &wanted;
        for name in names {
            ensure!(apt.knows(name), "apt knows no package {name}");
        }
        let packages = wanted.look_up(apt)?;
        self.steps.push(Step::Unpack {
            tree: tree.to_owned(),
            wanted,
            packages,
            required,
        });
        Ok(())
    }

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

    /// Does it all. What isn't required and fails is remembered and left out.
    pub(crate) fn carry_out(&self) -> Result<()> {
        for step in &self.steps {
            match step {
                Step::Unpack {
                    tree,
                    wanted,
                    packages,
                    required,
                } => match self.unpack(tree, wanted, packages) {
                    Err(error) if !required => give_up(tree, &error),
                    result => result?,
                },
                Step::Rustup => rustup::install()?,
                Step::BpfLinker { llvm, tree } => {
                    bpf_linker::install(*llvm, tree.as_deref())?;
                    if let Some(tree) = tree {
                        store::remove(tree)?;
                    }
                }
            }
        }
        store::remove(&apt::lists_home())?;
        store::remove(&store::downloads())
    }

    fn unpack(&self, tree: &Path, wanted: &Wanted, packages: &[Package]) -> Result<()> {
        let apt = self.apt.as_ref().context("this machine has no apt")?;
        let result = apt.unpack(packages, tree).or_else(|error| {
            // Archives drop a version when they take in the next one, so old lists name what is gone.
            say(format!("{error:#}; trying again with fresh package lists"));
            apt.refresh()?;
            apt.unpack(&wanted.look_up(apt)?, tree)
        });
        result.context("the packages can't be fetched; is the network there?")
    }
}

impl Wanted {
    fn look_up(&self, apt: &Apt) -> Result<Vec<Package>> {
        match self {
            Self::Programs(names) => apt.closure(names),
            Self::Files(names) => apt.exactly(names),
        }
    }
}

/// The file that remembers that a package of the lab couldn't be had.
fn unavailable(tree: &Path) -> PathBuf {
    tree.with_extension("unavailable")
}

/// Whether it is too early to try again: asking the archives takes seconds, which not every run of the lab should.
fn gave_up_lately(tree: &Path) -> bool {
    fs::metadata(unavailable(tree))
        .and_then(|marker| marker.modified())
        .is_ok_and(|when| when.elapsed().is_ok_and(|age| age < RETRY_AFTER))
}

fn give_up(tree: &Path, error: &anyhow::Error) {
    let name = tree.file_name().unwrap_or_default().display();
    say(format!(
        "{name} can't be had ({error:#}): the lab does without; `cargo xtask setup` tries again"
    ));
    let remembered =
        store::create(&tools::trees()).and_then(|()| Ok(fs::write(unavailable(tree), format!("{error:#}\n"))?));
    if let Err(error) = remembered {
        say(format!("cannot remember that: {error:#}"));
    }
}
