//! The one clock of the lab: `CLOCK_MONOTONIC`, which the daemon's events carry too.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Two looks at a clock that are no farther apart were not interrupted.
const CLOSE_LOOKS_NS: u64 = 20_000;
/// How often to look for two such; the closest are taken when none are close.
const CLOCK_TRIES: u32 = 10;

/// A moment on `CLOCK_MONOTONIC`, in nanoseconds since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self(nanoseconds(ClockId::CLOCK_MONOTONIC))
    }

    /// A moment given in milliseconds since boot, as the daemon's events give it.
    #[must_use]
    pub fn from_ms(milliseconds: f64) -> Self {
        Self((milliseconds.max(0.0) * 1e6) as u64)
    }

    /// A kernel packet timestamp, which is on `CLOCK_REALTIME`. The offset between the clocks is taken anew each time,
    /// so a step of the wall clock can spoil a packet at most, never a run.
    #[must_use]
    pub fn from_realtime(stamp: TimeSpec) -> Self {
        let (realtime, monotonic) = both_clocks();
        let age = realtime.saturating_sub(Duration::from(stamp).as_nanos() as u64);
        Self(monotonic.saturating_sub(age))
    }

    /// Milliseconds from `earlier` to this moment; negative when this one is the earlier.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> f64 {
        (self.0 as f64 - earlier.0 as f64) / 1e6
    }

    /// The time from `earlier` to this moment; zero when this one is the earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

/// `CLOCK_REALTIME` and `CLOCK_MONOTONIC` of one moment, in nanoseconds: the one is read between two looks at the other,
/// again when the looks are so far apart that the thread was interrupted in between.
fn both_clocks() -> (u64, u64) {
    let mut best = (u64::MAX, (0, 0));
    for _ in 0..CLOCK_TRIES {
        let before = nanoseconds(ClockId::CLOCK_MONOTONIC);
        let realtime = nanoseconds(ClockId::CLOCK_REALTIME);
        let gap = nanoseconds(ClockId::CLOCK_MONOTONIC).saturating_sub(before);
        if gap < best.0 {
            best = (gap, (realtime, before.saturating_add(gap / 2)));
        }
        if gap <= CLOSE_LOOKS_NS {
            break;
        }
    }
    best.1
}

/// A clock that every Linux has can't fail to be read; were it to, time would stand still and every wait would end at
/// its deadline of rounds, not hang.
fn nanoseconds(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_subtract_in_both_directions() {
        let (earlier, later) = (Moment(1_000_000), Moment(3_500_000));
        assert!((later.ms_since(earlier) - 2.5).abs() < 1e-9);
        assert!((earlier.ms_since(later) + 2.5).abs() < 1e-9);
        assert_eq!(earlier.since(later), Duration::ZERO);
        assert_eq!(Moment::from_ms(3.5), later);
    }

    #[test]
    fn a_packet_stamped_now_is_not_far_from_now() {
        let stamp = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
        let moment = Moment::from_realtime(stamp);
        assert!(Moment::now().ms_since(moment).abs() < 1_000.0);
    }
}
