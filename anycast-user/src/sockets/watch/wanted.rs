//! For how long answers are counted as they leave sockets. Pure.

use std::time::Duration;

use crate::clock::MonotonicTime;

/// So long has the count to be wanted before it begins: a suspicion that is over sooner is not worth a program at every
/// socket of the host.
const WAIT: Duration = Duration::from_millis(500);
/// So long after it was wanted last it ends.
const LINGER: Duration = Duration::from_secs(5);

/// Whether the count is wanted, over time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// Without a break since then.
    since: Option<MonotonicTime>,
    last: Option<MonotonicTime>,
}

impl Wanted {
    /// Whether answers are to be counted from `now` on, when they are already or not.
    pub(super) fn is_counted(&mut self, now: MonotonicTime, is_wanted: bool, is_counted: bool) -> bool {
        if is_wanted {
            self.last = Some(now);
        } else {
            self.since = None;
        }
        if is_counted {
            self.last.is_some_and(|last| now.since(last) < LINGER)
        } else {
            is_wanted && now.since(*self.since.get_or_insert(now)) >= WAIT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked every 50 ms, and does as it is told.
    #[derive(Default)]
    struct Drive {
        wanted: Wanted,
        turns: u64,
        is_counted: bool,
    }

    impl Drive {
        fn turn(&mut self, is_wanted: bool) -> bool {
            self.turns += 1;
            let now = MonotonicTime(self.turns * 50_000_000);
            self.is_counted = self.wanted.is_counted(now, is_wanted, self.is_counted);
            self.is_counted
        }
    }

    #[test]
    fn what_flaps_is_not_counted() {
        let mut drive = Drive::default();
        for turn in 0..1000 {
            assert!(!drive.turn(turn % 10 != 0), "{turn}");
        }
    }

    #[test]
    fn the_count_begins_after_half_a_second_and_ends_5_s_after_the_last_want() {
        let mut drive = Drive::default();
        assert_eq!((0..100).take_while(|_| !drive.turn(true)).count(), 10);
        assert_eq!((0..50).filter(|_| drive.turn(false)).count(), 50);
        assert!(drive.turn(true));
        assert_eq!((0..1000).take_while(|_| drive.turn(false)).count(), 99);
        assert_eq!(
            (0..100).take_while(|_| !drive.turn(true)).count(),
            10,
            "and begins anew"
        );
    }
}
