//! Answers that have left the servers' sockets, as far as that proves something.
//!
//! They are counted as they leave sockets and again at the uplinks. That they are missing there proves that they are lost
//! in between only where the program that counts them there would have seen them. So nothing counts before a look, which
//! began after it had left its socket, has found that program at every uplink, and found that it had been there since the
//! look before.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::Status;

/// Whether anything of that is known.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// A program counts what leaves sockets.
    counted: AtomicBool,
    /// The last look found all as it should be.
    confirmed: AtomicBool,
}

/// What is known of a service.
#[derive(Debug, Default)]
pub(super) struct SentAnswers {
    /// That left sockets before the last good look.
    confirmed: AtomicU64,
    /// Answers at the uplinks at the last tick; of the sampling thread alone, as the next.
    at_uplinks: AtomicU64,
    /// That had left sockets when one left by an uplink last: they were not lost.
    arrived: AtomicU64,
}

impl Sent {
    pub(super) fn is_believed(&self) -> bool {
        // Before what was confirmed.
        self.confirmed.load(Acquire) && self.counted.load(Relaxed)
    }
}

impl SentAnswers {
    /// How many have left sockets as far as that proves something. It grows when some left sockets, and nothing has left by
    /// an uplink since.
    pub(super) fn proven(&self, at_uplinks: u64, sent: u64) -> u64 {
        if self.at_uplinks.swap(at_uplinks, Relaxed) != at_uplinks {
            self.arrived.store(sent, Relaxed);
        }
        self.arrived.load(Relaxed).max(self.confirmed.load(Relaxed))
    }
}

impl Status {
    /// Says that answers are counted from now on as they leave the servers' sockets, or not any more.
    pub fn set_sent_counted(&self, counted: bool) {
        self.sent.counted.store(counted, Relaxed);
    }

    /// Has `all_pass` look whether what leaves the host passes the counters at the uplinks, and has done so since it looked
    /// before. If so, the answers that had left sockets until now may prove something; if not, none do. It only looks while
    /// that matters.
    pub fn confirm_sent(&self, all_pass: impl FnOnce() -> bool) {
        let look = || {
            let services = 0..self.services.len();
            let sent: Vec<u64> = services.map(|service| self.bank.local_answers(service)).collect();
            let confirmed = all_pass();
            if confirmed {
                for (status, sent) in self.services.iter().zip(sent) {
                    status.sent.confirmed.store(sent, Relaxed);
                }
            }
            confirmed
        };
        let confirmed = self.wants_second_proof() && self.sent.counted.load(Relaxed) && look();
        // After what was confirmed.
        self.sent.confirmed.store(confirmed, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_an_uplink_or_may_have_proves_nothing() {
        let answers = SentAnswers::default();
        let confirm = |sent| answers.confirmed.store(sent, Relaxed);
        assert_eq!(answers.proven(7, 10), 10, "where it begins");
        assert_eq!(answers.proven(7, 13), 10, "nobody has looked since");
        confirm(12);
        assert_eq!(answers.proven(7, 14), 12);
        // 20 had left sockets, and one of them came out: none of these is lost.
        assert_eq!(answers.proven(8, 20), 20);
        confirm(18);
        assert_eq!(answers.proven(8, 21), 20);
        confirm(21);
        assert_eq!(answers.proven(8, 30), 21);
    }
}
