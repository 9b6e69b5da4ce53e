//! `cargo xtask run`: builds everything, then runs the lab or, with arguments after `--`, the daemon on this machine.

use anycast_tests::arguments::LabArguments;
use anyhow::Result;

use crate::launch::become_root_program;
use crate::setup;

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    lab: LabArguments,
    /// Run the daemon on this machine with these arguments, instead of the lab
    #[arg(last = true, value_name = "ARGS")]
    daemon: Vec<String>,
}

/// Doesn't return when all is well: xtask becomes the program that it starts, whose exit code and signals are then its
/// own.
pub(crate) fn run(arguments: RunArgs) -> Result<()> {
    let RunArgs { lab, daemon } = arguments;
    if !daemon.is_empty() {
        return become_root_program(&["anycast-user"], "anycast-probe", daemon);
    }
    setup::lab()?;
    let mut words = vec!["failover".to_owned()];
    words.extend(lab.to_words());
    become_root_program(&["anycast-user", "anycast-tests"], "anycast-lab", words)
}
