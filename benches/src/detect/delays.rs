//! How soon a server that hangs is found, from ten queries a second to a hundred thousand: by its silence alone, and with
//! probes.

use std::time::Duration;

use anycast_tests::simulation::{self, Change, Environment, Experiment, Kind, LatencyModel, Scenario, quantile, watch};
use anyhow::Result;
use serde::Serialize;

use super::{
    report::{TEN_YEARS, t1_ms},
    threads::on_all_cores,
};

/// Queries a second.
pub(super) const RATES: [f64; 9] = [10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5];
const RUNS: u64 = 100;
const RUNS_QUICK: u64 = 9;
/// Of a quick look: what is beyond takes longest.
const RATE_QUICK_MOST: f64 = 1e4;
/// Answers before the fault: more than arming needs.
const ANSWERS_BEFORE: f64 = 1300.0;

/// What may find the death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Method {
    /// No probe, no floor.
    SilenceAlone,
    /// Probes, and no floor.
    ProbesNoFloor,
    /// Probes and the default floor: 30 ms.
    ProbesAndFloor,
}

impl Method {
    pub(super) const ALL: [Self; 3] = [Self::SilenceAlone, Self::ProbesNoFloor, Self::ProbesAndFloor];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SilenceAlone => "silence alone, floor 0",
            Self::ProbesNoFloor => "with probes, floor 0",
            Self::ProbesAndFloor => "with probes, floor 30 ms",
        }
    }

    /// From the death until it is found, in milliseconds.
    fn delay_ms(self, rate: f64, seed: u64) -> Option<f64> {
        // Ticks and deaths don't keep step.
        let odd = Duration::from_millis(7 * seed);
        let floor = match self {
            Self::SilenceAlone => return watch(rate, 0.0, TEN_YEARS, Duration::from_secs(60) + odd, seed).delay_ms,
            Self::ProbesNoFloor => Duration::ZERO,
            Self::ProbesAndFloor => Duration::from_millis(30),
        };
        let scenario = Scenario::new("hangs", Kind::Must);
        let warm_up = scenario.warm_up.max(Duration::from_secs_f64(ANSWERS_BEFORE / rate));
        let scenario = Scenario {
            floor,
            warm_up,
            ..scenario.fault(Duration::from_secs(5) + odd, Change::Hang)
        };
        let environment = Environment {
            latency: LatencyModel::Authoritative,
            measured: true,
            queries_per_second: rate,
            experiment: Experiment::NONE,
        };
        simulation::run(&scenario, &environment, seed).delay_ms
    }
}

/// What came of a method at a rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Row {
    pub(super) method: Method,
    pub(super) queries_per_s: f64,
    pub(super) runs: usize,
    pub(super) missed: usize,
    pub(super) delay_p50_ms: Option<f64>,
    pub(super) delay_p99_ms: Option<f64>,
    pub(super) t1_ms: f64,
}

pub(super) fn run(quick: bool) -> Result<Vec<Row>> {
    let (runs, most) = if quick {
        (RUNS_QUICK, RATE_QUICK_MOST)
    } else {
        (RUNS, f64::INFINITY)
    };
    let cases = || {
        let rates = RATES.into_iter().filter(move |rate| *rate <= most);
        rates.flat_map(|rate| Method::ALL.map(|method| (method, rate)))
    };
    let jobs: Vec<_> = cases()
        .flat_map(|(method, rate)| (1..=runs).map(move |seed| (method, rate, seed)))
        .collect();
    let delays = on_all_cores("delay against rate", &jobs, |(method, rate, seed)| {
        method.delay_ms(*rate, *seed)
    })?;
    let rows = cases()
        .zip(delays.chunks(runs as usize))
        .map(|((method, rate), delays)| {
            let mut found: Vec<f64> = delays.iter().flatten().copied().collect();
            found.sort_by(f64::total_cmp);
            Row {
                method,
                queries_per_s: rate,
                runs: runs as usize,
                missed: runs as usize - found.len(),
                delay_p50_ms: quantile(&found, 0.5),
                delay_p99_ms: quantile(&found, 0.99),
                t1_ms: t1_ms(rate),
            }
        });
    Ok(rows.collect())
}

/// Prints a table for people, on stderr.
pub(super) fn say(rows: &[Row]) {
    eprintln!(
        "{:<28} {:>8} {:>5} {:>5} {:>8} {:>8} {:>8}",
        "death found by", "qps", "runs", "miss", "p50 ms", "p99 ms", "T1 ms"
    );
    for row in rows {
        let number = |delay: Option<f64>| delay.map_or_else(|| "-".to_owned(), |delay| format!("{delay:.1}"));
        eprintln!(
            "{:<28} {:>8} {:>5} {:>5} {:>8} {:>8} {:>8.2}",
            row.method.name(),
            row.queries_per_s,
            row.runs,
            row.missed,
            number(row.delay_p50_ms),
            number(row.delay_p99_ms),
            row.t1_ms,
        );
    }
}
