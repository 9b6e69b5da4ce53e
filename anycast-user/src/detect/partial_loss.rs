//! A share of the answers is missing, small or large: an alert, never evidence for a withdrawal.

use std::time::Duration;

use super::Nats;

/// Shares of loss that are looked for.
const SHARES: [f64; 4] = [0.125, 0.25, 0.5, 0.75];
/// A: mean time between false alerts of a node.
const TIME_BETWEEN_FALSE_ALERTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// A loss has to last for this many blocks, in each of which answers come: what dies loses part of a block's answers.
const BLOCKS_MIN: u32 = 3;
/// It is over when the statistic has come down to this share of its threshold, on the logarithmic scale.
const OVER: f64 = 0.5;
/// How far above its threshold the statistic may go: what more there were would only make the end of it late.
const HEADROOM: Nats = 10.0;

/// The Shiryaev–Roberts statistic for a mixture of shares of loss.
///
/// R ← (1 + R) Λ in every block, with the likelihood ratio Λ = e^(s E) (1 − s)^a of a loss of s when a answers came and E
/// were expected. R − n is a martingale of a healthy service, so stopping at R ≥ n blocks gives at least n blocks between
/// false alerts, without calibration (Pollak, *Annals of Statistics* 13, 1985; Tartakovsky et al., *Sequential
/// Analysis*, ch. 8). A mixture of such statistics is one too.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartialLoss {
    /// ln R for each share.
    logs: [Nats; SHARES.len()],
    /// Blocks in a row in which it was over its threshold and answers came.
    over: u32,
    found: bool,
}

impl Default for PartialLoss {
    fn default() -> Self {
        Self {
            logs: [f64::NEG_INFINITY; SHARES.len()],
            over: 0,
            found: false,
        }
    }
}

impl PartialLoss {
    /// Ends a block of this many seconds; whether there is a loss, and not of everything. `services` share the budget.
    pub(super) fn end_block(
        &mut self,
        expected: f64,
        answers: u64,
        dispersion: f64,
        block: f64,
        services: u32,
    ) -> bool {
        if answers == 0 || expected <= 0.0 {
            // A loss of everything, or nobody asks: that is for others to find.
            self.over = 0;
            return self.found;
        }
        let blocks = TIME_BETWEEN_FALSE_ALERTS.as_secs_f64() / block.max(1e-3);
        let threshold = (blocks * f64::from(services)).ln();
        for (log, share) in self.logs.iter_mut().zip(SHARES) {
            let ratio = (share * expected + answers as f64 * (-share).ln_1p()) / dispersion;
            *log = (log.exp().ln_1p() + ratio).min(threshold + HEADROOM);
        }
        let mean = self.logs.iter().map(|log| log.exp()).sum::<f64>() / SHARES.len() as f64;
        let is_over = mean.ln() >= threshold;
        self.over = if is_over { self.over.saturating_add(1) } else { 0 };
        self.found = self.over >= BLOCKS_MIN || self.found && mean.ln() >= OVER * threshold;
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: f64 = 0.05;

    /// Blocks until a loss is found.
    fn found(answers: u64) -> Option<u32> {
        let mut loss = PartialLoss::default();
        (1..10_000).find(|_| loss.end_block(100.0, answers, 1.0, BLOCK, 1))
    }

    #[test]
    fn an_eighth_takes_a_second_and_half_a_moment() {
        assert!((15..40).contains(&found(87).unwrap()), "{:?}", found(87));
        assert_eq!(found(50), Some(4));
        assert_eq!(found(0), None, "a death, and not by degrees");
        assert_eq!(found(100), None);
        assert_eq!(found(97), None, "what is left of the rounding of a baseline");
    }

    #[test]
    fn it_is_over_soon_after_it_was() {
        let mut loss = PartialLoss::default();
        (0..100_000).for_each(|_| {
            loss.end_block(100.0, 50, 1.0, BLOCK, 1);
        });
        assert!(loss.found);
        let over = (1..1000).find(|_| !loss.end_block(100.0, 100, 1.0, BLOCK, 1));
        assert!(over.unwrap() < 60, "{over:?}");
    }
}
