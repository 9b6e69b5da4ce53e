//! `anycast-vm-guest`: the first process of a virtual machine that `cargo xtask vm` boots. It makes the machine usable,
//! runs the lab with the real daemon for each address family, loads the kernel programs with all their settings and runs
//! their tests, says what came of it, and powers the machine off.

mod failover;
mod machine;
mod programs;

use anycast_tests::binaries::Binaries;
use anycast_tests::node::Family;
use anycast_tests::vm::{Loaded, MESSAGE_PORT, Message, PROGRAM_TESTS, PROGRAMS, Report};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let result = if std::process::id() == 1 {
        machine::boot_and_run(|| Command::new("/proc/self/exe"))
    } else {
        check()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // To the kernel's console, which the host shows when something failed.
            eprintln!("anycast-vm-guest: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The way to the host.
struct Host {
    port: File,
}

impl Host {
    fn tell(&mut self, message: &Message) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.port.write_all(&line).context("can't write to the host")
    }

    fn progress(&mut self, words: impl Into<String>) -> Result<()> {
        self.tell(&Message::Progress(words.into()))
    }
}

fn check() -> Result<()> {
    let port = File::options().write(true).open(MESSAGE_PORT);
    let mut host = Host {
        port: port.with_context(|| format!("can't open {MESSAGE_PORT}"))?,
    };
    let kernel = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    host.progress(format!("Linux {kernel} runs"))?;
    let mut report = Report {
        kernel,
        preempt_rt: machine::is_preempt_rt(),
        link_kind: None,
        ingress: None,
        egress: None,
        families: Vec::new(),
        loaded: Loaded::default(),
        programs: Vec::new(),
        surprises: Vec::new(),
    };
    let binaries = Binaries::find()?;
    for family in Family::ALL {
        failover::check(family, &binaries, &mut report, &mut host)?;
    }
    host.progress("loading the kernel programs with all their settings")?;
    match programs::measure(&report.loaded) {
        Ok(measured) => report.programs = measured,
        Err(error) => report.surprises.push(format!("the kernel programs: {error:#}")),
    }
    if let Err(error) = programs::check_settings(&report) {
        report.surprises.push(format!("{error:#}"));
    }
    host.progress("testing the kernel programs with crafted packets")?;
    if let Err(error) = programs::test(&mut host) {
        report.surprises.push(format!("{PROGRAMS}/{PROGRAM_TESTS}: {error:#}"));
    }
    host.tell(&Message::Report(report))
}
