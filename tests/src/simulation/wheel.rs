//! What is still to happen, by the millisecond.

/// How far ahead is kept, in milliseconds: longer than any client waits. A power of two.
const HORIZON: usize = 16_384;

/// Counts of events that are due in some millisecond to come.
///
/// A wheel rather than a heap: at a million queries a second an event must cost a few nanoseconds, and which of them
/// within a millisecond comes first is seen by nobody who looks once a millisecond.
#[derive(Clone, Debug)]
pub(super) struct Wheel {
    buckets: Vec<u32>,
    /// The earliest millisecond that was not taken yet.
    now: u64,
    pending: u64,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![0; HORIZON],
            now: 0,
            pending: 0,
        }
    }

    /// `count` events in millisecond `at`. What is due already happens next; what is beyond the horizon never does.
    pub(super) fn add(&mut self, at: u64, count: u32) {
        let at = at.max(self.now);
        if at - self.now < HORIZON as u64
            && let Some(bucket) = self.buckets.get_mut(at as usize % HORIZON)
        {
            *bucket += count;
            self.pending += u64::from(count);
        }
    }

    /// Takes the events of millisecond `at`, and those before it.
    pub(super) fn take(&mut self, at: u64) -> u32 {
        let mut taken = 0;
        while self.now <= at {
            if self.pending == 0 {
                self.now = at + 1;
                break;
            }
            if let Some(bucket) = self.buckets.get_mut(self.now as usize % HORIZON) {
                let due = std::mem::take(bucket);
                taken += due;
                self.pending = self.pending.saturating_sub(u64::from(due));
            }
            self.now += 1;
        }
        taken
    }

    /// Holds everything that is due before millisecond `until` back to then.
    pub(super) fn hold_until(&mut self, until: u64) {
        let now = self.now;
        if let Some(before) = until.checked_sub(1) {
            let held = self.take(before);
            // The wheel turned; those in between may still be asked for.
            self.now = now;
            self.add(until, held);
        }
    }

    /// Takes everything that is pending, or what `keep` leaves of each millisecond.
    pub(super) fn thin(&mut self, mut keep: impl FnMut(u32) -> u32) -> u32 {
        let mut taken = 0;
        for bucket in self.buckets.iter_mut().filter(|bucket| **bucket > 0) {
            let kept = keep(*bucket).min(*bucket);
            taken += *bucket - kept;
            *bucket = kept;
        }
        self.pending = self.pending.saturating_sub(u64::from(taken));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_when_they_are_due_and_once() {
        let mut wheel = Wheel::new();
        wheel.add(3, 2);
        wheel.add(5, 1);
        assert_eq!(
            (0..8).map(|at| wheel.take(at)).collect::<Vec<_>>(),
            [0, 0, 0, 2, 0, 1, 0, 0]
        );
        wheel.add(1, 4);
        wheel.add(15_000, 1);
        wheel.add(40_000, 1);
        assert_eq!(wheel.take(8), 4, "what is late comes next");
        assert_eq!(wheel.take(14_999), 0);
        assert_eq!(wheel.take(30_000), 1, "the one beyond the horizon never was");
    }

    #[test]
    fn what_is_held_back_comes_together_and_what_is_thinned_is_gone() {
        let mut wheel = Wheel::new();
        for at in 0..10 {
            wheel.add(at, 2);
        }
        wheel.hold_until(6);
        assert_eq!(
            (0..8).map(|at| wheel.take(at)).collect::<Vec<_>>(),
            [0, 0, 0, 0, 0, 0, 14, 2]
        );
        assert_eq!(wheel.thin(|count| count / 2), 2);
        assert_eq!(wheel.take(100), 2);
    }
}
