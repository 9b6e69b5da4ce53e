//! What is wrong with answers that come: alerts, never evidence.

use std::time::Duration;

/// Time constant of the shares below.
const TIME_CONSTANT: Duration = Duration::from_secs(5);
/// A storm: more than half of the answers say SERVFAIL. It is over below half of that.
const SERVFAIL_STORM: f64 = 0.5;
/// Answers that the share has to rest on.
const ANSWERS_MIN: f64 = 20.0;

/// The share of answers that say SERVFAIL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Servfails {
    answers: f64,
    said_servfail: f64,
    storm: bool,
}

impl Servfails {
    /// Takes what was counted in `elapsed`; whether there is a storm.
    pub(super) fn add(&mut self, answers: u64, servfails: u64, elapsed: Duration) -> bool {
        let keep = (-elapsed.as_secs_f64() / TIME_CONSTANT.as_secs_f64()).exp();
        self.answers = self.answers * keep + answers as f64;
        self.said_servfail = self.said_servfail * keep + servfails as f64;
        let bar = if self.storm {
            SERVFAIL_STORM / 2.0
        } else {
            SERVFAIL_STORM
        };
        self.storm = self.answers >= ANSWERS_MIN && self.said_servfail > bar * self.answers;
        self.storm
    }
}

/// Answers that take so many times as long as usual are slow; it is over below half of that.
const SLOW_FACTOR: f64 = 8.0;
/// Nobody minds a median below this.
const SLOW_MIN: Duration = Duration::from_millis(5);
/// Share of the way to a new median that the usual one makes: with one every ten seconds a time constant of an hour.
const USUAL_WEIGHT: f64 = 1.0 / 360.0;

/// The median latency against the usual one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slowness {
    /// Logarithm of the usual median in seconds.
    usual: Option<f64>,
    slow: bool,
}

impl Slowness {
    /// Takes the median of the last while.
    pub(super) fn learn(&mut self, median: Duration) {
        let log = median.as_secs_f64().max(1e-6).ln();
        let usual = self.usual.get_or_insert(log);
        let factor = if self.slow { SLOW_FACTOR / 2.0 } else { SLOW_FACTOR };
        self.slow = median >= SLOW_MIN && log - *usual >= factor.ln();
        *usual += USUAL_WEIGHT * (log - *usual);
    }

    pub(super) fn is_slow(self) -> bool {
        self.slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    #[test]
    fn a_storm_is_most_answers_for_seconds() {
        let mut servfails = Servfails::default();
        assert!(!servfails.add(10, 10, STEP), "too few answers yet");
        (0..100).for_each(|_| {
            servfails.add(100, 1, STEP);
        });
        let begun = (1..100).find(|_| servfails.add(100, 100, STEP)).unwrap();
        assert!((20..60).contains(&begun), "{begun}");
        let over = (1..200).find(|_| !servfails.add(100, 0, STEP)).unwrap();
        assert!((20..100).contains(&over), "{over}");
    }

    #[test]
    fn slow_is_eight_times_the_usual_median() {
        let mut slowness = Slowness::default();
        let mut learn = |milliseconds| {
            slowness.learn(Duration::from_millis(milliseconds));
            slowness.is_slow()
        };
        assert!(!learn(2));
        assert!(!learn(15));
        assert!(learn(17));
        assert!(learn(10), "not over yet");
        assert!(!learn(7));
    }

    #[test]
    fn microseconds_are_never_slow() {
        let mut slowness = Slowness::default();
        slowness.learn(Duration::from_micros(50));
        slowness.learn(Duration::from_millis(4));
        assert!(!slowness.is_slow());
    }
}
