//! `cargo xtask fuzz`: arbitrary packets through the library that the kernel programs are made of.
//!
//! The engine is libFuzzer. It needs a C++ compiler and no nightly Rust: the coverage counters are a pass of LLVM that
//! every rustc has. Sanitizers would need a nightly, and find what unsafe code does wrong, of which the library has none.

mod build;
mod engine;
mod kept;
mod output;

use std::path::PathBuf;
use std::time::Duration;

use anycast_tests::corpus;
use anyhow::{Result, anyhow};
use serde::Serialize;
use serde_json::json;

use crate::Outcome;
use crate::test_output::Counts;
use crate::workspace::say;
use engine::{Crash, Ended};

/// How long the tests fuzz: long enough to come upon what isn't rare.
const TEST_DURATION: Duration = Duration::from_secs(20);

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct FuzzArgs {
    /// How long to fuzz
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Add the inputs that reach something new to tests/corpus/frame
    #[arg(long)]
    keep: bool,
    /// Run only this input, such as one that made a crash
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "keep"])]
    input: Option<PathBuf>,
    /// Write the crafted packets to tests/corpus/frame, without fuzzing
    #[arg(long, conflicts_with_all = ["seconds", "keep", "input"])]
    seed_corpus: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What came of fuzzing.
#[derive(Serialize)]
struct Report {
    ok: bool,
    seconds: f64,
    /// Inputs that were run.
    inputs: u64,
    /// Places in the code that they reached.
    coverage: u64,
    /// Inputs that it started from.
    corpus: usize,
    /// Names of the files that were added to them, with `--keep`.
    kept: Vec<String>,
    /// The input that must not be, if there is one.
    crash: Option<Crash>,
}

pub(crate) fn run(arguments: &FuzzArgs) -> Result<Outcome> {
    if arguments.seed_corpus {
        let written = kept::seed()?;
        say(format!(
            "{written} crafted packets are in {}",
            corpus::directory().display()
        ));
        return Outcome::success(&json!({ "directory": corpus::directory(), "seeds": written }));
    }
    let target = build::build()?;
    let report = match &arguments.input {
        Some(input) => Report::new(target.run_one(input)?, 1),
        None => fuzz(&target, Duration::from_secs(arguments.seconds), arguments.keep)?,
    };
    report.say();
    let judgement = report.judge();
    Outcome::judged(&report, judgement)
}

/// A short run as a part of the tests, and what they check of every crate.
pub(crate) fn test() -> Result<Counts> {
    if let Err(error) = build::compiler() {
        say(format!("SKIPPED: fuzzing: {error:#}"));
        return Ok(Counts {
            skipped: 1,
            ..Counts::default()
        });
    }
    let mut counts = build::lint()?;
    let report = fuzz(&build::build()?, TEST_DURATION, false)?;
    report.say();
    match report.judge() {
        Ok(()) => counts.passed += 1,
        Err(error) => {
            counts.failed += 1;
            counts.failures.push(format!("{error:#}"));
        }
    }
    Ok(counts)
}

fn fuzz(target: &build::Target, duration: Duration, keep: bool) -> Result<Report> {
    let corpus = corpus::read()?.len();
    say(format!(
        "fuzzing for {} s from the {corpus} inputs in {}",
        duration.as_secs(),
        corpus::directory().display()
    ));
    let found = tempfile::tempdir()?;
    let mut report = Report::new(target.fuzz(duration, found.path())?, corpus);
    if keep && report.ok {
        report.kept = kept::keep(target, found.path())?;
    }
    Ok(report)
}

impl Report {
    fn new(ended: Ended, corpus: usize) -> Self {
        let Ended {
            seconds,
            inputs,
            coverage,
            crash,
        } = ended;
        Self {
            ok: crash.is_none(),
            seconds: (seconds * 10.0).round() / 10.0,
            inputs,
            coverage,
            corpus,
            kept: Vec::new(),
            crash,
        }
    }

    fn judge(&self) -> Result<()> {
        match &self.crash {
            None => Ok(()),
            Some(Crash {
                input: Some(input),
                why,
            }) => Err(anyhow!(
                "{why}; the input is {0}, and `cargo xtask fuzz --input {0}` runs it alone",
                input.display()
            )),
            Some(Crash { input: None, why }) => Err(anyhow!("{why}")),
        }
    }

    fn say(&self) {
        let Self {
            inputs,
            seconds,
            coverage,
            ..
        } = self;
        say(format!(
            "{inputs} inputs in {seconds:.0} s, {coverage} places of the code reached"
        ));
        for name in &self.kept {
            say(format!("  kept {name}"));
        }
    }
}
