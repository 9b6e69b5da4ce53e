//! Reads what `cargo test` prints.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How many tests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Names of those that failed.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    /// Takes in one line of the test harness's stdout.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(totals) = line.strip_prefix("test result: ") {
            // "ok. 3 passed; 0 failed; 1 ignored; 0 measured; …"
            let words: Vec<&str> = totals.split([' ', ';']).collect();
            for pair in words.windows(2) {
                if let [number, what] = pair
                    && let Ok(number) = number.parse::<u64>()
                {
                    match *what {
                        "passed" => self.passed += number,
                        "failed" => self.failed += number,
                        "ignored" => self.skipped += number,
                        _ => {}
                    }
                }
            }
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some(name) = test.strip_suffix(" ... FAILED")
        {
            self.failures.push(name.to_owned());
        }
    }
}

/// Runs a `cargo test` command; its output streams to `echo` and its results are counted.
pub(crate) fn count(command: &mut Command, echo: &mut impl Write) -> Result<Counts> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            // A test may print bytes that aren't text.
            let line = line.context("cannot read the tests' output")?;
            let line = String::from_utf8_lossy(&line);
            writeln!(echo, "{line}").context("cannot show the tests' output")?;
            counts.read(&line);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() && counts.failed == 0 {
        // It didn't compile, or a test process died before it could say its results.
        counts.failed = 1;
        counts.failures.push(format!("cargo test: {status}"));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test bank::tests::reads ... ok",
            "test bank::tests::maps ... FAILED",
            "test slow ... ignored, takes an hour",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.20s",
        ] {
            counts.read(line);
        }
        let expected = Counts {
            passed: 8,
            failed: 1,
            skipped: 1,
            failures: vec!["bank::tests::maps".to_owned()],
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_command_that_dies_without_results_is_a_failure() {
        let mut echo = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'test result: ok. 2 passed; 0 failed'; exit 3"]);
        let counts = count(&mut command, &mut echo).unwrap();
        assert_eq!(echo, b"test result: ok. 2 passed; 0 failed\n");
        assert_eq!((counts.passed, counts.failed), (2, 1));
    }
}
