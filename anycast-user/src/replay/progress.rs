//! How far a long replay is, for who waits for it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Often enough to be seen to move.
const INTERVAL: Duration = Duration::from_millis(250);
/// The clock is not read for each packet.
const PACKETS: u64 = 1 << 12;

/// A line on stderr that is overwritten, and taken away at the end.
#[derive(Debug)]
pub(super) struct Progress {
    is_wanted: bool,
    is_shown: bool,
    next: Instant,
    total: u64,
}

impl Progress {
    /// Tells of a file of `total` bytes (0: nobody knows), if there is somebody to read it.
    pub(super) fn on_stderr(total: u64) -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            is_shown: false,
            next: Instant::now() + INTERVAL,
            total,
        }
    }

    /// So many packets and bytes have gone by.
    pub(super) fn tell(&mut self, packets: u64, bytes: u64) {
        if !self.is_wanted || !packets.is_multiple_of(PACKETS) || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + INTERVAL;
        self.is_shown = true;
        // It is for comfort: a terminal that went away is no reason to stop.
        let _ = match (bytes * 100).checked_div(self.total) {
            Some(percent) => write!(io::stderr(), "\r{packets} packets, {percent} %"),
            None => write!(io::stderr(), "\r{packets} packets"),
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            /// Back to the start of the line, and empty to its end.
            const ERASE: &str = "\r\x1b[K";
            let _ = write!(io::stderr(), "{ERASE}");
        }
    }
}
