//! The kernel programs as this kernel sees them.

use crate::Host;
use anycast_tests::corpus;
use anycast_tests::vm::{CORPUS, Loaded, Message, OBJECT, PROGRAM_TESTS, PROGRAMS, ProgramReport, Report};
use anyhow::{Context, Result, bail, ensure};
use aya::EbpfLoader;
use aya::maps::loaded_maps;
use aya::programs::{Program, loaded_programs};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Read-only globals of the programs and their values, under a name for all of them.
type Settings = (Option<&'static str>, &'static [(&'static str, &'static [u8])]);

/// The settings for `PREEMPT_RT`.
const ATOMIC_SETTINGS: &str = "atomic";
const ATOMIC: (&str, &[u8]) = ("ATOMIC_COUNTERS", &[1]);
const IP_IN_IP: (&str, &[u8]) = ("LOOK_THROUGH_IP_IN_IP", &[1]);
const GUE: (&str, &[u8]) = ("GUE_PORT", &6080_u16.to_ne_bytes());

/// What the programs can be loaded with. The rules of `PREEMPT_RT` hold on every kernel.
const SETTINGS: [Settings; 4] = [
    (None, &[]),
    (Some(ATOMIC_SETTINGS), &[ATOMIC]),
    (Some("tunnels"), &[IP_IN_IP, GUE]),
    (Some("atomic, tunnels"), &[ATOMIC, IP_IN_IP, GUE]),
];

/// What the daemon has in the kernel now: in this machine nobody else loads anything.
pub(crate) fn loaded() -> Result<Loaded> {
    let mut found = Loaded::default();
    for program in loaded_programs() {
        let program = program.context("can't list the loaded programs")?;
        let name = program.name_as_str().map(str::to_owned);
        found.programs.extend(name.map(|name| (name, program.size_jitted())));
    }
    for map in loaded_maps() {
        let map = map.context("can't list the loaded maps")?;
        let name = map.name_as_str().map(str::to_owned);
        found.maps.extend(name.map(|name| (name, map.max_entries())));
    }
    Ok(found)
}

/// Loads every program with all settings and maps as large as the daemon's, and gives what the verifier and the compiler of machine code made of them.
pub(crate) fn measure(daemon: &Loaded) -> Result<Vec<ProgramReport>> {
    let object = fs::read(OBJECT).with_context(|| format!("can't read {OBJECT}"))?;
    let mut reports = Vec::new();
    for (settings, globals) in SETTINGS {
        let with = settings.unwrap_or("usual");
        let mut loader = EbpfLoader::new();
        for (name, entries) in &daemon.maps {
            loader.map_max_entries(name, *entries);
        }
        for (name, value) in globals {
            loader.override_global(name, *value, true);
        }
        let mut programs = loader
            .load(&object)
            .with_context(|| format!("the maps can't be made (settings: {with})"))?;
        for (name, program) in programs.programs_mut() {
            let report = load(program).with_context(|| format!("{name} can't be loaded (settings: {with})"))?;
            reports.push(ProgramReport {
                name: name.to_owned(),
                settings: settings.map(str::to_owned),
                ..report
            });
        }
    }
    Ok(reports)
}

fn load(program: &mut Program) -> Result<ProgramReport> {
    match program {
        Program::Xdp(program) => program.load()?,
        Program::SchedClassifier(program) => program.load()?,
        Program::CgroupSkb(program) => program.load()?,
        _ => bail!("it is of a kind that isn't expected"),
    }
    let info = program.info()?;
    Ok(ProgramReport {
        name: String::new(),
        settings: None,
        verified_instructions: info
            .verified_instruction_count()
            .context("the kernel doesn't tell how many instructions it verified")?,
        jited_bytes: info.size_jitted(),
    })
}

/// Checks that the daemon counts as it has to on this kernel: with `PREEMPT_RT` bottom halves don't keep programs off a
/// CPU, and its counters have to be atomic. Which programs it has loaded is seen by the size of their machine code.
pub(crate) fn check_settings(report: &Report) -> Result<()> {
    let needed = report.preempt_rt.then_some(ATOMIC_SETTINGS);
    for program in &report.programs {
        let loaded = report.loaded.programs.get(&program.name);
        if program.settings.as_deref() == needed
            && let Some(&bytes) = loaded
        {
            ensure!(
                bytes == program.jited_bytes,
                "the daemon's {} has {bytes} bytes of machine code, and with the settings for this kernel ({}) it has {}",
                program.name,
                needed.unwrap_or("the usual ones"),
                program.jited_bytes
            );
        }
    }
    Ok(())
}

/// Runs the tests of the programs; the host counts their results.
pub(crate) fn test(host: &mut Host) -> Result<()> {
    let mut child = Command::new(Path::new(PROGRAMS).join(PROGRAM_TESTS))
        .arg("--test-threads=1")
        // Nothing may be skipped here.
        .env("ANYCAST_PROBE_REQUIRE_ALL", "1")
        .env(corpus::VARIABLE, CORPUS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't start the tests of the kernel programs")?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            host.tell(&Message::TestOutput(line?))?;
        }
    }
    child.wait()?;
    Ok(())
}
