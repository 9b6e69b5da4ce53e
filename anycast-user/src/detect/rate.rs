//! The baselines: what is usual for this service.

use std::time::Duration;

/// Exponentially weighted mean rate of events.
///
/// Weighted events over weighted time, so it is right from the first second instead of rising from zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    time_constant: f64,
    events: f64,
    seconds: f64,
}

impl Rate {
    pub(super) fn new(time_constant: Duration) -> Self {
        Self {
            time_constant: time_constant.as_secs_f64(),
            events: 0.0,
            seconds: 0.0,
        }
    }

    pub(super) fn add(&mut self, events: u64, elapsed: Duration) {
        let elapsed = elapsed.as_secs_f64();
        let keep = (-elapsed / self.time_constant).exp();
        self.events = self.events * keep + events as f64;
        self.seconds = self.seconds * keep + elapsed;
    }

    /// Events per second, zero before the first.
    pub(super) fn per_second(self) -> f64 {
        if self.seconds > 0.0 {
            self.events / self.seconds
        } else {
            0.0
        }
    }
}

/// Exponentially weighted share of queries that are answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    time_constant: f64,
    queries: f64,
    answers: f64,
}

impl Share {
    pub(super) fn new(time_constant: Duration) -> Self {
        Self {
            time_constant: time_constant.as_secs_f64(),
            queries: 0.0,
            answers: 0.0,
        }
    }

    pub(super) fn add(&mut self, queries: u64, answers: u64, elapsed: Duration) {
        let keep = (-elapsed.as_secs_f64() / self.time_constant).exp();
        self.queries = self.queries * keep + queries as f64;
        self.answers = self.answers * keep + answers as f64;
    }

    /// ν = min(1, −ln(1 − p)): what a query that stays unanswered weighs.
    pub(super) fn nats_per_query(self) -> f64 {
        if self.queries <= 0.0 {
            return 0.0;
        }
        let share = (self.answers / self.queries).clamp(0.0, 1.0);
        (-(-share).ln_1p()).min(1.0)
    }
}

/// A low expectile of a rate: falls quickly, rises slowly, so that a flood that happens to be answered does not raise
/// what is expected of the service afterwards.
///
/// Newey, Powell: Asymmetric least squares estimation and testing (Econometrica 55, 1987), by stochastic gradient.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LowExpectile {
    value: Option<f64>,
}

/// Share of the way up that is made in [`EXPECTILE_STEP`].
const EXPECTILE_RISE: f64 = 1e-5;
/// Share of the way down.
const EXPECTILE_FALL: f64 = 1e-2;
/// The unit of time of both.
const EXPECTILE_STEP: Duration = Duration::from_millis(100);

impl LowExpectile {
    /// Moves towards `rate`; the first call sets it.
    pub(super) fn follow(&mut self, rate: f64, elapsed: Duration) {
        let value = self.value.get_or_insert(rate);
        let weight = if rate > *value { EXPECTILE_RISE } else { EXPECTILE_FALL };
        let steps = elapsed.as_secs_f64() / EXPECTILE_STEP.as_secs_f64();
        *value += (rate - *value) * (weight * steps).min(1.0);
    }

    /// The lower of `rate` and the expectile.
    pub(super) fn capped(self, rate: f64) -> f64 {
        self.value.map_or(rate, |value| rate.min(value))
    }
}
