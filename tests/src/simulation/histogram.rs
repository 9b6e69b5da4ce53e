//! Latencies as the kernel programs count them: by buckets of an eighth of an octave.

use std::time::Duration;

const PER_OCTAVE: f64 = 8.0;
/// From 2⁻⁷ ms (8 µs) to 2¹³ ms (8 s).
const LOWEST_OCTAVE: f64 = -7.0;
const BUCKETS: usize = 160;

/// Latencies of the last minute or so.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    /// Whether anybody wants to know: it costs.
    pub(super) wanted: bool,
    counts: Vec<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            wanted: false,
            counts: vec![0; BUCKETS],
        }
    }
}

impl Latencies {
    pub(super) fn note(&mut self, milliseconds: f64) {
        if self.wanted {
            let bucket = ((milliseconds.log2() - LOWEST_OCTAVE) * PER_OCTAVE).max(0.0) as usize;
            if let Some(count) = self.counts.get_mut(bucket.min(BUCKETS - 1)) {
                *count += 1;
            }
        }
    }

    /// Upper bounds of the buckets, and counts.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + Clone + '_ {
        (1_u32..).zip(&self.counts).map(|(bound, count)| {
            let milliseconds = (LOWEST_OCTAVE + f64::from(bound) / PER_OCTAVE).exp2();
            (Duration::from_secs_f64(milliseconds / 1e3), *count)
        })
    }

    /// Half of what is known is forgotten.
    pub(super) fn fade(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
    }
}
