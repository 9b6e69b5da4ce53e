//! `cargo xtask test`: format, lints and every test, after all the set-up that they need.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Instant;

use anycast_tests::{differential, tools};
use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::test_output::{self, Counts};
use crate::workspace::{say, status};
use crate::{Outcome, build_ebpf, cargo, fuzz, setup, vm};

/// The name of the tier that boots other kernels.
const KERNELS: &str = "kernels";
/// The name of the tier that fuzzes.
const FUZZ: &str = "fuzz";
/// Tiers that need what a developer's machine may not have.
const MAY_BE_SKIPPED: [&str; 2] = [KERNELS, FUZZ];

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct TestArgs {
    /// Print the results as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Run only the differential test, with this many mutated packets: the loaded programs have to count what the
    /// library on the host counts, and to pass every packet as it was
    #[arg(long, value_name = "N", conflicts_with = "filter", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Run only the tests whose name contains this, without the checks of format and lints
    filter: Option<String>,
}

/// One group of checks.
#[derive(Serialize)]
struct Tier {
    name: &'static str,
    passed: u64,
    failed: u64,
    skipped: u64,
    seconds: f64,
    failures: Vec<String>,
}

/// The results of all tiers.
#[derive(Serialize)]
struct Report {
    passed: u64,
    failed: u64,
    skipped: u64,
    tiers: Vec<Tier>,
    /// What the differential test tells of itself, with `--frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    differential: Option<Value>,
}

pub(crate) fn run(arguments: &TestArgs) -> Result<Outcome> {
    let report = match arguments.frames {
        Some(frames) => compare_frames(frames)?,
        None => Report::new(tiers(arguments)?),
    };
    report.say();
    let judgement = report.judge(arguments.filter.as_deref());
    Outcome::judged(&report, judgement)
}

fn tiers(arguments: &TestArgs) -> Result<Vec<Tier>> {
    setup::lab()?;
    // Before the lints too: the daemon's build script embeds the object.
    build_ebpf::build()?;
    let filter = arguments.filter.as_deref();
    let mut tiers = Vec::new();
    if arguments.filter.is_none() {
        tiers.push(tier("format", || {
            check(cargo::command().args(["fmt", "--all", "--check"]))
        })?);
        tiers.push(tier("lints", || {
            check(cargo::command().args(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]))
        })?);
        tiers.push(bpf_lints()?);
        tiers.push(tier(FUZZ, fuzz::test)?);
    }
    tiers.push(tier("unit", || {
        // Binaries too: the tests of the next tier run the daemon.
        let built = check(cargo::command().args(["build", "--workspace", "--bins"]))?;
        if built.failed > 0 {
            return Ok(built);
        }
        cargo_test(filter, &["--workspace", "--exclude", "anycast-tests"], &[])
    })?);
    tiers.push(tier("end to end", || {
        // One at a time: each has several namespaces' worth of processes and measures milliseconds.
        cargo_test(filter, &["--package", "anycast-tests"], &["--test-threads=1"])
    })?);
    if arguments.filter.is_none() {
        tiers.push(tier(KERNELS, vm::test)?);
    }
    Ok(tiers)
}

/// The lines that only the BPF target compiles are for a compiler of that target.
fn bpf_lints() -> Result<Tier> {
    let toolchain = setup::toolchain()?;
    let name = if toolchain.cargo_clippy().is_some() {
        "bpf lints"
    } else {
        say(
            "this BPF toolchain has no clippy: its rustc checks the programs; the host's clippy has linted them but for \
             the lines of target_arch = \"bpf\"",
        );
        "bpf check"
    };
    tier(name, || Ok(single(build_ebpf::lint(&toolchain)?.success())))
}

fn tier(name: &'static str, run: impl FnOnce() -> Result<Counts>) -> Result<Tier> {
    say(format!("== {name}"));
    let start = Instant::now();
    let Counts {
        passed,
        failed,
        skipped,
        failures,
    } = run()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Tier {
        name,
        passed,
        failed,
        skipped,
        seconds,
        failures,
    })
}

/// The differential test alone, in a build that is fast enough for millions of packets.
fn compare_frames(frames: u64) -> Result<Report> {
    build_ebpf::build()?;
    let found = NamedTempFile::new().context("cannot make a temporary file")?;
    let path = found
        .path()
        .to_str()
        .context("the path of a temporary file is no text")?;
    let variables = [
        (differential::FRAMES_VARIABLE, frames.to_string()),
        (differential::REPORT_VARIABLE, path.to_owned()),
    ];
    let tier = tier("differential", || {
        let packages = ["--release", "--package", "anycast-tests", "--test", "programs"];
        cargo_test_with(Some("differential::"), &packages, &["--test-threads=1"], &variables)
    })?;
    let mut report = Report::new(vec![tier]);
    let found = fs::read(found.path()).context("cannot read what the differential test tells")?;
    // Nothing after a failure, of which the test's output says more.
    report.differential = serde_json::from_slice(&found).ok();
    ensure!(
        report.failed > 0 || report.differential.is_some(),
        "the differential test ended without telling what it compared"
    );
    Ok(report)
}

fn cargo_test(filter: Option<&str>, packages: &[&str], harness: &[&str]) -> Result<Counts> {
    cargo_test_with(filter, packages, harness, &[])
}

/// Runs `cargo test` as root, on which the tests with namespaces and BPF programs depend, with `more` variables.
fn cargo_test_with(
    filter: Option<&str>,
    packages: &[&str],
    harness: &[&str],
    more: &[(&str, String)],
) -> Result<Counts> {
    let mut variables = vec![
        // A test that finds something missing fails instead of being skipped.
        ("ANYCAST_PROBE_REQUIRE_ALL", "1".to_owned()),
        (tools::HOME_VARIABLE, tools::home().display().to_string()),
    ];
    variables.extend_from_slice(more);
    let mut command = cargo::command();
    command.args(["test", "--no-fail-fast"]).args(packages);
    if !geteuid().is_root() {
        command.arg("--config").arg(sudo_runner(&variables)?);
    }
    command.args(filter).arg("--").args(harness).envs(variables);
    test_output::count(&mut command, &mut io::stderr())
}

/// Cargo configuration that runs test binaries through sudo, with the few variables that they read.
fn sudo_runner(variables: &[(&str, String)]) -> Result<OsString> {
    if tools::find_on_machine("sudo").is_none() {
        bail!("the tests make network namespaces and load BPF programs: run this as root, or install sudo");
    }
    let mut runner = vec!["sudo".to_owned(), "env".to_owned()];
    runner.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(format!("target.'cfg(all())'.runner={runner:?}").into())
}

/// Runs a command that as a whole passes or fails.
fn check(command: &mut Command) -> Result<Counts> {
    Ok(single(status(command)?.success()))
}

fn single(passed: bool) -> Counts {
    Counts {
        passed: passed.into(),
        failed: (!passed).into(),
        ..Counts::default()
    }
}

impl Report {
    fn new(tiers: Vec<Tier>) -> Self {
        let sum = |count: fn(&Tier) -> u64| tiers.iter().map(count).sum();
        Self {
            passed: sum(|tier| tier.passed),
            failed: sum(|tier| tier.failed),
            skipped: sum(|tier| tier.skipped),
            tiers,
            differential: None,
        }
    }

    /// A test that is skipped has shown nothing, so it is no success either. The exception is what a developer's machine
    /// may lack: a C++ compiler, and kernels that its distribution doesn't have. Continuous integration (`CI` is set) is
    /// to have them.
    fn judge(&self, filter: Option<&str>) -> Result<()> {
        ensure!(self.failed == 0, "{} of the checks and tests failed", self.failed);
        let is_ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let skipped: u64 = self
            .tiers
            .iter()
            .filter(|tier| is_ci || !MAY_BE_SKIPPED.contains(&tier.name))
            .map(|tier| tier.skipped)
            .sum();
        ensure!(skipped == 0, "{skipped} of the tests were skipped");
        if let Some(filter) = filter {
            ensure!(self.passed > 0, "no test has {filter:?} in its name");
        }
        Ok(())
    }

    fn say(&self) {
        say("== summary");
        for tier in &self.tiers {
            let Tier {
                name,
                passed,
                failed,
                skipped,
                seconds,
                failures,
            } = tier;
            say(format!(
                "{name:<11} {passed:>4} passed {failed:>3} failed {skipped:>3} skipped {seconds:>6.1} s"
            ));
            for failure in failures {
                say(format!("  failed: {failure}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_skipped_and_missing_tests_are_no_success() {
        let judge = |passed, failed, skipped, filter| {
            let counts = Counts {
                passed,
                failed,
                skipped,
                failures: Vec::new(),
            };
            Report::new(vec![tier("unit", || Ok(counts)).unwrap()])
                .judge(filter)
                .is_ok()
        };
        assert!(judge(2, 0, 0, None));
        assert!(!judge(2, 1, 0, None));
        assert!(!judge(2, 0, 1, None));
        assert!(judge(1, 0, 0, Some("name")));
        assert!(!judge(0, 0, 0, Some("name")));
    }
}
