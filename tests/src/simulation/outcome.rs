//! What came of a scenario.

use std::collections::BTreeSet;

use super::scenario::{Kind, Scenario};

/// What came of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The route was withdrawn although the service was alive.
    pub wrong: bool,
    /// The service was dead and its route was not withdrawn; or nobody was told what should have been.
    pub missed: bool,
    /// From the fault to the decision, in milliseconds.
    pub delay_ms: Option<f64>,
    /// Alerts after the warm-up.
    pub alerts: BTreeSet<&'static str>,
    /// The service was armed at the end of the warm-up. One that is not proves nothing.
    pub armed: bool,
    /// Local probes that were sent.
    pub probes: u64,
}

/// What came of all runs of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many.
    pub runs: usize,
    /// Seeds of the runs with a wrong withdrawal.
    pub wrong: Vec<u64>,
    /// Seeds of those that missed something.
    pub missed: Vec<u64>,
    /// Seeds of those whose service was never armed.
    pub unarmed: Vec<u64>,
    /// Delays in milliseconds, in order.
    pub delays_ms: Vec<f64>,
    /// All alerts of any run.
    pub alerts: BTreeSet<&'static str>,
}

impl Summary {
    /// Of outcomes by seed.
    #[must_use]
    pub fn of<'a>(outcomes: impl IntoIterator<Item = (u64, &'a Outcome)>) -> Self {
        let mut summary = Self::default();
        for (seed, outcome) in outcomes {
            summary.runs += 1;
            let lists = [
                (outcome.wrong, &mut summary.wrong),
                (outcome.missed, &mut summary.missed),
                (!outcome.armed, &mut summary.unarmed),
            ];
            for (_, list) in lists.into_iter().filter(|(happened, _)| *happened) {
                list.push(seed);
            }
            summary.delays_ms.extend(outcome.delay_ms);
            summary.alerts.extend(&outcome.alerts);
        }
        summary.delays_ms.sort_by(f64::total_cmp);
        summary
    }

    /// A quantile of the delays, in milliseconds.
    #[must_use]
    pub fn delay_ms(&self, share: f64) -> Option<f64> {
        quantile(&self.delays_ms, share)
    }
}

/// A quantile of numbers in order, by the nearest rank.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
}

impl Outcome {
    /// Judges: `acted_ms` is when the route was, or would have been, withdrawn, in milliseconds after the warm-up.
    pub(super) fn judge(mut self, scenario: &Scenario, acted_ms: Option<f64>) -> Self {
        let fault_ms = scenario.fault.as_secs_f64() * 1e3;
        let told = scenario.alerts.is_empty() || scenario.alerts.iter().any(|name| self.alerts.contains(name));
        match scenario.kind {
            Kind::MustNot => self.wrong = acted_ms.is_some(),
            Kind::AlertOnly => {
                self.wrong = acted_ms.is_some();
                self.missed = !told;
            }
            Kind::Must => {
                self.wrong = acted_ms.is_some_and(|acted| acted < fault_ms);
                self.delay_ms = acted_ms.map(|acted| acted - fault_ms).filter(|delay| *delay >= 0.0);
                self.missed = acted_ms.is_none();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_that_were_seen() {
        let numbers: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            [0.5, 0.99, 0.0, 1.0].map(|share| quantile(&numbers, share)),
            [10.0, 20.0, 1.0, 20.0].map(Some)
        );
        assert_eq!(quantile(&[], 0.5), None);
    }
}
