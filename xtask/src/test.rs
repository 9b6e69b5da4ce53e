//! `cargo xtask test`: format, lints and every test, after all the set-up that they need.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::time::Instant;

use anycast_tests::tools;
use anyhow::{Result, bail, ensure};
use nix::unistd::geteuid;
use serde::Serialize;

use crate::test_output::{self, Counts};
use crate::workspace::{say, status};
use crate::{Outcome, build_ebpf, cargo, setup, vm};

/// The name of the tier that boots other kernels.
const KERNELS: &str = "kernels";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct TestArgs {
    /// Print the results as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
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
}

pub(crate) fn run(arguments: &TestArgs) -> Result<Outcome> {
    let report = Report::new(tiers(arguments)?);
    report.say();
    let judgement = report.judge(arguments.filter.as_deref());
    Outcome::judged(&report, judgement)
}

fn tiers(arguments: &TestArgs) -> Result<Vec<Tier>> {
    setup::lab()?;
    // Before the lints too: the daemon's build script embeds the object.
    build_ebpf::build()?;
    let mut tiers = Vec::new();
    if arguments.filter.is_none() {
        tiers.push(tier("format", || {
            check(cargo::command().args(["fmt", "--all", "--check"]))
        })?);
        tiers.push(tier("lints", || {
            check(cargo::command().args(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]))
        })?);
        tiers.push(bpf_lints()?);
    }
    tiers.push(tier("unit", || {
        // Binaries too: the tests of the next tier run the daemon.
        let built = check(cargo::command().args(["build", "--workspace", "--bins"]))?;
        if built.failed > 0 {
            return Ok(built);
        }
        cargo_test(arguments, &["--workspace", "--exclude", "anycast-tests"], &[])
    })?);
    tiers.push(tier("end to end", || {
        // One at a time: each has several namespaces' worth of processes and measures milliseconds.
        cargo_test(arguments, &["--package", "anycast-tests"], &["--test-threads=1"])
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

/// Runs `cargo test` as root, on which the tests with namespaces and BPF programs depend.
fn cargo_test(arguments: &TestArgs, packages: &[&str], harness: &[&str]) -> Result<Counts> {
    let mut command = cargo::command();
    command
        .args(["test", "--no-fail-fast"])
        .args(packages)
        // A test that finds something missing fails instead of being skipped.
        .env("ANYCAST_PROBE_REQUIRE_ALL", "1")
        .env(tools::HOME_VARIABLE, tools::home());
    if !geteuid().is_root() {
        command.arg("--config").arg(sudo_runner()?);
    }
    command.args(&arguments.filter).arg("--").args(harness);
    test_output::count(&mut command, &mut io::stderr())
}

/// Cargo configuration that runs test binaries through sudo, with the few variables that they read.
fn sudo_runner() -> Result<OsString> {
    if tools::find_on_machine("sudo").is_none() {
        bail!("the tests make network namespaces and load BPF programs: run this as root, or install sudo");
    }
    let home = format!("{}={}", tools::HOME_VARIABLE, tools::home().display());
    let runner = ["sudo", "env", "ANYCAST_PROBE_REQUIRE_ALL=1", &home];
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
        }
    }

    /// A test that is skipped has shown nothing, so it is no success either. The exception are kernels that a
    /// developer's distribution doesn't have; continuous integration (`CI` is set) is to have them.
    fn judge(&self, filter: Option<&str>) -> Result<()> {
        ensure!(self.failed == 0, "{} of the checks and tests failed", self.failed);
        let is_ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let skipped: u64 = self
            .tiers
            .iter()
            .filter(|tier| is_ci || tier.name != KERNELS)
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
