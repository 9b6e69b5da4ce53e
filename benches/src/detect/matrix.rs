//! Every scenario, with every server, rate and seed.

use std::collections::BTreeSet;

use anycast_tests::simulation::{self, Environment, Kind, LatencyModel, Scenario, Summary};
use anyhow::Result;
use serde::Serialize;

use super::{combinations, report::t1_ms, threads::on_all_cores};

/// What came of a scenario with one server at one rate.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) kind: Kind,
    pub(super) latency: LatencyModel,
    /// The engine was told the latencies of healthy transactions.
    pub(super) measured: bool,
    pub(super) queries_per_s: f64,
    pub(super) runs: usize,
    pub(super) seeds: Vec<u64>,
    pub(super) wrong_withdrawals: usize,
    pub(super) missed: usize,
    /// Runs in which the service was never armed, and which prove nothing.
    pub(super) unarmed: usize,
    /// Seeds of all of these.
    pub(super) failed_seeds: BTreeSet<u64>,
    pub(super) delay_p50_ms: Option<f64>,
    pub(super) delay_p99_ms: Option<f64>,
    pub(super) t1_ms: f64,
    pub(super) ratio: Option<f64>,
    pub(super) bar_ms: Option<f64>,
    pub(super) alerts: BTreeSet<&'static str>,
    pub(super) met: bool,
}

pub(super) fn run(scenarios: &[Scenario], environments: &[Environment], seeds: &[u64]) -> Result<Vec<Row>> {
    let cases: Vec<_> = combinations(scenarios, environments).collect();
    let jobs: Vec<_> = cases
        .iter()
        .enumerate()
        .flat_map(|(case, (scenario, environment))| {
            seeds.iter().map(move |seed| (case, *scenario, *environment, *seed))
        })
        .collect();
    let outcomes = on_all_cores("scenarios", &jobs, |(_, scenario, environment, seed)| {
        simulation::run(scenario, environment, *seed)
    })?;
    let rows = cases.iter().enumerate().map(|(case, (scenario, environment))| {
        let of_case = jobs.iter().zip(&outcomes).filter(|(job, _)| job.0 == case);
        let summary = Summary::of(of_case.map(|(job, outcome)| (job.3, outcome)));
        Row::new(scenario, environment, seeds, summary)
    });
    Ok(rows.collect())
}

impl Row {
    fn new(scenario: &Scenario, environment: &Environment, seeds: &[u64], summary: Summary) -> Self {
        let rate = environment.queries_per_second;
        let bar_ms = scenario.bar(rate).map(|bar| bar.as_secs_f64() * 1e3);
        let delay_p50_ms = summary.delay_ms(0.5);
        let in_time = bar_ms.is_none_or(|bar| delay_p50_ms.is_some_and(|delay| delay <= bar));
        let t1_ms = t1_ms(rate);
        Self {
            scenario: scenario.name,
            kind: scenario.kind,
            latency: environment.latency,
            measured: environment.measured,
            queries_per_s: rate,
            runs: summary.runs,
            seeds: seeds.to_vec(),
            wrong_withdrawals: summary.wrong.len(),
            missed: summary.missed.len(),
            unarmed: summary.unarmed.len(),
            met: summary.wrong.is_empty() && summary.missed.is_empty() && summary.unarmed.is_empty() && in_time,
            failed_seeds: [&summary.wrong, &summary.missed, &summary.unarmed]
                .into_iter()
                .flatten()
                .copied()
                .collect(),
            delay_p50_ms,
            delay_p99_ms: summary.delay_ms(0.99),
            t1_ms,
            ratio: delay_p50_ms.map(|delay| delay / t1_ms),
            bar_ms,
            alerts: summary.alerts,
        }
    }
}
