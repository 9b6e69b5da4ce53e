//! `cargo xtask vm`: the kernel matrix. Each kernel is booted in a virtual machine whose first process,
//! `anycast-vm-guest`, runs the daemon in the lab on a real dummy link and the tests of the kernel programs.
//!
//! Nothing needs root and nothing is left behind: the root file system is a file without a name, and the emulator dies
//! with xtask.

mod image;
mod kept;
mod kernel;
mod machine;
mod row;
mod verifier;

use std::path::{Path, PathBuf};

use anycast_tests::{corpus, tools, vm};
use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use crate::test_output::Counts;
use crate::workspace::say;
use crate::{Outcome, build_ebpf, cargo, setup};
use image::Image;
use kept::Kept;
use kernel::{Kernel, Name};
use row::Row;

/// The supported kernels: the oldest, the newest long-term one that the distribution has, and one with `PREEMPT_RT`.
const MATRIX: [&str; 3] = ["6.1", "6.12", "6.1-rt"];
/// Programs of the machine that the lab runs; without BIRD it does with static routes.
const REQUIRED_TOOLS: [&str; 2] = ["ip", "unshare"];
const OPTIONAL_TOOLS: [&str; 1] = ["bird"];
/// The project's own programs.
const OWN_PROGRAMS: [&str; 3] = ["anycast-probe", "anycast-lab", machine::GUEST];

/// Arguments of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct VmArgs {
    /// Boot only this series of kernels, such as 6.1, or 6.1-rt for the one with `PREEMPT_RT`; may be given several times
    #[arg(long, value_name = "SERIES", default_values = MATRIX)]
    kernel: Vec<Name>,
    /// Keep what the verifiers make of the programs, in tests/verifier.json, instead of comparing it with what is kept
    #[arg(long)]
    keep: bool,
    /// Emulate the processor even where KVM is to be had
    #[arg(long)]
    emulate: bool,
    /// Print the results as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The results, by kernel.
#[derive(Serialize)]
struct Matrix {
    kernels: Vec<Row>,
}

pub(crate) fn run(arguments: &VmArgs) -> Result<Outcome> {
    let kernels: Vec<Kernel> = arguments.kernel.iter().map(kernel::fetch).collect::<Result<_>>()?;
    let guest = Guest::build()?;
    let mut kept = Kept::read()?;
    let mut matrix = Matrix { kernels: Vec::new() };
    for kernel in &kernels {
        let row = guest.boot(kernel, arguments.emulate, (!arguments.keep).then_some(&kept))?;
        if arguments.keep && row.ok {
            kept.set(&row.name.to_string(), row.figures.clone());
            say(format!("kept in {}", kept.write()?.display()));
        }
        matrix.kernels.push(row);
    }
    let failed: Vec<&str> = matrix
        .kernels
        .iter()
        .filter(|row| !row.ok)
        .map(|row| &*row.kernel)
        .collect();
    let judgement = if failed.is_empty() {
        Ok(())
    } else {
        Err(anyhow!("it doesn't work on {}", failed.join(" and ")))
    };
    Outcome::judged(&matrix, judgement)
}

/// The whole matrix as a part of the tests: one test a kernel. One that this machine can't get is skipped aloud, as no
/// distribution has every kernel.
pub(crate) fn test() -> Result<Counts> {
    let mut counts = Counts::default();
    let mut kernels = Vec::new();
    for name in MATRIX {
        match kernel::fetch(&name.parse()?) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => {
                say(format!("SKIPPED: kernel {name}: {error:#}"));
                counts.skipped += 1;
            }
        }
    }
    if kernels.is_empty() {
        return Ok(counts);
    }
    let guest = Guest::build()?;
    let kept = Kept::read()?;
    for kernel in &kernels {
        let row = guest.boot(kernel, false, Some(&kept))?;
        if row.ok {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            counts.failures.push(format!("kernel {}", row.kernel));
        }
    }
    Ok(counts)
}

/// What is in every virtual machine.
struct Guest {
    /// The paths of programs here and their names there.
    programs: Vec<(PathBuf, String)>,
    /// The object of the kernel programs.
    object: PathBuf,
    /// What compiled them.
    toolchain: String,
}

impl Guest {
    fn build() -> Result<Self> {
        let built = build_ebpf::build()?;
        setup::lab()?;
        let directory = cargo::build(&["anycast-user", "anycast-tests"])?;
        let own = OWN_PROGRAMS.map(|name| (directory.join(name), name.to_owned()));
        let tests = (
            cargo::build_test("anycast-tests", "programs")?,
            vm::PROGRAM_TESTS.to_owned(),
        );
        let mut programs: Vec<_> = own.into_iter().chain([tests]).collect();
        for name in REQUIRED_TOOLS {
            let tool =
                tools::find(name).with_context(|| format!("there is no program {name} to put into the machine"))?;
            programs.push((tool.path().to_owned(), name.to_owned()));
        }
        for name in OPTIONAL_TOOLS {
            match tools::find(name) {
                Some(tool) => programs.push((tool.path().to_owned(), name.to_owned())),
                None => say(format!("there is no {name}: the machines do without")),
            }
        }
        Ok(Self {
            programs,
            toolchain: built.compiler(),
            object: built.object,
        })
    }

    /// Boots `kernel`. An error is about this side; what happens inside is in the row.
    fn boot(&self, kernel: &Kernel, emulate: bool, kept: Option<&Kept>) -> Result<Row> {
        say(format!("booting Linux {} in a virtual machine", kernel.release));
        let mut image = Image::new();
        for (path, name) in &self.programs {
            image.add_program(path, name)?;
        }
        for module in &kernel.modules {
            image.add_module(module)?;
        }
        image.add_file(&self.object, Path::new(vm::OBJECT));
        for name in corpus::read()?.keys() {
            let place = Path::new(vm::CORPUS).join(corpus::FRAME).join(name);
            image.add_file(&corpus::directory().join(name), &place);
        }
        let ended = machine::boot(kernel, &image.pack()?, emulate)?;
        let row = Row::new(kernel, ended, &self.toolchain, kept);
        row.say();
        Ok(row)
    }
}
