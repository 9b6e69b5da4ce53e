//! How long answers take: the kernel's buckets as an [`hdrhistogram`], and how many transactions are sampled for it.

use std::time::Duration;

use anycast_ebpf::{latency::bucket_start, layout::LATENCY_BUCKETS};
use hdrhistogram::Histogram;

use crate::datapath::LatencyReading;

/// Where the kernel's last bucket begins, and everything longer ends.
const LONGEST_NS: u64 = 1 << 34;
/// The buckets are 6.25 % wide: two digits lose nothing.
const SIGNIFICANT_DIGITS: u8 = 2;

/// The latency of sampled transactions.
///
/// A transaction stands for the middle of its bucket, so that a quantile is off by at most 6.25 %, for times from 1 µs to
/// 16 s.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

impl Latency {
    /// What was added between two readings; `None` if nothing was.
    #[must_use]
    pub fn between(before: &LatencyReading, after: &LatencyReading) -> Option<Self> {
        let mut histogram = Histogram::new_with_max(LONGEST_NS, SIGNIFICANT_DIGITS).ok()?;
        for (bucket, (before, after)) in before.buckets.iter().zip(after.buckets).enumerate() {
            histogram.saturating_record_n(middle(bucket), after.saturating_sub(*before));
        }
        (!histogram.is_empty()).then_some(Self { histogram })
    }

    /// The time that a share of `quantile`, from 0 to 1, did not exceed.
    #[must_use]
    pub fn at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(quantile))
    }
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: usize) -> u64 {
    u64::midpoint(bucket_start(bucket), bucket_start(bucket + 1))
}

/// A histogram as metrics have it: the upper bound of each bucket in seconds with the count of that bucket alone, the sum
/// in seconds, and the count. The bounds are powers of two of a nanosecond, from 65.5 µs to 8.6 s, and one that is open.
#[must_use]
pub fn metric(reading: &LatencyReading) -> (Vec<(f64, u64)>, f64, u64) {
    const FIRST: u32 = 16;
    const LAST: u32 = 33;
    let mut buckets: Vec<(f64, u64)> = (FIRST..=LAST)
        .map(|exponent| (Duration::from_nanos(1 << exponent).as_secs_f64(), 0))
        .chain([(f64::INFINITY, 0)])
        .collect();
    let (mut sum, mut count) = (0.0, 0);
    for (bucket, &in_bucket) in reading.buckets.iter().enumerate().take(LATENCY_BUCKETS) {
        let start = bucket_start(bucket);
        // The bucket that starts at 2^16 is the first above 2^16.
        let above = (u64::BITS - start.leading_zeros()).saturating_sub(FIRST) as usize;
        let place = above.min(buckets.len() - 1);
        if let Some((_, total)) = buckets.get_mut(place) {
            *total += in_bucket;
        }
        sum += Duration::from_nanos(middle(bucket)).as_secs_f64() * in_bucket as f64;
        count += in_bucket;
    }
    (buckets, sum, count)
}

/// Sampled transactions per second, of all services together, that the tool allows itself. At some 80 ns for query and
/// answer that is 0.04 % of a core.
pub const SAMPLES_PER_SECOND: f64 = 5000.0;

/// One in two to the power of this many transactions is to be sampled at a rate of queries per second, if it is
/// `present` now.
///
/// ⌈log₂(rate / budget)⌉, at most 31; it comes down only when the next lower one would keep to three quarters of the
/// budget, so that a rate near a power of two doesn't change it every time.
#[must_use]
pub fn sample_exponent(queries_per_second: f64, present: u32) -> u32 {
    let needed = |budget: f64| (queries_per_second / budget).max(1.0).log2().ceil().min(31.0) as u32;
    let least = needed(SAMPLES_PER_SECOND);
    if least >= present {
        least
    } else {
        needed(SAMPLES_PER_SECOND * 0.75).min(present)
    }
}

#[cfg(test)]
mod tests {
    use anycast_ebpf::latency::bucket;
    use proptest::prelude::*;

    use super::*;

    fn reading(times: &[u64]) -> LatencyReading {
        let mut reading = LatencyReading::NOTHING;
        for &ns in times {
            reading.buckets[bucket(ns)] += 1;
        }
        reading
    }

    #[test]
    fn only_what_was_added_counts() {
        let before = reading(&[5_000_000_000; 100]);
        let mut after = before;
        after.buckets[bucket(100_000)] += 1;
        assert!(Latency::between(&before, &before).is_none());
        let added = Latency::between(&before, &after).unwrap();
        assert!(added.at(1.0) < Duration::from_millis(1));
    }

    #[test]
    fn every_sample_is_in_one_bucket_of_the_metric() {
        let times = [
            500,
            65_535,
            65_536,
            131_071,
            131_072,
            8_589_934_591,
            8_589_934_592,
            u64::MAX,
        ];
        let (buckets, _, count) = metric(&reading(&times));
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(count, 8);
        assert_eq!(counts[..3], [2, 2, 1], "below 65.536 us, to 131.072 us, to 262.144 us");
        assert_eq!(counts[counts.len() - 2..], [1, 2], "to 8.6 s, and longer");
        assert_eq!(counts.iter().sum::<u64>(), 8);
    }

    #[test]
    fn samples_keep_to_the_budget() {
        assert_eq!(sample_exponent(0.0, 0), 0);
        assert_eq!(sample_exponent(5_000.0, 0), 0);
        assert_eq!(sample_exponent(5_001.0, 0), 1);
        assert_eq!(sample_exponent(1e6, 6), 8);
        assert_eq!(sample_exponent(f64::INFINITY, 6), 31);
        assert_eq!(sample_exponent(1e6, 31), 9, "coming down, it keeps some distance");
        assert_eq!(
            sample_exponent(9_900.0, 2),
            2,
            "half of that is above three quarters of the budget"
        );
        assert_eq!(sample_exponent(7_000.0, 2), 1);
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_a_sixteenth_at_most(ns in 1_024_u64..16_000_000_000) {
            let latency = Latency::between(&LatencyReading::NOTHING, &reading(&[ns])).unwrap();
            let found = latency.at(0.5).as_nanos() as f64;
            prop_assert!((found / ns as f64 - 1.0).abs() <= 0.0625, "{ns} became {found}");
        }

        #[test]
        fn the_exponent_is_never_above_budget(rate in 0.0_f64..1e9, present in 0_u32..32) {
            let exponent = sample_exponent(rate, present);
            prop_assert!(rate / f64::from(exponent).exp2() <= SAMPLES_PER_SECOND);
        }
    }
}
