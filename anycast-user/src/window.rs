//! How long a burst of probes waits for answers during a suspicion: long enough for this server on this machine, and no
//! longer.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Ten times a usual round trip, within these bounds …
const USUAL_FACTOR: u32 = 10;
const USUAL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(5));
/// … but never less than twice of it, and no more than this.
const LEAST_FACTOR: u32 = 2;
const MOST: Duration = Duration::from_millis(100);
/// What all but one in a thousand bursts need for their slowest round trip is usual.
const USUAL_QUANTILE: f64 = 0.999;
/// Round trips that the histogram tells apart, in nanoseconds.
const HISTOGRAM_NS: (u64, u64) = (1_000, 10_000_000_000);
const HISTOGRAM_DIGITS: u8 = 2;

/// Learns from every burst that was answered, also from answers that came late.
#[derive(Debug)]
pub struct ProbeWindow {
    round_trips: Histogram<u64>,
    window: Duration,
}

impl ProbeWindow {
    /// Knows nothing yet. `None` never happens: the bounds are within the histogram's limits.
    #[must_use]
    pub fn new() -> Option<Self> {
        let (lowest, highest) = HISTOGRAM_NS;
        let round_trips = Histogram::new_with_bounds(lowest, highest, HISTOGRAM_DIGITS).ok()?;
        Some(Self {
            round_trips,
            window: USUAL.1,
        })
    }

    /// Takes the slowest round trip of a burst. Allocates nothing.
    pub fn learn(&mut self, slowest: Duration) {
        self.round_trips.saturating_record(slowest.as_nanos() as u64);
        let usual = Duration::from_nanos(self.round_trips.value_at_quantile(USUAL_QUANTILE));
        let (shortest, longest) = USUAL;
        self.window = (usual * USUAL_FACTOR)
            .clamp(shortest, longest)
            .max(usual * LEAST_FACTOR)
            .min(MOST);
    }

    /// How long to wait now.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.window
    }

    /// Whether a burst in a suspicion would wait for this round trip, with room to spare.
    #[must_use]
    pub fn is_quick(slowest: Duration) -> bool {
        slowest * LEAST_FACTOR <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(milliseconds: &[f64]) -> f64 {
        let mut window = ProbeWindow::new().expect("constant bounds");
        for &slowest in milliseconds {
            window.learn(Duration::from_secs_f64(slowest / 1e3));
        }
        window.now().as_secs_f64() * 1e3
    }

    #[test]
    fn it_is_ten_round_trips_within_bounds_and_never_less_than_two() {
        assert!((after(&[]) - 5.0).abs() < 0.1);
        assert!((after(&[0.05]) - 2.0).abs() < 0.1);
        assert!((after(&[0.3]) - 3.0).abs() < 0.1);
        assert!((after(&[2.0]) - 5.0).abs() < 0.1);
        assert!((after(&[20.0]) - 40.0).abs() < 1.0);
        assert!((after(&[900.0]) - 100.0).abs() < 0.1);
    }

    #[test]
    fn the_slowest_of_the_recent_ones_counts_until_a_thousand_are_quicker() {
        assert!((after(&[0.05, 20.0, 0.05]) - 40.0).abs() < 1.0);
        let mut many = vec![0.05; 3000];
        many[0] = 20.0;
        assert!((after(&many) - 2.0).abs() < 0.1);
    }
}
