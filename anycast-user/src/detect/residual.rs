//! Next to nothing is answered: Page's cumulative sum against a residual share of a tenth.

use super::Nats;

/// ρ: the share of answers that a service may have left and still be called dead by this channel.
const RESIDUAL_SHARE: f64 = 0.1;
/// 1 − ρ: what an expected answer adds.
pub(super) const GAIN: f64 = 1.0 - RESIDUAL_SHARE;
/// ln(1/ρ): what an answer takes away.
const LOSS: f64 = std::f64::consts::LN_10;
/// A sum beyond any threshold, and a block's worth: what more there were would only keep a service suspicious after it
/// has come back.
const SUM_MAX: Nats = 200.0;

/// The sum over the blocks that are over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Residual {
    sum: Nats,
}

impl Residual {
    /// Ends a block in which `expected` answers should have come, and `answers` came.
    pub(super) fn end_block(&mut self, expected: f64, answers: u64) {
        self.sum = self.with(expected, answers).min(SUM_MAX + GAIN * expected);
    }

    /// e₂ φ, with what has come of the present block so far. The worth of a block with so many `usual` answers is taken
    /// off, since the answers to its queries may all be on their way.
    pub(super) fn evidence(self, expected: f64, answers: u64, usual: f64) -> Nats {
        (self.with(expected, answers) - GAIN * usual).max(0.0)
    }

    /// S, of the blocks that are over.
    pub(super) fn sum(self) -> Nats {
        self.sum
    }

    fn with(self, expected: f64, answers: u64) -> Nats {
        (self.sum + GAIN * expected - LOSS * answers as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(blocks: u32, expected: f64, answers: u64) -> Residual {
        let mut residual = Residual::default();
        (0..blocks).for_each(|_| residual.end_block(expected, answers));
        residual
    }

    #[test]
    fn a_healthy_service_and_one_with_half_its_answers_never_gather_any() {
        for answers in [100, 50, 40] {
            let residual = after(10_000, 100.0, answers);
            assert!(residual.evidence(0.0, 0, 100.0).abs() < 1e-9, "{answers}");
        }
    }

    #[test]
    fn stray_answers_of_a_dead_one_do_not_hide_it() {
        let residual = after(2, 100.0, 1);
        assert!(residual.evidence(0.0, 0, 100.0) > 80.0);
    }

    #[test]
    fn millions_a_second_are_not_too_many() {
        let residual = after(2, 200_000.0, 1000);
        assert!(residual.evidence(0.0, 0, 200_000.0) >= SUM_MAX * 0.9);
    }

    #[test]
    fn answers_take_it_away_quickly() {
        let mut residual = after(1_000_000, 100.0, 0);
        (0..2).for_each(|_| residual.end_block(100.0, 100));
        assert!(residual.evidence(0.0, 0, 100.0).abs() < 1e-9);
    }
}
