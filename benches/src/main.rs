//! `anycast-benches`: the numbers that the documentation quotes. `cargo xtask bench` builds and starts it, as root where
//! that is needed.
//!
//! Progress goes to stderr; with `--json` the last line on stdout is one object.

mod detect;
mod failover;
mod poll;
mod programs;
mod replay;

use std::process::ExitCode;

use anycast_tests::interrupt::{self, Interrupted};
use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Run the lab's failover several times and give the spread of each latency
    Failover(failover::FailoverArgs),
    /// What a packet costs in the kernel programs, against an empty one
    Programs(programs::ProgramsArgs),
    /// Read the counters as every tick does, of up to 256 services on 128 CPUs
    Poll(poll::PollArgs),
    /// What the engine makes of every simulated scenario; needs no root
    Detect(detect::DetectArgs),
    /// How fast a recording of samples is replayed; needs no root
    Replay(replay::ReplayArgs),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().bench {
        Bench::Detect(arguments) => detect::run(&arguments),
        Bench::Replay(arguments) => replay::run(&arguments),
        _ if !nix::unistd::geteuid().is_root() => not_root(),
        Bench::Failover(arguments) => failover::run(&arguments),
        Bench::Programs(arguments) => programs::run(&arguments),
        Bench::Poll(arguments) => poll::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::check().is_err() => {
            eprintln!("{Interrupted}");
            ExitCode::from(interrupt::EXIT_CODE as u8)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn not_root() -> Result<()> {
    bail!("benchmarks load BPF programs and make network namespaces: they need root; `cargo xtask bench` uses sudo");
}
