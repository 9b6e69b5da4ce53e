//! The one clock of the daemon: `CLOCK_MONOTONIC`, in nanoseconds.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A reading of `CLOCK_MONOTONIC` in nanoseconds.
///
/// Not [`std::time::Instant`], because it is compared with the timestamps of other processes, printed in events, and
/// made up by tests and simulations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicTime(pub u64);

impl MonotonicTime {
    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        // The call can't fail for this clock on any supported kernel; zero would show as a clock that stands still,
        // which makes every silence zero: the cautious side.
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Self(0), |time| Self(Duration::from(time).as_nanos() as u64))
    }

    /// The time since `earlier`, zero when that is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in seconds, where every nanosecond counts: without the division that a [`Duration`] is made by.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 * 1e-9
    }

    /// This time and `duration` more; saturates after 584 years.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The same with nanoseconds.
    #[must_use]
    pub fn after_nanoseconds(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// The time `milliseconds` after the clock's start, to the nanosecond where a floating-point number can tell. `None` for
    /// what is no such time: negative, not a number, or after 584 years.
    #[must_use]
    pub fn from_millis_f64(milliseconds: f64) -> Option<Self> {
        let nanoseconds = (milliseconds * 1e6).round();
        (milliseconds >= 0.0 && nanoseconds < u64::MAX as f64).then_some(Self(nanoseconds as u64))
    }

    /// Milliseconds since the clock's start.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}
