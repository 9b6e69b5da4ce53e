//! How soon a dead service is found by its silence alone, against the least time that its budget of false alarms allows.

use std::time::Duration;

use anycast_tests::simulation::{quantile, watch};
use anyhow::Result;
use serde::Serialize;

use super::{
    report::{TEN_YEARS, t1_ms},
    threads::on_all_cores,
};

const RATES: [f64; 5] = [10.0, 50.0, 100.0, 500.0, 1000.0];
const RUNS: u64 = 300;
const RUNS_QUICK: u64 = 30;
const BAR: f64 = 1.15;

/// What came of a rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Row {
    pub(super) queries_per_s: f64,
    pub(super) runs: usize,
    pub(super) missed: usize,
    pub(super) delay_p50_ms: Option<f64>,
    pub(super) delay_p99_ms: Option<f64>,
    pub(super) t1_ms: f64,
    pub(super) ratio: Option<f64>,
    pub(super) bar: f64,
    pub(super) met: bool,
}

pub(super) fn run(quick: bool) -> Result<Vec<Row>> {
    let runs = if quick { RUNS_QUICK } else { RUNS };
    let jobs: Vec<_> = RATES
        .iter()
        .flat_map(|rate| (1..=runs).map(move |seed| (*rate, seed)))
        .collect();
    // A moment of health of a different length each time, so that ticks and deaths don't keep step.
    let delays = on_all_cores("silence alone", &jobs, |(rate, seed)| {
        watch(*rate, 0.0, TEN_YEARS, Duration::from_millis(60_000 + 7 * seed), *seed).delay_ms
    })?;
    let rows = RATES
        .into_iter()
        .zip(delays.chunks(runs as usize))
        .map(|(rate, delays)| {
            let mut found: Vec<f64> = delays.iter().flatten().copied().collect();
            found.sort_by(f64::total_cmp);
            let (delay_p50_ms, t1_ms) = (quantile(&found, 0.5), t1_ms(rate));
            let ratio = delay_p50_ms.map(|delay| delay / t1_ms);
            let missed = runs as usize - found.len();
            Row {
                queries_per_s: rate,
                runs: runs as usize,
                missed,
                delay_p50_ms,
                delay_p99_ms: quantile(&found, 0.99),
                t1_ms,
                ratio,
                bar: BAR,
                met: missed == 0 && ratio.is_some_and(|ratio| ratio <= BAR),
            }
        });
    Ok(rows.collect())
}
