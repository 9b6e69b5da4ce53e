//! What is remembered of one service of a recording.

use super::{Sample, bursts::Found};
use crate::{detect::Counts, event::EventKind};

/// A service, by its samples and by what became of it.
#[derive(Debug)]
pub(super) struct Service {
    /// The number of its service on its link in the configuration.
    number: usize,
    /// The recording has it.
    is_recorded: bool,
    /// The last sample; nothing before the first.
    last: Option<Counts>,
    /// It has not been judged.
    is_new: bool,
    probes: Found,
    pub(super) tally: Tally,
}

/// What a summary tells of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Samples.
    pub samples: u64,
    /// Queries from its first sample to its last.
    pub queries: u64,
    /// Answers from its first sample to its last.
    pub answers: u64,
    /// Times that its counters ran backwards, and it was watched from zero.
    pub resets: u64,
    /// Withdrawals for its sake.
    pub withdrawals: u64,
    /// Withdrawals that there would have been for its sake.
    pub would_withdraw: u64,
    /// Alerts about it.
    pub alerts: u64,
    /// Withdrawals for its sake that a guard forbade.
    pub refusals: u64,
}

impl Service {
    /// One that the recording has not had yet.
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            is_recorded: false,
            last: None,
            is_new: false,
            probes: Found::default(),
            tally: Tally::default(),
        }
    }

    /// Whether the `number`th service of the configuration can have this place.
    pub(super) fn waits_for(&self, number: usize) -> bool {
        self.number == number && !self.is_recorded
    }

    /// The recording has it.
    pub(super) fn claim(&mut self) {
        self.is_recorded = true;
    }

    /// Takes a sample.
    pub(super) fn take(&mut self, sample: &Sample<'_>) {
        let counts = Counts {
            queries: sample.queries,
            answers: sample.answers,
            packets: sample.packets,
            hints: sample.hints,
            servfails: sample.servfails,
            local_answers: sample.local_answers,
        };
        self.probes = Found::from(sample);
        self.is_new = true;
        self.tally.samples += 1;
        match self.last.replace(counts) {
            None => {}
            Some(before) if counts.follows(&before) => {
                self.tally.queries += counts.queries - before.queries;
                self.tally.answers += counts.answers - before.answers;
            }
            // Somebody has begun to count anew; the engine sees it too.
            Some(_) => self.tally.resets += 1,
        }
    }

    /// Its counters, if they have not been judged.
    pub(super) fn news(&self) -> Option<Counts> {
        self.last.filter(|_| self.is_new)
    }

    /// They have been judged.
    pub(super) fn seen(&mut self) {
        self.is_new = false;
    }

    /// What a burst of sixteen finds now.
    pub(super) fn probes(&self) -> Found {
        self.probes
    }
}

impl Tally {
    pub(super) fn count(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Withdraw { .. } => self.withdrawals += 1,
            EventKind::WouldWithdraw { .. } => self.would_withdraw += 1,
            EventKind::Refuse { .. } => self.refusals += 1,
            EventKind::Alert { .. } => self.alerts += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_a_reset_is_not_counted_again() {
        let mut service = Service::new(0);
        for (queries, answers) in [(100, 90), (110, 99), (5, 0), (7, 1)] {
            let line = format!(r#"{{"t_ms":0,"service":"dns","queries":{queries},"answers":{answers}}}"#);
            service.take(&Sample::parse(line.as_bytes()).unwrap());
        }
        let Tally {
            samples,
            queries,
            answers,
            resets,
            ..
        } = service.tally;
        assert_eq!((samples, queries, answers, resets), (4, 12, 10, 1));
    }

    #[test]
    fn a_place_is_claimed_once() {
        let mut service = Service::new(3);
        assert!(service.waits_for(3) && !service.waits_for(2));
        service.claim();
        assert!(!service.waits_for(3));
    }
}
