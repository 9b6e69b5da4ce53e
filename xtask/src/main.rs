//! The project's chores: `cargo xtask setup | build-ebpf | run | test | bench | vm`.
//!
//! Words and progress go to stderr. With `--json`, the last line on stdout is one JSON object.

mod apt;
mod bench;
mod bpf_linker;
mod build_ebpf;
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

use clap::{Parser, Subcommand};

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
    /// Measure what the documentation quotes
    Bench(bench::BenchArgs),
    /// Boot other kernels in virtual machines and run the daemon there
    Vm(vm::VmArgs),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Setup(arguments) => setup::run(&arguments),
        Chore::BuildEbpf(arguments) => build_ebpf::run(&arguments),
        Chore::Run(arguments) => run::run(arguments),
        Chore::Test(arguments) => test::run(&arguments),
        Chore::Bench(arguments) => bench::run(arguments),
        Chore::Vm(arguments) => vm::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: RUST_BACKTRACE would bury the words in a backtrace.
            workspace::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
