//! `cargo xtask test`: format, lints and every test, after all the set-up that they need.

use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::time::Instant;

use anycast_tests::tools;
use anyhow::{Result, bail, ensure};
use nix::unistd::geteuid;
use serde::Serialize;

use crate::test_output::{self, Counts};
use crate::workspace::{cargo, root, say, status};
use crate::{build_ebpf, setup, vm};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct TestArgs {
    /// Print the results as one JSON object
    #[arg(long)]
    json: bool,
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

pub(crate) fn run(arguments: &TestArgs) -> Result<()> {
    let report = Report::new(tiers(arguments)?);
    report.say();
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    ensure!(report.failed == 0, "{} of the checks and tests failed", report.failed);
    if let Some(filter) = &arguments.filter {
        ensure!(report.passed + report.skipped > 0, "no test has {filter:?} in its name");
    }
    Ok(())
}

fn tiers(arguments: &TestArgs) -> Result<Vec<Tier>> {
    setup::lab()?;
    // Before the lints too: the daemon's build script embeds the object.
    build_ebpf::build()?;
    let mut tiers = Vec::new();
    if arguments.filter.is_none() {
        tiers.push(tier("format", || {
            check(host_cargo().args(["fmt", "--all", "--check"]))
        })?);
        tiers.push(tier("lints", || {
            check(host_cargo().args(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]))
        })?);
        tiers.push(tier("bpf lints", || Ok(single(build_ebpf::check().is_ok())))?);
    }
    tiers.push(tier("unit", || {
        // Binaries too: the tests of the next tier run the daemon.
        let built = check(host_cargo().args(["build", "--workspace", "--bins"]))?;
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
        tiers.push(tier("kernels", vm::test)?);
    }
    Ok(tiers)
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
    let mut command = host_cargo();
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

fn host_cargo() -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(root());
    command
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
