//! How long a withdrawn link waits before it is announced again.

use std::time::Duration;

use crate::clock::MonotonicTime;

/// Each withdrawal multiplies the hold-down by this.
const GROWTH: f64 = 4.0;
/// The count of past withdrawals halves in this time, as in route-flap damping (RFC 2439).
const HALF_LIFE: Duration = Duration::from_secs(15 * 60);
/// The longest hold-down.
const MAX: Duration = Duration::from_secs(30 * 60);

/// Counts withdrawals and forgets them.
///
/// ```text
/// hold = min(first · 4^(n − 1), 30 min)      n: withdrawals, decaying with a half-life of 15 min
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HoldDown {
    first: Duration,
    withdrawals: f64,
    counted_at: MonotonicTime,
}

impl HoldDown {
    /// No withdrawal yet.
    #[must_use]
    pub fn new(first: Duration, now: MonotonicTime) -> Self {
        Self {
            first,
            withdrawals: 0.0,
            counted_at: now,
        }
    }

    /// Counts a withdrawal and returns the hold-down that follows it.
    pub fn withdrawn(&mut self, now: MonotonicTime) -> Duration {
        let half_lives = now.since(self.counted_at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.withdrawals = self.withdrawals * (-half_lives).exp2() + 1.0;
        self.counted_at = now;
        let hold = self.first.as_secs_f64() * GROWTH.powf(self.withdrawals - 1.0);
        Duration::try_from_secs_f64(hold).unwrap_or(MAX).min(MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);

    #[test]
    fn it_grows_fourfold_up_to_half_an_hour_and_decays() {
        let start = MonotonicTime(0);
        let mut hold_down = HoldDown::new(FIRST, start);
        assert_eq!(hold_down.withdrawn(start), FIRST);
        assert_eq!(hold_down.withdrawn(start), 4 * FIRST);
        assert_eq!(hold_down.withdrawn(start), 16 * FIRST);
        assert_eq!(hold_down.withdrawn(start), 64 * FIRST);
        assert_eq!(hold_down.withdrawn(start), MAX);
        // Five withdrawals have become 2.5 after a half-life, and this is one more: 10 s · 4^2.5.
        assert_eq!(hold_down.withdrawn(start.after(HALF_LIFE)), 32 * FIRST);
        assert_eq!(hold_down.withdrawn(start.after(1000 * HALF_LIFE)), FIRST);
    }

    #[test]
    fn any_number_of_withdrawals_stays_at_the_longest() {
        let mut hold_down = HoldDown::new(Duration::from_secs(60), MonotonicTime(0));
        for _ in 0..100_000 {
            hold_down.withdrawn(MonotonicTime(0));
        }
        assert_eq!(hold_down.withdrawn(MonotonicTime(0)), MAX);
    }
}
