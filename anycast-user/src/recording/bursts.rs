//! Bursts of probes that were never sent: a recording says what they would have found.

use std::time::Duration;

use super::Sample;
use crate::{
    clock::MonotonicTime,
    engine::{Ask, Probed},
    policy::{Burst, PROBES_IN_BURST},
};

/// How long a burst waits for answers. A recording knows nothing of round trips, so it is the shortest of a daemon.
const PROBE_WINDOW: Duration = Duration::from_millis(2);

/// Bursts whose results the engine waits for.
#[derive(Debug, Default)]
pub(super) struct Bursts(Vec<UnderWay>);

/// A burst of which something is still to come: samples, or the end of its window.
#[derive(Debug)]
struct UnderWay {
    ask: Ask,
    sent_at: MonotonicTime,
    /// When its result is there, if no sample is needed any more.
    due: MonotonicTime,
    /// Probes that no sample has told of yet.
    open: u8,
    answered: u8,
    refused: u8,
}

/// What a burst of sixteen would have found at a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) answered: u8,
    pub(super) refused: u8,
}

impl From<&Sample<'_>> for Found {
    fn from(sample: &Sample<'_>) -> Self {
        Self {
            answered: sample.probe_answered,
            refused: sample.probe_refused,
        }
    }
}

impl Bursts {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A burst is sent at the time of a sample, which tells what the first sixteen of it find.
    pub(super) fn send(&mut self, ask: Ask, now: MonotonicTime, found: Found) {
        let mut burst = UnderWay {
            ask,
            sent_at: now,
            due: now.after(PROBE_WINDOW),
            open: ask.probes,
            answered: 0,
            refused: 0,
        };
        burst.take(now, found);
        self.0.push(burst);
    }

    /// A further sample of a service, for the bursts of more than sixteen.
    pub(super) fn sample(&mut self, service: usize, now: MonotonicTime, found: Found) {
        for burst in self.0.iter_mut().filter(|burst| burst.ask.service == service) {
            burst.take(now, found);
        }
    }

    /// The first result that is there by `now`, and since when.
    pub(super) fn next_result(&mut self, now: MonotonicTime) -> Option<(MonotonicTime, Probed)> {
        let there = |(_, burst): &(usize, &UnderWay)| burst.open == 0 && burst.due <= now;
        let (index, _) = self
            .0
            .iter()
            .enumerate()
            .filter(there)
            .min_by_key(|(_, burst)| burst.due)?;
        let burst = self.0.remove(index);
        Some((burst.due, burst.result()))
    }
}

impl UnderWay {
    /// Up to sixteen of its open probes find what is there now.
    fn take(&mut self, now: MonotonicTime, found: Found) {
        if self.open == 0 {
            return;
        }
        let probes = self.open.min(PROBES_IN_BURST);
        let answered = found.answered.min(probes);
        self.answered += answered;
        self.refused += found.refused.min(probes - answered);
        self.open -= probes;
        if self.open == 0 {
            let nothing_to_wait_for = self.answered + self.refused == self.ask.probes;
            self.due = if nothing_to_wait_for { now } else { self.due.max(now) };
        }
    }

    fn result(&self) -> Probed {
        let Ask {
            service,
            generation,
            purpose,
            probes,
        } = self.ask;
        Probed {
            service,
            generation,
            purpose,
            burst: Burst {
                started_at: self.sent_at,
                finished_at: self.due,
                asked: probes,
                sent: probes,
                answered: self.answered,
                refused: self.refused,
            },
            late: false,
            quick: self.answered > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Purpose;

    fn at(milliseconds: u64) -> MonotonicTime {
        MonotonicTime(milliseconds * 1_000_000)
    }

    fn ask(probes: u8) -> Ask {
        Ask {
            service: 3,
            generation: 1,
            purpose: Purpose::Suspicion,
            probes,
        }
    }

    fn found(answered: u8, refused: u8) -> Found {
        Found { answered, refused }
    }

    fn result(bursts: &mut Bursts, milliseconds: u64) -> Option<(MonotonicTime, u8, u8)> {
        let (due, probed) = bursts.next_result(at(milliseconds))?;
        assert_eq!(probed.burst.finished_at, due);
        Some((due, probed.burst.answered, probed.burst.refused))
    }

    #[test]
    fn what_is_not_answered_takes_the_window() {
        let mut bursts = Bursts::default();
        bursts.send(ask(16), at(10), found(3, 12));
        assert_eq!(result(&mut bursts, 11), None);
        assert_eq!(result(&mut bursts, 15), Some((at(12), 3, 12)));
        assert_eq!(bursts.len(), 0);
    }

    #[test]
    fn what_is_answered_or_refused_whole_is_there_at_once() {
        let mut bursts = Bursts::default();
        bursts.send(ask(16), at(10), found(16, 0));
        bursts.send(ask(16), at(10), found(1, 15));
        assert_eq!(result(&mut bursts, 10), Some((at(10), 16, 0)));
        assert_eq!(result(&mut bursts, 10), Some((at(10), 1, 15)));
    }

    #[test]
    fn sixty_four_probes_take_four_samples_of_their_service() {
        let mut bursts = Bursts::default();
        bursts.send(ask(64), at(10), found(0, 16));
        bursts.sample(2, at(11), found(16, 0));
        bursts.sample(3, at(11), found(1, 0));
        bursts.sample(3, at(12), found(0, 0));
        assert_eq!(result(&mut bursts, 13), None);
        bursts.sample(3, at(13), found(0, 4));
        bursts.sample(3, at(14), found(9, 0));
        assert_eq!(result(&mut bursts, 14), Some((at(13), 1, 20)));
    }
}
