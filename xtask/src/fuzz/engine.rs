//! libFuzzer, as the fuzz target's main program: its arguments, and what it says.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anycast_tests::corpus;
use anycast_tests::process::die_with_parent;
use anyhow::{Context, Result};
use serde::Serialize;

use super::build::Target;
use super::output::Output;
use crate::workspace::{say, stream};

/// The longest input: more than a full Ethernet frame.
const INPUT_MAX_BYTES: u32 = 2048;
/// An input that takes this long hangs.
const HANG: Duration = Duration::from_secs(5);
/// How often it says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A run that has ended.
pub(super) struct Ended {
    pub(super) seconds: f64,
    pub(super) inputs: u64,
    pub(super) coverage: u64,
    pub(super) crash: Option<Crash>,
}

/// An input that must not be.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Crash {
    /// The file that it is in; `null` where the target ended without naming one.
    pub(super) input: Option<PathBuf>,
    /// What the target said.
    pub(super) why: String,
}

impl Target {
    /// Fuzzes from the corpus; inputs that reach something new are put into `found`.
    pub(super) fn fuzz(&self, duration: Duration, found: &Path) -> Result<Ended> {
        fs::create_dir_all(&self.crashes).with_context(|| format!("cannot make {}", self.crashes.display()))?;
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={}", duration.as_secs()))
            .arg(format!("-max_len={INPUT_MAX_BYTES}"))
            .arg("-print_final_stats=1")
            // New inputs are put into the first directory, and only there.
            .args([found, &corpus::directory()]);
        watch(command)
    }

    /// Runs one input.
    pub(super) fn run_one(&self, input: &Path) -> Result<Ended> {
        fs::metadata(input).with_context(|| format!("cannot read {}", input.display()))?;
        let mut command = self.command();
        command.arg(input);
        let mut ended = watch(command)?;
        ended.inputs = 1;
        if let Some(crash) = &mut ended.crash {
            crash.input = Some(input.to_owned());
        }
        Ok(ended)
    }

    /// Adds to `corpus` the inputs of `found` that reach what none in `corpus` does.
    pub(super) fn merge(&self, corpus: &Path, found: &Path) -> Result<()> {
        stream(self.command().args([
            OsStr::new("-merge=1"),
            "-use_counters=0".as_ref(),
            corpus.as_ref(),
            found.as_ref(),
        ]))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-artifact_prefix={}/", self.crashes.display()))
            .arg(format!("-timeout={}", HANG.as_secs()));
        die_with_parent(&mut command);
        command
    }
}

/// Lets it run, and says how far it is and whatever it says that isn't just that.
fn watch(mut command: Command) -> Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let (sender, lines) = channel();
    let stderr = child.stderr.take().context("there is no standard error to read")?;
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let start = Instant::now();
    let mut output = Output::default();
    let mut next = start + PROGRESS_INTERVAL;
    loop {
        match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                output.read(&line);
                if output.has_crash {
                    eprintln!("{line}");
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                next += PROGRESS_INTERVAL;
                say(format!(
                    "  {:3.0} s  {} places of the code reached by {} different inputs",
                    start.elapsed().as_secs_f64(),
                    output.coverage,
                    output.corpus
                ));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().context("cannot wait for the fuzz target")?;
    Ok(output.end(start.elapsed(), status))
}
