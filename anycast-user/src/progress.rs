//! How far something long is, for who waits for it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Often enough to be seen to move.
const INTERVAL: Duration = Duration::from_millis(250);

/// A line on stderr that is overwritten, and taken away at the end.
#[derive(Debug)]
pub(crate) struct Progress {
    is_wanted: bool,
    is_shown: bool,
    next: Instant,
    /// What is counted.
    what: &'static str,
    /// The clock is read once for so many of them.
    at_once: u64,
    total: u64,
}

impl Progress {
    /// Tells how many of `what` have gone by of a file of `total` bytes (0: nobody knows), if there is somebody to read it.
    /// Whether it is time is asked once for `at_once` of them.
    pub(crate) fn on_stderr(what: &'static str, at_once: u64, total: u64) -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            is_shown: false,
            next: Instant::now() + INTERVAL,
            what,
            at_once,
            total,
        }
    }

    /// So many have gone by, and bytes.
    pub(crate) fn tell(&mut self, count: u64, bytes: u64) {
        if !self.is_wanted || !count.is_multiple_of(self.at_once) || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + INTERVAL;
        self.is_shown = true;
        let what = self.what;
        // It is for comfort: a terminal that went away is no reason to stop.
        let _ = match (bytes * 100).checked_div(self.total) {
            Some(percent) => write!(io::stderr(), "\r{count} {what}, {percent} %"),
            None => write!(io::stderr(), "\r{count} {what}"),
        };
    }

    /// Takes the line away, before something else is written there.
    pub(crate) fn clear(&mut self) {
        if self.is_shown {
            /// Back to the start of the line, and empty to its end.
            const ERASE: &str = "\r\x1b[K";
            let _ = write!(io::stderr(), "{ERASE}");
            self.is_shown = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
