//! More comes than the service is used to.

use std::time::Duration;

use crate::clock::MonotonicTime;

/// Packets by this factor over their baseline are too many.
const FACTOR: f64 = 1.5;
/// Time constant of the baseline.
const SLOW: Duration = Duration::from_secs(10);
/// Shortest time constant of the rate that is compared with it.
const QUICK: Duration = Duration::from_millis(20);
/// So many packets that one has to be a mean over, that chance alone does not reach the factor: the relative deviation of
/// an exponential mean over n is 1/√(2n), 6.5 % here, and half is more than seven of these. It is looked at every tick.
const QUICK_PACKETS: f64 = 120.0;
/// Time constant of the baseline while there are too many: growth that lasts becomes usual within minutes.
const SLOW_WHILE_TOO_MANY: Duration = Duration::from_secs(300);
/// For how long what was seen last still counts.
const LASTS: Duration = Duration::from_secs(1);

/// All packets to a service: as they come now, and as usual.
#[derive(Clone, Debug, Default)]
pub(super) struct Overload {
    slow: f64,
    quick: f64,
    quick_constant: f64,
    seconds: f64,
    seen: Option<MonotonicTime>,
}

impl Overload {
    /// Takes the packets of a tick of so many seconds; whether there are too many of them now, or were within the last second. The baseline
    /// follows slowly while there are, and stays as it is while `frozen`. In a `silence` that lasts, what comes may be the
    /// clients who ask again: too many of these are not noticed.
    ///
    /// Both means are of first order, by k = τ / (τ + Δt), which needs no exponential function in a tick.
    pub(super) fn tick(&mut self, now: MonotonicTime, packets: u64, seconds: f64, frozen: bool, silence: bool) -> bool {
        if seconds <= 0.0 {
            return self.is_seen(now);
        }
        let rate = packets as f64 / seconds;
        let step = |mean: &mut f64, constant: f64| *mean += (rate - *mean) * seconds / (constant + seconds);
        step(&mut self.quick, self.quick_constant);
        if !silence && self.quick > FACTOR * self.slow && self.seconds >= SLOW.as_secs_f64() {
            self.seen = Some(now);
        }
        if frozen {
            return self.is_seen(now);
        }
        if self.is_seen(now) {
            step(&mut self.slow, SLOW_WHILE_TOO_MANY.as_secs_f64());
        } else {
            // As in a mean of all while there is less than the time constant: it does not rise from zero.
            self.seconds = (self.seconds + seconds).min(SLOW.as_secs_f64());
            step(&mut self.slow, self.seconds - seconds);
            self.quick_constant = QUICK.as_secs_f64().max(QUICK_PACKETS / self.slow.max(1.0));
        }
        self.is_seen(now)
    }

    /// Whether so many packets in so many seconds are a rush that the mean has not noticed yet: three times as many as
    /// usual, and more than chance makes of a few.
    pub(super) fn is_rush(&self, packets: u64, seconds: f64) -> bool {
        packets as f64 > 3.0 * self.slow * seconds + 10.0
    }

    /// Something else said that there is too much: packets were dropped before the server read them.
    pub(super) fn note(&mut self, now: MonotonicTime) {
        self.seen = Some(now);
    }

    fn is_seen(&self, now: MonotonicTime) -> bool {
        self.seen
            .is_some_and(|seen| now.seconds_since(seen) < LASTS.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Drive {
        overload: Overload,
        now: MonotonicTime,
        silence: bool,
    }

    impl Drive {
        fn new() -> Self {
            let mut drive = Self {
                overload: Overload::default(),
                now: MonotonicTime(0),
                silence: false,
            };
            drive.run(30_000, 10);
            drive
        }

        fn run(&mut self, milliseconds: u32, packets: u64) -> bool {
            (0..milliseconds).fold(false, |_, _| {
                self.now = self.now.after(MS);
                self.overload.tick(self.now, packets, 1e-3, false, self.silence)
            })
        }
    }

    #[test]
    fn nearly_three_times_as_much_is_found_within_the_time_constant() {
        let mut drive = Drive::new();
        assert!(!drive.run(1, 10));
        assert!(!drive.run(1, 28));
        assert!(drive.run(20, 28));
        assert!(drive.run(60_000, 28), "and is not usual within a minute");
        assert!(drive.run(500, 10), "and lasts a second");
        assert!(!drive.run(600, 10));
    }

    #[test]
    fn a_rush_is_noticed_before_the_mean_is() {
        let drive = Drive::new();
        assert!(!drive.overload.is_rush(600, 0.02));
        assert!(drive.overload.is_rush(650, 0.02));
        assert!(!drive.overload.is_rush(9, 1e-9), "a few packets at once are chance");
    }

    #[test]
    fn clients_who_ask_again_in_a_silence_are_none() {
        let mut drive = Drive::new();
        drive.silence = true;
        assert!(!drive.run(1000, 100));
    }

    #[test]
    fn what_lasts_for_minutes_becomes_usual() {
        assert!(!Drive::new().run(600_000, 28));
    }

    #[test]
    fn a_third_more_is_none() {
        assert!(!Drive::new().run(60_000, 13));
    }

    #[test]
    fn the_first_packets_are_no_overload() {
        let mut overload = Overload::default();
        assert!(!overload.tick(MonotonicTime(1), 1000, 1e-3, false, false));
    }
}
