//! What setup is about to fetch: worked out and said first, then done.

mod announcement;

use std::path::{Path, PathBuf};

use anycast_tests::tools;
use anyhow::{Context, Error, Result, bail, ensure};

use crate::apt::{Apt, Package};
use crate::workspace::say;
use crate::{apt, bpf_linker, lab, rustup, store, toolchain};

/// What boots the kernels of the kernel matrix, and its package.
pub(crate) const EMULATOR: &str = "qemu-system-x86_64";
const EMULATOR_PACKAGE: &str = "qemu-system-x86";

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

/// What a linker for a compiler's bitcode needs to know of its LLVM.
struct Llvm {
    major: u32,
    /// Whether the compiler's tree has the library for the linker too.
    in_compiler_tree: bool,
}

/// Everything to do, in order.
pub(crate) struct Plan {
    apt: Option<Apt>,
    steps: Vec<Step>,
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
        let Llvm {
            major,
            in_compiler_tree,
        } = match toolchain::private_compiler() {
            Some(compiler) => Llvm {
                major: compiler.llvm,
                in_compiler_tree: compiler.tree.is_some(),
            },
            None => self.add_compiler()?,
        };
        if bpf_linker::private().is_some() {
            return Ok(());
        }
        let development = format!("llvm-{major}-dev");
        let tree = match self.apt.as_ref().map(|apt| apt.knows(&development)) {
            Some(Ok(true)) => {
                let library = format!("libllvm{major}");
                if !in_compiler_tree {
                    let wanted = Wanted::Programs(vec![library.clone()]);
                    self.add_tree(&bpf_linker::llvm_tree(), wanted, true)?;
                }
                let tree = tools::home().join("llvm");
                let wanted = Wanted::Programs(vec![development, format!("llvm-{major}"), library]);
                self.add_tree(&tree, wanted, true)?;
                Some(tree)
            }
            _ if bpf_linker::of_the_user().is_some() => return Ok(()),
            Some(Err(error)) => return Err(error),
            // The build finds what LLVM the machine has, or says that it has none.
            Some(Ok(false)) | None => None,
        };
        self.steps.push(Step::BpfLinker { llvm: major, tree });
        Ok(())
    }

    /// Adds a compiler: the distribution's where it has one with a BPF `core`, else rustup's.
    fn add_compiler(&mut self) -> Result<Llvm> {
        const STANDARD_LIBRARY: &str = "libstd-rust-web-dev";
        const BPF_CORE: &str = "libstd-rust-web-dev-bpf";
        const CLIPPY: &str = "rust-web-clippy";
        let needed = ["rustc-web", STANDARD_LIBRARY, BPF_CORE];
        if let Some(apt) = &self.apt
            && apt.knows_all(&needed).or_else(rustup_instead)?
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
            let mut wanted = needed.map(str::to_owned).to_vec();
            wanted.extend([shared, llvm]);
            if apt.knows(CLIPPY)? {
                wanted.push(CLIPPY.to_owned());
            }
            self.add_tree(&toolchain::rust_tree(), Wanted::Programs(wanted), true)?;
            return Ok(Llvm {
                major,
                in_compiler_tree: true,
            });
        }
        say("apt has no rustc-web with a BPF core for this machine; rustup is next");
        ensure!(
            rustup::is_there(),
            "this machine has no compiler for BPF, and neither apt (package rustc-web) nor rustup to get one. Install \
             rustup from https://rustup.rs and run this again, or put a rustc with rust-src and a bpf-linker on PATH"
        );
        self.steps.push(Step::Rustup);
        Ok(Llvm {
            major: rustup::NIGHTLY_LLVM,
            in_compiler_tree: false,
        })
    }

    /// Adds the lab's packages whose programs are missing. With `again`, also those that couldn't be had before.
    pub(crate) fn add_lab(&mut self, again: bool) {
        for program in lab::missing() {
            let package = program.package;
            let tree = tools::trees().join(package);
            if (again || !lab::gave_up_lately(&tree))
                && let Err(error) = self.add_tree(&tree, Wanted::Programs(vec![package.to_owned()]), false)
            {
                self.give_up(&tree, &error);
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

    /// Adds the distribution's newest kernel of `series`, such as `6.1`, and `flavour`, such as `cloud`, as `tree`.
    pub(crate) fn add_kernel(&mut self, series: &str, flavour: &str, tree: &Path) -> Result<()> {
        let apt = self.apt.as_ref().context("this machine has no apt")?;
        // The release's own kernel has a package without a number.
        let names = [
            format!("linux-image-{series}-{flavour}-amd64"),
            format!("linux-image-{flavour}-amd64"),
        ];
        let mut images = Vec::new();
        for name in names {
            if apt.knows(&name)? {
                images.extend(apt.dependency(&name, "linux-image-"));
            }
        }
        let image = images
            .into_iter()
            .find(|image| image.starts_with(&format!("linux-image-{series}.")))
            .with_context(|| format!("apt knows no {flavour} kernel of the {series} series"))?;
        self.add_tree(tree, Wanted::Files(vec![image]), true)
    }

    fn add_tree(&mut self, tree: &Path, wanted: Wanted, required: bool) -> Result<()> {
        let apt = self.apt.as_ref().context("this machine has no apt")?;
        let (Wanted::Programs(names) | Wanted::Files(names)) = &wanted;
        for name in names {
            ensure!(apt.knows(name)?, "apt knows no package {name}");
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
                    Err(error) if !required => self.give_up(tree, &error),
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

    /// Only what the archives don't have is remembered: the network may be back in a minute.
    fn give_up(&self, tree: &Path, error: &Error) {
        lab::give_up(tree, error, !self.apt.as_ref().is_some_and(Apt::is_offline));
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

/// What to do when apt can't be asked for the compiler.
fn rustup_instead(error: Error) -> Result<bool> {
    if rustup::is_there() {
        say(format!("{error:#}"));
        Ok(false)
    } else {
        Err(error)
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
