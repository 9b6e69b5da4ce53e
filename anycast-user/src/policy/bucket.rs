//! A token bucket: how often something may happen.

use crate::clock::MonotonicTime;

/// Holds up to `most` tokens and gains some every second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    most: f64,
    per_second: f64,
    tokens: f64,
    at: MonotonicTime,
}

impl Bucket {
    /// Full.
    pub(super) fn new(most: f64, per_second: f64, now: MonotonicTime) -> Self {
        Self {
            most,
            per_second,
            tokens: most,
            at: now,
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: MonotonicTime) -> bool {
        let gained = now.since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.most);
        self.at = self.at.max(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_holds_goes_at_once_and_then_what_it_gains() {
        let at = |milliseconds: u64| MonotonicTime(milliseconds * 1_000_000);
        let mut bucket = Bucket::new(3.0, 1.0, at(0));
        let taken = |bucket: &mut Bucket, from, to| (from..to).filter(|&time| bucket.take(at(time))).count();
        assert_eq!(taken(&mut bucket, 0, 900), 3);
        assert_eq!(taken(&mut bucket, 900, 10_001), 10);
        assert_eq!(taken(&mut bucket, 100_000, 100_500), 3, "it never holds more");
    }
}
