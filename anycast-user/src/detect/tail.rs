//! How far do the silences of this service reach while it is well? The last check before silence may mean anything.

use std::time::Duration;

use super::Nats;

/// Width of a bin.
const BIN: Nats = 0.5;
/// Bins; the last one is open.
const BINS: usize = 96;
/// Silences that the tail is judged by. With fewer nothing speaks against the service.
const SILENCES_MIN: u64 = 20;
/// How much too often a false alarm would have to come for the service to be refused: the estimate is rough.
const TOLERANCE: f64 = 10.0;

/// A histogram of the evidence that had gathered when an answer ended a silence.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    bins: [u32; BINS],
    /// Since the bins were halved, or begun.
    age: Duration,
    /// The time that they stand for.
    watched: Duration,
}

/// After this long what was seen counts half, so that one bad minute does not keep a service unarmed.
const HALF_LIFE: Duration = Duration::from_secs(300);

impl Tail {
    pub(super) fn new() -> Self {
        Self {
            bins: [0; BINS],
            age: Duration::ZERO,
            watched: Duration::ZERO,
        }
    }

    /// Time passes.
    pub(super) fn fade(&mut self, elapsed: Duration) {
        self.age += elapsed;
        self.watched += elapsed;
        if self.age >= HALF_LIFE {
            self.age = Duration::ZERO;
            self.watched /= 2;
            self.bins.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// An answer came when so much evidence had gathered.
    pub(super) fn silence_ended(&mut self, evidence: Nats) {
        let bin = (evidence / BIN) as usize;
        if bin > 0
            && let Some(count) = self.bins.get_mut(bin.min(BINS - 1))
        {
            *count = count.saturating_add(1);
        }
    }

    /// Whether silences that reach `threshold` would come more often than once in `budget` seconds.
    ///
    /// By the exponential tail beyond a level u that [`SILENCES_MIN`] silences exceeded: N(u)/T · e^(−(h − u)/β), with the
    /// mean excess β over u (Pickands, *Annals of Statistics* 3, 1975, with shape 0), taken as two standard errors less
    /// than measured. β of Poisson answers is 1.
    pub(super) fn is_too_heavy(&self, threshold: Nats, budget: f64) -> bool {
        let mut above = 0_u64;
        let mut excess = 0.0;
        for (bin, &count) in self.bins.iter().enumerate().rev() {
            // What was above the level before is above this one by a bin more.
            excess += BIN * above as f64 + BIN / 2.0 * f64::from(count);
            above += u64::from(count);
            if above >= SILENCES_MIN {
                let level = BIN * bin as f64;
                let number = above as f64;
                let mean_excess = excess / number / (1.0 + 2.0 / number.sqrt());
                let per_second = number / self.watched.as_secs_f64().max(1.0);
                let reaches = per_second * ((level - threshold) / mean_excess).min(0.0).exp();
                return reaches * budget > TOLERANCE;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One in e^(1/β) of the silences that reach a bin reaches the next: an exponential tail of mean β.
    fn tail(mean: f64) -> Tail {
        let mut tail = Tail::new();
        tail.fade(MINUTE);
        for silence in 0..100_000 {
            let quantile = (f64::from(silence) + 0.5) / 100_000.0;
            tail.silence_ended(-mean * quantile.ln());
        }
        tail
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_tail_of_poisson_answers_is_just_light_enough() {
        // 100,000 answers in a minute: 1,667 a second.
        let threshold = (1667.0 * 3.16e8_f64).ln_1p();
        assert!(!tail(1.0).is_too_heavy(threshold, 3.16e8));
        assert!(!tail(0.6).is_too_heavy(threshold, 3.16e8));
        assert!(tail(3.0).is_too_heavy(threshold, 3.16e8));
    }

    #[test]
    fn a_bad_minute_is_forgotten() {
        let mut tail = tail(3.0);
        (0..600).for_each(|_| tail.fade(MINUTE));
        assert!(!tail.is_too_heavy((1667.0 * 3.16e8_f64).ln_1p(), 3.16e8));
    }

    #[test]
    fn a_few_silences_say_nothing() {
        let mut tail = Tail::new();
        (0..19).for_each(|_| tail.silence_ended(40.0));
        assert!(!tail.is_too_heavy(28.0, 3.16e8));
        tail.silence_ended(1e300);
        tail.fade(MINUTE);
        assert!(tail.is_too_heavy(28.0, 3.16e8));
    }
}
