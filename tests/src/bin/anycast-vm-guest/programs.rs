//! The kernel programs as this kernel sees them.

use crate::Host;
use anycast_tests::vm::{Message, PROGRAM_TESTS, PROGRAMS, ProgramReport};
use anyhow::{Context, Result};
use aya::programs::loaded_programs;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// All programs that are loaded now. In this machine nobody but the daemon loads any; two of a name are the same.
pub(crate) fn loaded() -> Result<Vec<ProgramReport>> {
    let mut found = BTreeMap::new();
    for program in loaded_programs() {
        let program = program.context("can't list the loaded programs")?;
        let name = program.name_as_str().unwrap_or("?").to_owned();
        found.insert(
            name.clone(),
            ProgramReport {
                name,
                verified_instructions: program.verified_instruction_count(),
                jited_bytes: program.size_jitted(),
            },
        );
    }
    Ok(found.into_values().collect())
}

/// Runs the tests of the programs; the host counts their results.
pub(crate) fn test(host: &mut Host) -> Result<()> {
    let mut child = Command::new(Path::new(PROGRAMS).join(PROGRAM_TESTS))
        .arg("--test-threads=1")
        // Nothing may be skipped here.
        .env("ANYCAST_PROBE_REQUIRE_ALL", "1")
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
