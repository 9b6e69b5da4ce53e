//! When to send a burst to a service, and what the last one brought.

use std::time::Duration;

use super::rows::Found;
use crate::{clock::MonotonicTime, detect::Counts, policy::PROBES_IN_BURST, probe::BurstResult};

/// Time between two bursts while queries come and no answer does.
const URGENT_INTERVAL: Duration = Duration::from_millis(10);
/// Time between two bursts while probes fail although clients are answered, or nobody asks.
const DOUBT_INTERVAL: Duration = Duration::from_millis(100);
/// Silence is urgent after so long with so many queries in it …
const SILENCE: (Duration, u64) = (Duration::from_millis(5), 3);
/// … or with a single one after this. A slow answer to one client is no reason to ask sixteen times.
const LONG_SILENCE: Duration = Duration::from_millis(100);

/// The probes of one service.
#[derive(Debug)]
pub(super) struct Probes {
    interval: Duration,
    before: Option<Counts>,
    /// Since when there is no answer, and how many queries have come since.
    silent_since: MonotonicTime,
    queries: u64,
    sent_at: Option<MonotonicTime>,
    under_way: bool,
    found: Option<Found>,
}

impl Probes {
    /// The first burst is due at once, the next ones after `interval`.
    pub(super) fn new(interval: Duration, now: MonotonicTime) -> Self {
        Self {
            interval,
            before: None,
            silent_since: now,
            queries: 0,
            sent_at: None,
            under_way: false,
            found: None,
        }
    }

    /// Takes what was counted. Returns whether a burst is due.
    pub(super) fn tick(&mut self, now: MonotonicTime, counts: &Counts) -> bool {
        let before = self.before.replace(*counts).unwrap_or(*counts);
        if counts.answers == before.answers {
            self.queries += counts.queries.saturating_sub(before.queries);
        } else {
            (self.silent_since, self.queries) = (now, 0);
        }
        if self.queries == 0 {
            // Nobody asks: that is no silence.
            self.silent_since = now;
        }
        let silence = now.since(self.silent_since);
        let (long_enough, queries) = SILENCE;
        let is_urgent =
            silence >= long_enough && self.queries >= queries || silence >= LONG_SILENCE && self.queries > 0;
        let interval = if is_urgent {
            URGENT_INTERVAL.min(self.interval)
        } else if self.is_whole() {
            self.interval
        } else {
            DOUBT_INTERVAL.min(self.interval)
        };
        !self.under_way && self.sent_at.is_none_or(|sent_at| now.since(sent_at) >= interval)
    }

    fn is_whole(&self) -> bool {
        self.found == Some((PROBES_IN_BURST, 0))
    }

    /// Whether the last burst may be no measure of the present: queries wait for an answer, or it was not answered whole.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.queries > 0 || !self.is_whole()
    }

    /// A burst was sent.
    pub(super) fn sent(&mut self, now: MonotonicTime) {
        self.under_way = true;
        self.sent_at = Some(now);
    }

    /// Takes what came of it, late answers too. A burst that could not be sent whole says nothing.
    pub(super) fn result(&mut self, result: &BurstResult) -> Option<Found> {
        self.under_way &= result.late;
        if result.sent < PROBES_IN_BURST {
            return None;
        }
        self.found = Some((result.answered, result.refused));
        self.found
    }

    /// How many of the last burst were answered and refused, if there was one.
    pub(super) fn found(&self) -> Option<Found> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that is asked and answers so often in a millisecond. Bursts come back at the next.
    struct World {
        probes: Probes,
        now: MonotonicTime,
        counts: Counts,
        sent: Vec<u64>,
    }

    impl World {
        fn new() -> Self {
            Self {
                probes: Probes::new(Duration::from_secs(1), MonotonicTime(0)),
                now: MonotonicTime(0),
                counts: Counts::default(),
                sent: Vec::new(),
            }
        }

        fn run(&mut self, milliseconds: u64, queries: u64, answers: u64) {
            for _ in 0..milliseconds {
                self.now = self.now.after(Duration::from_millis(1));
                self.counts.queries += queries;
                self.counts.answers += answers;
                self.probes.under_way = false;
                self.probes.found = Some((PROBES_IN_BURST, 0));
                if self.probes.tick(self.now, &self.counts) {
                    self.probes.sent(self.now);
                    self.sent.push(self.now.0 / 1_000_000);
                }
            }
        }
    }

    #[test]
    fn once_an_interval_while_all_is_well_or_nobody_asks() {
        let mut world = World::new();
        world.run(2000, 10, 10);
        world.run(2000, 0, 0);
        assert_eq!(world.sent, [1, 1001, 2001, 3001]);
    }

    #[test]
    fn every_ten_milliseconds_while_queries_come_and_no_answer_does() {
        let mut world = World::new();
        world.run(100, 10, 10);
        world.run(40, 10, 0);
        world.run(100, 10, 10);
        assert_eq!(world.sent, [1, 105, 115, 125, 135]);
    }

    #[test]
    fn one_query_that_is_answered_slowly_is_not_urgent() {
        let mut world = World::new();
        world.run(100, 1, 1);
        world.run(1, 1, 0);
        world.run(90, 0, 0);
        world.run(1, 0, 1);
        assert_eq!(world.sent, [1]);
        world.run(1, 1, 0);
        world.run(105, 0, 0);
        assert_eq!(world.sent.len(), 2, "{:?}", world.sent);
    }
}
