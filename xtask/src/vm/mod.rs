//! `cargo xtask vm`: the kernel matrix. Each kernel is booted in a virtual machine whose first process,
//! `anycast-vm-guest`, runs the daemon in the lab on a real dummy link and the tests of the kernel programs.
//!
//! Nothing needs root and nothing is left behind: the root file system is a file without a name, and the emulator dies
//! with xtask.

mod image;
mod kernel;
mod machine;
mod row;

use std::path::PathBuf;

use anycast_tests::{tools, vm};
use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use crate::test_output::Counts;
use crate::workspace::say;
use crate::{Outcome, build_ebpf, cargo, setup};
use image::Image;
use kernel::Kernel;
use row::Row;

/// The supported kernels: the oldest, and the newest long-term one that the distribution has.
const MATRIX: [&str; 2] = ["6.1", "6.12"];
/// Programs of the machine that the lab runs; without BIRD it does with static routes.
const REQUIRED_TOOLS: [&str; 2] = ["ip", "unshare"];
const OPTIONAL_TOOLS: [&str; 1] = ["bird"];
/// The project's own programs.
const OWN_PROGRAMS: [&str; 3] = ["anycast-probe", "anycast-lab", machine::GUEST];

/// Arguments of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct VmArgs {
    /// Boot only this series of kernels, such as 6.1; may be given several times [default: 6.1 and 6.12]
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
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
    let series: Vec<&str> = if arguments.kernel.is_empty() {
        MATRIX.to_vec()
    } else {
        arguments.kernel.iter().map(String::as_str).collect()
    };
    let kernels: Vec<Kernel> = series.into_iter().map(kernel::fetch).collect::<Result<_>>()?;
    let programs = Programs::build()?;
    let mut matrix = Matrix { kernels: Vec::new() };
    for kernel in &kernels {
        matrix.kernels.push(programs.boot(kernel, arguments.emulate)?);
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
    for series in MATRIX {
        match kernel::fetch(series) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => {
                say(format!("SKIPPED: kernel {series}: {error:#}"));
                counts.skipped += 1;
            }
        }
    }
    if kernels.is_empty() {
        return Ok(counts);
    }
    let programs = Programs::build()?;
    for kernel in &kernels {
        let row = programs.boot(kernel, false)?;
        if row.ok {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            counts.failures.push(format!("kernel {}", row.kernel));
        }
    }
    Ok(counts)
}

/// What runs in every virtual machine: the paths of programs here and their names there.
struct Programs(Vec<(PathBuf, String)>);

impl Programs {
    fn build() -> Result<Self> {
        build_ebpf::build()?;
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
        Ok(Self(programs))
    }

    /// Boots `kernel` with the programs. An error is about this side; what happens inside is in the row.
    fn boot(&self, kernel: &Kernel, emulate: bool) -> Result<Row> {
        say(format!("booting Linux {} in a virtual machine", kernel.release));
        let mut image = Image::new();
        for (path, name) in &self.0 {
            image.add_program(path, name)?;
        }
        for module in &kernel.modules {
            image.add_module(module)?;
        }
        let ended = machine::boot(kernel, &image.pack()?, emulate)?;
        let row = Row::new(kernel, ended);
        row.say();
        Ok(row)
    }
}
