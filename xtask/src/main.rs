//! The project's chores: `cargo xtask setup | build-ebpf | run | test | fuzz | bench | vm`.
//!
//! Words and progress go to stderr. With `--json`, the last line on stdout is one JSON object: the result, or
//! `{"error": "…"}` where there is none.

mod apt;
mod bench;
mod bpf_linker;
mod build_ebpf;
mod cargo;
mod fuzz;
mod lab;
mod launch;
mod plan;
mod run;
mod rustup;
mod setup;
mod store;
mod test;
mod test_output;
mod toolchain;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Fetch what the machine lacks to build the BPF programs and to run the lab, into one directory
    Setup(setup::SetupArgs),
    /// Build the BPF programs
    BuildEbpf(build_ebpf::BuildArgs),
    /// Run the failover lab or, with arguments after `--`, the daemon on this machine
    Run(run::RunArgs),
    /// Check format and lints and run every test
    Test(test::TestArgs),
    /// Run arbitrary packets through the library that the kernel programs are made of
    Fuzz(fuzz::FuzzArgs),
    /// Measure what the documentation quotes
    Bench(bench::BenchArgs),
    /// Boot other kernels in virtual machines and run the daemon there
    Vm(vm::VmArgs),
}

/// How a chore ended.
struct Outcome {
    /// The object for `--json`.
    report: Value,
    /// Why the exit code isn't 0, where the report itself is not a success.
    failure: Option<Error>,
}

impl Outcome {
    fn success(report: &impl Serialize) -> Result<Self> {
        Self::judged(report, Ok(()))
    }

    fn judged(report: &impl Serialize, judgement: Result<()>) -> Result<Self> {
        Ok(Self {
            report: serde_json::to_value(report)?,
            failure: judgement.err(),
        })
    }
}

fn main() -> ExitCode {
    let (json, result) = match Arguments::parse().chore {
        Chore::Setup(arguments) => (arguments.json, setup::run(&arguments)),
        Chore::BuildEbpf(arguments) => (arguments.json, build_ebpf::run()),
        Chore::Run(arguments) => (arguments.lab.json, run::run(arguments).map(|never| match never {})),
        Chore::Test(arguments) => (arguments.json, test::run(&arguments)),
        Chore::Fuzz(arguments) => (arguments.json, fuzz::run(&arguments)),
        Chore::Bench(arguments) => (arguments.json(), bench::run(arguments).map(|never| match never {})),
        Chore::Vm(arguments) => (arguments.json, vm::run(&arguments)),
    };
    let Outcome { report, failure } = result.unwrap_or_else(|error| Outcome {
        report: json!({ "error": format!("{error:#}") }),
        failure: Some(error),
    });
    if json {
        println!("{report}");
    }
    match failure {
        None => ExitCode::SUCCESS,
        Some(error) => {
            // Not by returning it: RUST_BACKTRACE would bury the words in a backtrace.
            workspace::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
