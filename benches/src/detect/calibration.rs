//! Does the budget of false alarms hold? With one of a thousand seconds there are enough to count.
//!
//! A silence of answers without queries is no evidence, so a service that answers all it is asked gives next to no false
//! alarm, whatever the threshold. The budget is put to the test beside queries that nobody answers.

use std::time::Duration;

use anycast_tests::simulation::watch;
use anyhow::Result;
use serde::Serialize;

use super::threads::on_all_cores;

/// A, in seconds.
const BUDGET_S: f64 = 1000.0;
const RATES: [f64; 3] = [50.0, 500.0, 2000.0];
/// Queries that nobody answers, for each that is answered.
const UNANSWERABLE: [f64; 2] = [0.0, 100.0];
/// A run, in simulated hours.
const HOURS: u64 = 1;
const RUNS: u64 = 40;
const RUNS_QUICK: u64 = 2;
/// Of a normal distribution: 95 % of it lie below this.
const ONE_SIDED_95: f64 = 1.645;

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Calibration {
    pub(super) budget_s: f64,
    pub(super) rates: Vec<Row>,
    /// The mean time is at least the budget, at every rate.
    pub(super) met: bool,
}

/// Of one rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Row {
    pub(super) queries_per_s: f64,
    /// Queries that nobody answers, for each of these.
    pub(super) unanswerable: f64,
    pub(super) hours: u64,
    pub(super) false_alarms: u64,
    /// Between two of them; of the whole time, when there was none.
    pub(super) mean_s: f64,
    /// With a confidence of 95 % it is not less than this.
    pub(super) at_least_s: f64,
    /// The budget is not refuted: chance alone would give so many false alarms in one of twenty trials or more.
    pub(super) met: bool,
}

pub(super) fn run(quick: bool) -> Result<Calibration> {
    let runs = if quick { RUNS_QUICK } else { RUNS };
    let cases: Vec<_> = RATES
        .iter()
        .flat_map(|rate| UNANSWERABLE.map(|times| (*rate, times)))
        .collect();
    let jobs: Vec<_> = cases
        .iter()
        .flat_map(|case| (1..=runs).map(move |seed| (*case, seed)))
        .collect();
    let watched = on_all_cores("false alarms", &jobs, |((rate, unanswerable), seed)| {
        watch(
            *rate,
            *unanswerable,
            Duration::from_secs_f64(BUDGET_S),
            Duration::from_secs(HOURS * 3600),
            *seed,
        )
    })?;
    let rates: Vec<Row> = cases
        .iter()
        .zip(watched.chunks(runs as usize))
        .map(|(case, watched)| {
            let alarms = watched.iter().map(|watched| watched.false_alarms).sum();
            Row::new(*case, HOURS * runs, alarms)
        })
        .collect();
    Ok(Calibration {
        budget_s: BUDGET_S,
        met: rates.iter().all(|row| row.met),
        rates,
    })
}

impl Row {
    fn new((queries_per_s, unanswerable): (f64, f64), hours: u64, false_alarms: u64) -> Self {
        let seconds = (hours * 3600) as f64;
        let alarms = false_alarms as f64;
        Self {
            queries_per_s,
            unanswerable,
            hours,
            false_alarms,
            mean_s: seconds / alarms.max(1.0),
            // Upper bound of a Poisson mean (Wilson and Hilferty's approximation of the chi-squared quantile).
            at_least_s: {
                let events = alarms + 1.0;
                let bound = 1.0 - 1.0 / (9.0 * events) + ONE_SIDED_95 / (3.0 * events.sqrt());
                seconds / (events * bound.powi(3))
            },
            met: alarms <= most_by_chance(seconds / BUDGET_S),
        }
    }
}

/// So many events of a Poisson process with this mean are exceeded in one of twenty trials.
fn most_by_chance(mean: f64) -> f64 {
    mean + ONE_SIDED_95 * mean.sqrt() + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_chi_squared_table() {
        // Ten events: the 95 % quantile of chi-squared with 22 degrees of freedom is 33.92.
        let row = Row::new((50.0, 10.0), 1, 10);
        assert!((row.at_least_s - 3600.0 / (33.92 / 2.0)).abs() < 1.0, "{row:?}");
        let none = Row::new((50.0, 10.0), 1, 0);
        assert!((none.at_least_s - 3600.0 / 2.996).abs() < 20.0, "{none:?}");
    }

    #[test]
    fn too_many_false_alarms_are_not_chance() {
        assert!(Row::new((50.0, 10.0), 100, 360).met);
        assert!(!Row::new((50.0, 10.0), 100, 420).met);
    }
}
