//! What is usual for this service, on the low side: the rate of its answers, and the share of queries that it answers.

use std::time::Duration;

use super::Learning;
use crate::clock::MonotonicTime;

/// Time constant of the mean rate of answers.
const RATE_TIME_CONSTANT: Duration = Duration::from_secs(10);
/// Time constant of the rate that the expectile follows. Slower, so that chance makes less of it: of a rate that follows
/// ten seconds, one in a thousand is 18 % low at 10 answers/s, of this one 8 %.
const SLOW_RATE_TIME_CONSTANT: Duration = Duration::from_secs(60);
/// Time constant of the share answered.
const SHARE_TIME_CONSTANT: Duration = Duration::from_secs(60);
/// Time constants of the shares that tell of a change: a quick one, and one that outlasts a partial loss.
const SHARE_TIME_CONSTANT_QUICK: Duration = Duration::from_secs(10);
const SHARE_TIME_CONSTANT_SLOW: Duration = Duration::from_secs(600);
/// The share answered is stable when the quick mean differs from the usual one by no more than this.
const STABLE: f64 = 0.15;

/// The baselines of a service.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    rate: Mean,
    slow_rate: Mean,
    low: LowExpectile,
    week: WeeklyLow,
    share: Mean,
    share_quick: Mean,
    share_slow: Mean,
}

impl Baseline {
    pub(super) fn new() -> Self {
        Self {
            rate: Mean::new(RATE_TIME_CONSTANT),
            slow_rate: Mean::new(SLOW_RATE_TIME_CONSTANT),
            low: LowExpectile::default(),
            week: WeeklyLow::default(),
            share: Mean::new(SHARE_TIME_CONSTANT),
            share_quick: Mean::new(SHARE_TIME_CONSTANT_QUICK),
            share_slow: Mean::new(SHARE_TIME_CONSTANT_SLOW),
        }
    }

    /// Takes what was seen in `elapsed`. The expectile is followed from when the service is `known`.
    pub(super) fn learn(
        &mut self,
        now: MonotonicTime,
        (queries, answers): (u64, u64),
        elapsed: Duration,
        learning: Learning,
        known: bool,
    ) {
        let seconds = elapsed.as_secs_f64();
        let (queries, answers) = (queries as f64, answers as f64);
        let learn = |mean: &mut Mean, weight| {
            let next = mean.with(answers, weight, seconds);
            if learning == Learning::All || next.value() < mean.value() {
                *mean = next;
            }
        };
        if learning == Learning::Nothing {
            return;
        }
        learn(&mut self.rate, seconds);
        learn(&mut self.slow_rate, seconds);
        learn(&mut self.share, queries);
        learn(&mut self.share_quick, queries);
        learn(&mut self.share_slow, queries);
        if known {
            self.low.follow(self.slow_rate.value(), elapsed);
            self.week.follow(now, self.rate.value());
        }
    }

    /// Mean answers per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate.value()
    }

    /// The same over a minute.
    pub(super) fn slow_rate(&self) -> f64 {
        self.slow_rate.value()
    }

    /// μ: the lowest of the mean, its low expectile, and of the same hour a week ago.
    pub(super) fn usual_rate(&self, now: MonotonicTime, low_expectile: bool) -> f64 {
        let rate = self.rate.value();
        if low_expectile {
            self.week.capped(now, self.low.capped(rate))
        } else {
            rate
        }
    }

    /// p: the share of queries that are answered, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.share.value().clamp(0.0, 1.0)
    }

    /// The same over ten minutes.
    pub(super) fn share_slow(&self) -> f64 {
        self.share_slow.value().clamp(0.0, 1.0)
    }

    /// Whether the share did not just change.
    pub(super) fn is_stable(&self) -> bool {
        (self.share_quick.value() - self.share.value()).abs() <= STABLE
    }
}

/// Exponentially weighted mean of one amount over another: answers over time, or over queries.
///
/// Both are weighted, so it is right from the first second instead of rising from zero.
#[derive(Clone, Copy, Debug)]
struct Mean {
    time_constant: f64,
    amount: f64,
    per: f64,
}

impl Mean {
    fn new(time_constant: Duration) -> Self {
        Self {
            time_constant: time_constant.as_secs_f64(),
            amount: 0.0,
            per: 0.0,
        }
    }

    /// With another `amount` over `per`, seen in so many seconds.
    fn with(self, amount: f64, per: f64, seconds: f64) -> Self {
        let keep = (-seconds / self.time_constant).exp();
        Self {
            amount: self.amount * keep + amount,
            per: self.per * keep + per,
            ..self
        }
    }

    /// Zero before the first.
    fn value(self) -> f64 {
        if self.per > 0.0 { self.amount / self.per } else { 0.0 }
    }
}

/// A low expectile of a rate: falls quickly, rises slowly, so that a flood that happens to be answered does not raise
/// what is expected of the service afterwards.
///
/// Newey, Powell: Asymmetric least squares estimation and testing (Econometrica 55, 1987), by stochastic gradient.
#[derive(Clone, Copy, Debug, Default)]
struct LowExpectile {
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
    fn follow(&mut self, rate: f64, elapsed: Duration) {
        let value = self.value.get_or_insert(rate);
        let weight = if rate > *value { EXPECTILE_RISE } else { EXPECTILE_FALL };
        let steps = elapsed.as_secs_f64() / EXPECTILE_STEP.as_secs_f64();
        *value += (rate - *value) * (weight * steps).min(1.0);
    }

    /// The lower of `rate` and the expectile.
    fn capped(self, rate: f64) -> f64 {
        self.value.map_or(rate, |value| rate.min(value))
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const HOURS_OF_WEEK: usize = 168;

/// The lowest rate of each hour of the week: who raises the baseline for hours and then stops answering what raised it
/// still meets what was usual a week ago.
///
/// Hours are counted from the clock's start; which of them is Sunday does not matter.
#[derive(Clone, Debug)]
struct WeeklyLow {
    /// Of the hour that runs, and which that is, counted from the clock's start.
    hour: Option<(u64, f32)>,
    /// By hour of the week; infinite where nothing is known. A week old or less.
    lowest: Box<[f32; HOURS_OF_WEEK]>,
}

impl Default for WeeklyLow {
    fn default() -> Self {
        Self {
            hour: None,
            lowest: Box::new([f32::INFINITY; HOURS_OF_WEEK]),
        }
    }
}

impl WeeklyLow {
    fn follow(&mut self, now: MonotonicTime, rate: f64) {
        let (number, rate) = (hour_number(now), rate as f32);
        match &mut self.hour {
            Some((hour, lowest)) if *hour == number => *lowest = lowest.min(rate),
            hour => {
                if let Some((ended, lowest)) = hour.replace((number, rate))
                    && let Some(slot) = self.lowest.get_mut((ended % HOURS_OF_WEEK as u64) as usize)
                {
                    *slot = lowest;
                }
            }
        }
    }

    fn capped(&self, now: MonotonicTime, rate: f64) -> f64 {
        let hour = (hour_number(now) % HOURS_OF_WEEK as u64) as usize;
        self.lowest.get(hour).map_or(rate, |&lowest| rate.min(lowest.into()))
    }
}

fn hour_number(now: MonotonicTime) -> u64 {
    now.0 / HOUR.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn learned(rates: impl IntoIterator<Item = (u64, u64)>, learning: Learning) -> Baseline {
        let mut baseline = Baseline::new();
        extend(&mut baseline, rates, learning);
        baseline
    }

    fn extend(baseline: &mut Baseline, rates: impl IntoIterator<Item = (u64, u64)>, learning: Learning) {
        for counted in rates {
            baseline.learn(MonotonicTime(0), counted, STEP, learning, true);
        }
    }

    #[test]
    fn a_mean_is_right_from_the_first_step() {
        let baseline = learned([(10, 9)], Learning::All);
        assert!((baseline.rate() - 90.0).abs() < 1e-9);
        assert!((baseline.share() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn five_minutes_of_ten_times_as_much_hardly_raise_what_is_usual() {
        let mut baseline = learned(std::iter::repeat_n((10, 10), 3000), Learning::All);
        extend(&mut baseline, std::iter::repeat_n((100, 100), 3000), Learning::All);
        assert!(baseline.rate() > 990.0);
        let usual = baseline.usual_rate(MonotonicTime(0), true);
        assert!((100.0..130.0).contains(&usual), "{usual}");
    }

    #[test]
    fn while_something_is_wrong_nothing_is_learned_or_only_downwards() {
        let mut baseline = learned(std::iter::repeat_n((10, 10), 3000), Learning::All);
        extend(&mut baseline, std::iter::repeat_n((10, 0), 100), Learning::Nothing);
        assert!((baseline.rate() - 100.0).abs() < 1e-6);
        extend(&mut baseline, std::iter::repeat_n((10, 20), 100), Learning::Downwards);
        assert!((baseline.rate() - 100.0).abs() < 1e-6);
        extend(&mut baseline, std::iter::repeat_n((10, 1), 300), Learning::Downwards);
        assert!((10.0..16.0).contains(&baseline.rate()), "{}", baseline.rate());
    }

    #[test]
    fn the_same_hour_a_week_ago_is_a_cap() {
        let mut week = WeeklyLow::default();
        let at = |hour: u64| MonotonicTime(hour * HOUR.as_nanos() as u64 + 1);
        assert!((week.capped(at(0), 7.0) - 7.0).abs() < 1e-9);
        for hour in 0..168 {
            week.follow(at(hour), 200.0);
            week.follow(at(hour), 100.0 + hour as f64);
            week.follow(at(hour), 300.0);
        }
        week.follow(at(168), 999.0);
        assert!(
            (week.capped(at(168), 999.0) - 100.0).abs() < 1e-3,
            "an hour that is over"
        );
        assert!((week.capped(at(168 + 9), 999.0) - 109.0).abs() < 1e-3);
        assert!((week.capped(at(168 + 9), 50.0) - 50.0).abs() < 1e-3);
    }

    #[test]
    fn a_share_that_changes_is_not_stable() {
        let mut baseline = learned(std::iter::repeat_n((10, 10), 600), Learning::All);
        assert!(baseline.is_stable());
        extend(&mut baseline, std::iter::repeat_n((10, 5), 100), Learning::All);
        assert!(!baseline.is_stable());
        extend(&mut baseline, std::iter::repeat_n((10, 5), 2000), Learning::All);
        assert!(baseline.is_stable());
    }
}
