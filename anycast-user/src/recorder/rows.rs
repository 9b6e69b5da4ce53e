//! Samples that wait to be written until it is known what a burst of probes finds at their moment.
//!
//! The last result is no good where it matters: a server that has just died was answering a moment ago, and a replay would
//! take its death for answers that are lost on their way out. So while there is doubt, a sample waits for the next burst.

use std::{collections::VecDeque, time::Duration};

use crate::{clock::MonotonicTime, detect::Counts};

/// A sample waits no longer than this: then it says what was found last. Bursts in doubt are closer together.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a burst found: probes that were answered, and that were refused.
pub(super) type Found = (u8, u8);

/// A sample of a service, by its index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) at: MonotonicTime,
    pub(super) service: usize,
    pub(super) counts: Counts,
    /// What was found last, until something better is known.
    pub(super) found: Option<Found>,
    /// It waits for the next burst.
    pub(super) is_open: bool,
}

/// Samples in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Rows(VecDeque<Row>);

impl Rows {
    pub(super) fn push(&mut self, row: Row) {
        self.0.push_back(row);
    }

    /// A burst that was sent at `sent_at` has come back: that is what the samples until then waited for.
    pub(super) fn found(&mut self, service: usize, sent_at: MonotonicTime, found: Found) {
        for row in self.0.iter_mut().filter(|row| row.service == service && row.is_open) {
            if row.at <= sent_at {
                row.found = Some(found);
                row.is_open = false;
            }
        }
    }

    /// There is no doubt about a service any more: its samples say what was found before.
    pub(super) fn settle(&mut self, service: usize) {
        for row in self.0.iter_mut().filter(|row| row.service == service) {
            row.is_open = false;
        }
    }

    /// The next sample that can be written.
    pub(super) fn next(&mut self, now: MonotonicTime) -> Option<Row> {
        let is_due = |row: &Row| !row.is_open || now.since(row.at) >= PATIENCE;
        self.0.front().is_some_and(is_due).then(|| self.0.pop_front())?
    }

    /// All that are left, at the end.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Row> + '_ {
        self.0.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> MonotonicTime {
        MonotonicTime(milliseconds * 1_000_000)
    }

    fn rows(open: &[(u64, usize, bool)]) -> Rows {
        let row = |&(milliseconds, service, is_open): &(u64, usize, bool)| Row {
            at: at(milliseconds),
            service,
            counts: Counts::default(),
            found: Some((16, 0)),
            is_open,
        };
        Rows(open.iter().map(row).collect())
    }

    fn written(rows: &mut Rows, milliseconds: u64) -> Vec<(u64, u8)> {
        let next = || rows.next(at(milliseconds));
        let of = |row: Row| (row.at.0 / 1_000_000, row.found.unwrap().0);
        std::iter::from_fn(next).map(of).collect()
    }

    #[test]
    fn samples_in_doubt_say_what_the_next_burst_finds_and_the_order_stays() {
        let mut rows = rows(&[(1, 0, false), (2, 0, true), (2, 1, false), (3, 0, true), (4, 0, true)]);
        assert_eq!(written(&mut rows, 4), [(1, 16)]);
        rows.found(1, at(9), (1, 0));
        assert_eq!(written(&mut rows, 4), []);
        rows.found(0, at(3), (0, 0));
        assert_eq!(written(&mut rows, 5), [(2, 0), (2, 16), (3, 0)]);
        rows.settle(0);
        assert_eq!(written(&mut rows, 5), [(4, 16)]);
    }

    #[test]
    fn no_sample_waits_for_ever() {
        let mut rows = rows(&[(1, 0, true), (2, 0, true)]);
        assert_eq!(written(&mut rows, 250), []);
        assert_eq!(written(&mut rows, 251), [(1, 16)]);
        assert_eq!(rows.rest().count(), 1);
    }
}
