//! `cargo xtask run`: builds everything, then runs the lab or, with arguments after `--`, the daemon on this machine.

use std::convert::Infallible;

use anycast_tests::arguments::LabArguments;
use anyhow::Result;

use crate::launch::become_root_program;
use crate::setup;

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) lab: LabArguments,
    /// Run the daemon on this machine with these arguments, instead of the lab and its options
    #[arg(last = true, value_name = "ARGS", conflicts_with = "LabArguments")]
    daemon: Vec<String>,
}

/// Doesn't return when all is well: xtask becomes the program that it starts, whose exit code and signals are then its
/// own.
pub(crate) fn run(arguments: RunArgs) -> Result<Infallible> {
    let RunArgs { lab, daemon } = arguments;
    if !daemon.is_empty() {
        return become_root_program(&["anycast-user"], "anycast-probe", daemon);
    }
    setup::lab()?;
    let mut words = vec!["failover".to_owned()];
    words.extend(lab.to_words());
    become_root_program(&["anycast-user", "anycast-tests"], "anycast-lab", words)
}

#[cfg(test)]
mod tests {
    use clap::{Parser, error::ErrorKind};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        run: RunArgs,
    }

    #[test]
    fn options_of_the_lab_are_refused_for_the_daemon() {
        let parse = |words: &str| Program::try_parse_from(words.split(' ')).map(|program| program.run);
        assert_eq!(parse("run -- run --json").unwrap().daemon, ["run", "--json"]);
        assert!(parse("run --json").unwrap().lab.json);
        for words in ["run --json -- run", "run --rate 500 -- run"] {
            let kind = parse(words).err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::ArgumentConflict), "{words}");
        }
    }
}
