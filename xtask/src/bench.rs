//! `cargo xtask bench`: builds and runs the benchmarks, which are a program of their own.

use std::convert::Infallible;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::launch::{become_program, become_root_program};
use crate::setup;

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Print the results as one JSON object
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    name: Name,
}

/// Which benchmark. Its arguments are understood by the program.
#[derive(Subcommand)]
enum Name {
    /// Run the lab's failover several times and give the spread of each latency
    #[command(disable_help_flag = true)]
    Failover(PassedOn),
    /// What a packet costs in the kernel programs, against an empty one
    #[command(disable_help_flag = true)]
    Programs(PassedOn),
    /// Read the counters as every tick does, of up to 256 services on 128 CPUs
    #[command(disable_help_flag = true)]
    Poll(PassedOn),
    /// What the engine makes of every simulated scenario; needs no root
    #[command(disable_help_flag = true)]
    Detect(PassedOn),
    /// How fast a recording of samples is replayed; needs no root
    #[command(disable_help_flag = true)]
    Replay(PassedOn),
}

#[derive(Args)]
struct PassedOn {
    /// The benchmark's own arguments; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    words: Vec<String>,
}

impl BenchArgs {
    /// Whether one JSON object is wanted, before or after the name.
    pub(crate) fn json(&self) -> bool {
        let (Name::Failover(PassedOn { words })
        | Name::Programs(PassedOn { words })
        | Name::Poll(PassedOn { words })
        | Name::Detect(PassedOn { words })
        | Name::Replay(PassedOn { words })) = &self.name;
        self.json || words.iter().any(|word| word == "--json")
    }
}

/// Doesn't return when all is well: xtask becomes the program.
pub(crate) fn run(arguments: BenchArgs) -> Result<Infallible> {
    let json = arguments.json();
    let (name, PassedOn { mut words }) = match arguments.name {
        Name::Failover(passed_on) => {
            setup::lab()?;
            ("failover", passed_on)
        }
        Name::Programs(passed_on) => ("programs", passed_on),
        Name::Poll(passed_on) => ("poll", passed_on),
        Name::Detect(passed_on) => ("detect", passed_on),
        Name::Replay(passed_on) => ("replay", passed_on),
    };
    let needs_root = !matches!(name, "detect" | "replay");
    words.retain(|word| word != "--json");
    words.insert(0, name.to_owned());
    words.extend(json.then(|| "--json".to_owned()));
    if !needs_root {
        return become_program(&["anycast-benches"], "anycast-benches", words);
    }
    let packages = ["anycast-user", "anycast-tests", "anycast-benches"];
    become_root_program(&packages, "anycast-benches", words)
}
