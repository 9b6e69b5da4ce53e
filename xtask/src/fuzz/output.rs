//! Reads what libFuzzer prints.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::engine::{Crash, Ended};

/// What has been learnt from the lines so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Inputs that were run, as far as it has told.
    inputs: u64,
    /// Places in the code that they reached.
    pub(super) coverage: u64,
    /// Inputs that reach something that no other does.
    pub(super) corpus: u64,
    /// Whether something has gone wrong: from then on every line is worth showing.
    pub(super) has_crash: bool,
    panic: Option<String>,
    error: Option<String>,
    artifact: Option<PathBuf>,
}

impl Output {
    pub(super) fn read(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix('#') {
            self.read_status(status);
        } else if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            self.inputs = number.trim().parse().unwrap_or(self.inputs);
        } else if let Some((_, error)) = line.split_once("ERROR: libFuzzer: ") {
            self.has_crash = true;
            self.error = Some(error.to_owned());
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().into());
        } else if let Some((_, place)) = line.split_once("panicked at ") {
            self.has_crash = true;
            self.panic = Some(format!("panicked at {place}"));
        } else if let Some(panic) = self.panic.as_mut().filter(|panic| panic.ends_with(':')) {
            // The message is on the line after the place.
            panic.push(' ');
            panic.push_str(line);
        }
    }

    /// "8388608\tpulse  cov: 52 ft: 90 corp: 33/1kb lim: 4096 exec/s: 2796202 rss: 43Mb"
    fn read_status(&mut self, status: &str) {
        let words: Vec<&str> = status.split_whitespace().collect();
        if let Some(number) = words.first().and_then(|word| word.parse().ok()) {
            self.inputs = number;
        }
        for pair in words.windows(2) {
            let [name, value] = pair else { continue };
            let number = value.split('/').next().and_then(|number| number.parse().ok());
            match (*name, number) {
                ("cov:", Some(number)) => self.coverage = number,
                ("corp:", Some(number)) => self.corpus = number,
                _ => {}
            }
        }
    }

    pub(super) fn end(self, duration: Duration, status: ExitStatus) -> Ended {
        let crash = (!status.success()).then(|| Crash {
            input: self.artifact,
            why: self
                .panic
                .or(self.error)
                .unwrap_or_else(|| format!("the fuzz target ended by itself: {status}")),
        });
        Ended {
            seconds: duration.as_secs_f64(),
            inputs: self.inputs,
            coverage: self.coverage,
            crash,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn ended(lines: &[&str], code: i32) -> Ended {
        let mut output = Output::default();
        for line in lines {
            output.read(line);
        }
        assert_eq!(output.has_crash, code != 0);
        output.end(Duration::from_secs(1), ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn a_run_that_finds_nothing_tells_how_much_it_did() {
        let ended = ended(
            &[
                "INFO: Seed: 2853416233",
                "#170\tINITED cov: 391 ft: 620 corp: 151/8kb exec/s: 0 rss: 33Mb",
                "#8388608\tpulse  cov: 402 ft: 690 corp: 180/12kb lim: 1000 exec/s: 2796202 rss: 43Mb",
                "stat::number_of_executed_units: 9185098",
            ],
            0,
        );
        assert_eq!((ended.inputs, ended.coverage, ended.crash), (9_185_098, 402, None));
    }

    #[test]
    fn a_panic_is_told_with_the_input_that_made_it() {
        let crash = ended(
            &[
                "thread '<unnamed>' (7) panicked at src/main.rs:12:9:",
                "the fast path differs",
                "note: run with `RUST_BACKTRACE=1`",
                "==7== ERROR: libFuzzer: deadly signal",
                "artifact_prefix='./'; Test unit written to target/fuzz/crashes/crash-34",
            ],
            77,
        )
        .crash
        .unwrap();
        assert_eq!(crash.input, Some("target/fuzz/crashes/crash-34".into()));
        assert_eq!(crash.why, "panicked at src/main.rs:12:9: the fast path differs");
    }

    #[test]
    fn a_hang_has_no_panic() {
        let why = ended(&["==7== ERROR: libFuzzer: timeout after 5 seconds"], 70)
            .crash
            .unwrap()
            .why;
        assert_eq!(why, "timeout after 5 seconds");
    }
}
