//! How long a query may wait before its answer is missed.

use std::time::Duration;

use super::Nats;
use crate::clock::MonotonicTime;

/// The lag while nothing is known of the latency: more than an authoritative server takes, less than a tick costs.
const LAG_UNKNOWN: Duration = Duration::from_millis(1);
/// The longest lag. Who takes longer for most answers is slow beyond what queries in waiting can tell.
const LAG_MAX: Duration = Duration::from_millis(250);

/// How long answers took, as a distribution of at most [`LatencyProfile::POINTS`] points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyProfile {
    /// A time, and the share of answers that took no longer; both grow. Unused points repeat the last.
    points: [(Duration, f32); LatencyProfile::POINTS],
}

impl LatencyProfile {
    /// Points that are kept.
    pub const POINTS: usize = 32;
    /// Answers without which a distribution says nothing.
    pub const MIN_ANSWERS: u64 = 100;

    /// From buckets in ascending order: the longest time of each, and how many answers were in it. `None` with fewer than
    /// [`MIN_ANSWERS`](Self::MIN_ANSWERS).
    #[must_use]
    pub fn new(buckets: impl Iterator<Item = (Duration, u64)> + Clone) -> Option<Self> {
        let total: u64 = buckets.clone().map(|(_, count)| count).sum();
        if total < Self::MIN_ANSWERS {
            return None;
        }
        let mut points = [(Duration::ZERO, 0.0); Self::POINTS];
        let (mut used, mut below, mut last) = (0, 0, (Duration::ZERO, 0.0));
        for (time, count) in buckets {
            below += count;
            last = (time, below as f32 / total as f32);
            // One for each thirty-second of the answers, rounded to the buckets.
            if below * Self::POINTS as u64 >= (used as u64 + 1) * total
                && let Some(point) = points.get_mut(used)
            {
                *point = last;
                used += 1;
            }
        }
        points.iter_mut().skip(used).for_each(|point| *point = last);
        Some(Self { points })
    }

    /// The time that half of the answers did not exceed.
    #[must_use]
    pub fn median(&self) -> Duration {
        let half = self.points.iter().find(|(_, share)| *share >= 0.5);
        half.map_or(Duration::ZERO, |&(time, _)| time)
    }
}

/// A lag, and the share of answers that come within it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lag {
    /// l.
    pub(super) time: Duration,
    /// F(l).
    pub(super) share: f64,
}

impl Lag {
    /// Of a service of which nothing is known.
    pub(super) const UNKNOWN: Self = Self {
        time: LAG_UNKNOWN,
        share: 1.0,
    };

    /// The lag with which a suspicion begins soonest: argmin over l of l + h₁ / (λ p F(l)), when λ p is the rate of queries
    /// that are answered. Probes do the rest; for proof by silence alone, h instead of h₁, it would be longer.
    pub(super) fn best(profile: &LatencyProfile, threshold: Nats, answered_per_second: f64) -> Self {
        let delay = |lag: &Self| lag.time.as_secs_f64() + threshold / (answered_per_second.max(1.0) * lag.share);
        let candidates = profile.points.iter().map(|&(time, share)| Self {
            time,
            share: share.into(),
        });
        candidates
            .filter(|lag| lag.time <= LAG_MAX && lag.share > 0.0)
            .min_by(|left, right| delay(left).total_cmp(&delay(right)))
            .unwrap_or(Self {
                time: LAG_MAX,
                share: 1.0,
            })
    }

    /// ν = min(1, −ln(1 − p F)): what a query that is older than the lag and unanswered weighs.
    ///
    /// At most 1, however sure its answer was: queries that stay unanswered come in company.
    pub(super) fn nats_per_query(self, share_answered: f64) -> Nats {
        (-(-share_answered * self.share).max(-1.0).ln_1p()).min(1.0)
    }
}

/// Moments that are kept for looking back.
const MOMENTS: usize = 32;

/// Queries so far, at moments of the near past.
#[derive(Clone, Debug)]
pub(super) struct History {
    moments: [(MonotonicTime, u64); MOMENTS],
    oldest: usize,
    kept: usize,
    newest: MonotonicTime,
    /// Queries at the youngest moment that is at least a lag old.
    settled: u64,
}

impl History {
    pub(super) fn new(queries: u64) -> Self {
        Self {
            moments: [(MonotonicTime(0), 0); MOMENTS],
            oldest: 0,
            kept: 0,
            newest: MonotonicTime(0),
            settled: queries,
        }
    }

    /// What [`settled`](Self::settled) said last.
    pub(super) fn settled_before(&self) -> u64 {
        self.settled
    }

    /// Queries that are at least `lag` old, given that there are `queries` by `now`. As there is room for so many moments
    /// only, up to a thirty-second of the lag more is waited for them.
    pub(super) fn settled(&mut self, now: MonotonicTime, queries: u64, lag: Duration) -> u64 {
        let lag_ns = lag.as_secs() * 1_000_000_000 + u64::from(lag.subsec_nanos());
        while self.kept > 0
            && let Some(&(at, then)) = self.moments.get(self.oldest)
            && now.0.saturating_sub(at.0) >= lag_ns
        {
            self.settled = self.settled.max(then);
            self.oldest = (self.oldest + 1) % MOMENTS;
            self.kept -= 1;
        }
        let is_due = self.kept == 0 || now.0.saturating_sub(self.newest.0) >= lag_ns / MOMENTS as u64;
        if is_due
            && self.kept < MOMENTS
            && let Some(moment) = self.moments.get_mut((self.oldest + self.kept) % MOMENTS)
        {
            *moment = (now, queries);
            self.kept += 1;
            self.newest = now;
        }
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_resolver_is_missed_by_its_cache_hits_when_they_are_many() {
        // Four in five from the cache, the others take tens of milliseconds.
        let buckets = [(MS * 3 / 10, 800), (MS * 30, 100), (MS * 100, 80), (MS * 400, 20)];
        let profile = LatencyProfile::new(buckets.into_iter()).unwrap();
        let fast = Lag::best(&profile, 9.2, 10_000.0);
        assert_eq!(fast.time, MS * 3 / 10);
        assert!((fast.share - 0.8).abs() < 1e-6);
        let slow = Lag::best(&profile, 1.8, 5.0);
        assert_eq!(slow.time, MS * 30);
        assert_eq!(profile.median(), MS * 3 / 10);
    }

    #[test]
    fn a_few_answers_say_nothing_and_slow_ones_wait_the_longest() {
        assert_eq!(LatencyProfile::new([(MS, 99)].into_iter()), None);
        let profile = LatencyProfile::new([(MS * 900, 1000)].into_iter()).unwrap();
        assert_eq!(Lag::best(&profile, 24.0, 1000.0).time, LAG_MAX);
    }

    #[test]
    fn an_unanswered_query_weighs_what_its_answer_was_likely() {
        let lag = Lag { time: MS, share: 0.5 };
        assert!((lag.nats_per_query(1.0) - 2_f64.ln()).abs() < 1e-9);
        assert!((lag.nats_per_query(0.0)).abs() < 1e-9);
        assert!((Lag::UNKNOWN.nats_per_query(1.0) - 1.0).abs() < 1e-9, "capped");
    }

    proptest! {
        /// Never more than was there a lag ago, and not much less.
        #[test]
        fn what_is_settled_is_a_lag_old(ticks in prop::collection::vec((1_u64..20, 0_u64..50), 1..400), lag in 0_u64..200) {
            let lag_ns = lag * 1_000_000;
            let mut history = History::new(0);
            let (mut now, mut queries) = (0_u64, 0_u64);
            let mut past = vec![(0_u64, 0_u64)];
            for (elapsed, more) in ticks {
                now += elapsed * 1_000_000;
                queries += more;
                past.push((now, queries));
                let settled = history.settled(MonotonicTime(now), queries, Duration::from_nanos(lag_ns));
                let at = |lag: u64| past.iter().rev().find(|(at, _)| at + lag <= now).map_or(0, |(_, queries)| *queries);
                prop_assert!(settled <= at(lag_ns));
                // A tick and a thirty-second of the lag later at most.
                prop_assert!(settled >= at(lag_ns + lag_ns / 16 + 40_000_000), "{settled}");
            }
        }

        #[test]
        fn a_profile_grows(counts in prop::collection::vec(0_u64..1000, 1..200)) {
            let buckets = counts.iter().enumerate().map(|(index, &count)| (MS * index as u32, count));
            if let Some(profile) = LatencyProfile::new(buckets) {
                for pair in profile.points.windows(2) {
                    prop_assert!(pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1);
                }
                prop_assert!((profile.points[LatencyProfile::POINTS - 1].1 - 1.0).abs() < 1e-6);
            }
        }
    }
}
