//! How long a suspicion must last, whatever the evidence: what one route switch costs, or what this server is known for.

use std::time::Duration;

use crate::clock::MonotonicTime;

/// What is asked of a suspicion before it may end in a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorSettings {
    /// The shortest time.
    pub least: Duration,
    /// Whether it grows with the pauses of the healthy server: max(least, 2 × the longest, at most [`Floor::LEARNED_MAX`]).
    pub learn: bool,
}

/// The floor of one service.
#[derive(Clone, Debug)]
pub struct Floor {
    settings: FloorSettings,
    /// The longest pause of each of the last days, with the day's number since the clock's start.
    days: [(u64, Duration); DAYS],
    /// What follows from them, and until when.
    now: Duration,
    until: MonotonicTime,
}

/// Days that a pause is remembered for; the first of them counts while the last one runs.
const DAYS: usize = 8;
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Floor {
    /// The most that pauses can make of it. A server that often is silent for longer is better restarted elsewhere, and
    /// who can make it pause must not be able to make its death unseen.
    pub const LEARNED_MAX: Duration = Duration::from_millis(500);

    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: FloorSettings) -> Self {
        Self {
            settings,
            days: [(0, Duration::ZERO); DAYS],
            now: settings.least,
            until: MonotonicTime(0),
        }
    }

    /// The server paused for so long while queries waited, and then went on.
    pub fn paused(&mut self, now: MonotonicTime, pause: Duration) {
        let day = number(now);
        if let Some(slot) = self.days.get_mut((day % DAYS as u64) as usize) {
            *slot = match *slot {
                (known, longest) if known == day => (day, longest.max(pause)),
                _ => (day, pause),
            };
        }
        self.until = now;
        self.tick(now);
    }

    /// Lets old pauses be forgotten.
    pub fn tick(&mut self, now: MonotonicTime) {
        let FloorSettings { least, learn } = self.settings;
        if !learn || now < self.until {
            return;
        }
        let today = number(now);
        let recent = self.days.iter().filter(|(day, _)| day + DAYS as u64 > today);
        let longest = recent.map(|(_, pause)| *pause).max().unwrap_or_default();
        self.now = least.max((longest * 2).min(Self::LEARNED_MAX));
        self.until = MonotonicTime((today + 1).saturating_mul(DAY.as_nanos() as u64));
    }

    /// The floor as of the last tick.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }
}

fn number(now: MonotonicTime) -> u64 {
    now.0 / DAY.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(30);

    fn floor(learn: bool) -> Floor {
        Floor::new(FloorSettings { least: LEAST, learn })
    }

    fn on(floor: &mut Floor, day: MonotonicTime) -> Duration {
        floor.tick(day);
        floor.now()
    }

    fn day(number: u64) -> MonotonicTime {
        MonotonicTime(number * DAY.as_nanos() as u64 + 5)
    }

    #[test]
    fn it_is_twice_the_longest_pause_of_a_week() {
        let mut floor = floor(true);
        assert_eq!(on(&mut floor, day(0)), LEAST);
        floor.paused(day(3), Duration::from_millis(8));
        assert_eq!(on(&mut floor, day(3)), LEAST);
        floor.paused(day(3), Duration::from_millis(100));
        floor.paused(day(4), Duration::from_millis(40));
        assert_eq!(on(&mut floor, day(10)), Duration::from_millis(200));
        assert_eq!(on(&mut floor, day(11)), Duration::from_millis(80));
        assert_eq!(on(&mut floor, day(12)), LEAST);
    }

    #[test]
    fn nobody_can_make_it_longer_than_half_a_second() {
        let mut floor = floor(true);
        floor.paused(day(1), Duration::from_secs(3600));
        assert_eq!(on(&mut floor, day(1)), Floor::LEARNED_MAX);
    }

    #[test]
    fn one_that_does_not_learn_stays_as_it_is() {
        let mut floor = floor(false);
        floor.paused(day(1), Duration::from_millis(100));
        assert_eq!(on(&mut floor, day(1)), LEAST);
    }
}
