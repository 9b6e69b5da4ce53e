//! How many packets the differential test compares, and what it tells while it does: `cargo xtask test --frames N` asks
//! for more than the few that every run of the tests has.

use serde_json::{Value, json};
use std::env;
use std::fs;
use std::io::{self, Write as _, stderr};
use std::time::{Duration, Instant};

/// The environment variable with the number of packets.
pub const FRAMES_VARIABLE: &str = "ANYCAST_PROBE_DIFFERENTIAL_FRAMES";
/// The environment variable with the path of a file for the result, one JSON object.
pub const REPORT_VARIABLE: &str = "ANYCAST_PROBE_DIFFERENTIAL_REPORT";

/// How often a long run says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A run of the differential test.
#[derive(Debug)]
pub struct Run {
    frames: u64,
    start: Instant,
    said: Instant,
}

impl Run {
    /// A run of as many packets as [`FRAMES_VARIABLE`] says, or `unasked`.
    #[must_use]
    pub fn start(unasked: u64) -> Self {
        let asked = env::var(FRAMES_VARIABLE).ok().and_then(|number| number.parse().ok());
        let start = Instant::now();
        Self {
            frames: asked.unwrap_or(unasked),
            start,
            said: start,
        }
    }

    /// How many packets there are to be.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Says now and then how far it is. To be called every few thousand packets: it reads the clock.
    pub fn progress(&mut self, done: u64) {
        if self.said.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.said = Instant::now();
        // Not `eprintln!`, which the test harness keeps to itself.
        _ = writeln!(
            stderr(),
            "  {:3.0} s  {done} of {} packets, no disagreement",
            self.start.elapsed().as_secs_f64(),
            self.frames
        );
    }

    /// Writes the result, if a file for it was named: all packets were compared, and `more` is what else there is to
    /// tell.
    pub fn finish(&self, more: &Value) -> io::Result<()> {
        let Some(path) = env::var_os(REPORT_VARIABLE) else {
            return Ok(());
        };
        let mut report = json!({
            "frames": self.frames,
            "seconds": self.start.elapsed().as_secs_f64(),
            "disagreements": 0,
        });
        if let (Some(report), Some(more)) = (report.as_object_mut(), more.as_object()) {
            report.extend(more.clone());
        }
        fs::write(path, report.to_string())
    }
}
