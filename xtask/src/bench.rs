//! `cargo xtask bench`: builds and runs the benchmarks, which are a program of their own.

use anyhow::Result;

use crate::launch::become_root_program;
use crate::setup;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct BenchArgs {
    /// Which benchmark, and its arguments: `failover`, `programs` or `poll`; `--help` tells more
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "ARGS"
    )]
    words: Vec<String>,
}

pub(crate) fn run(arguments: BenchArgs) -> Result<()> {
    let BenchArgs { words } = arguments;
    if words.first().is_some_and(|name| name == "failover") {
        setup::lab()?;
    }
    let packages = ["anycast-user", "anycast-tests", "anycast-benches"];
    become_root_program(&packages, "anycast-benches", words)
}
