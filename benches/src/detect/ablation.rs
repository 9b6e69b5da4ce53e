//! What each part of the engine is worth: the scenarios again without it.

use std::collections::BTreeSet;

use anycast_tests::simulation::{self, Environment, Experiment, Outcome, Scenario, quantile};
use anycast_user::detect::Parts;
use anyhow::Result;
use serde::Serialize;

use super::{combinations, threads::on_all_cores};

const SEEDS: u64 = 2;
/// A median that is worse by more than this is told.
const SLOWER: f64 = 1.2;

/// What goes wrong without a part.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// What was left out.
    pub(super) without: &'static str,
    pub(super) runs: usize,
    pub(super) wrong_withdrawals: usize,
    pub(super) missed: usize,
    /// Local probes sent, against those of the whole engine, in scenarios whose service lives.
    pub(super) probes_ratio: f64,
    /// The median over scenarios of their median delay, against that of the whole engine.
    pub(super) delay_ratio: Option<f64>,
    /// Scenarios that go wrong, miss something, or find the death later, and did not with the whole engine.
    pub(super) worse: BTreeSet<&'static str>,
}

type Job<'a> = (usize, &'a Scenario, Environment, u64);

pub(super) fn run(scenarios: &[Scenario], environments: &[Environment], quick: bool) -> Result<Vec<Row>> {
    let seeds = if quick { 1 } else { SEEDS };
    let experiments = experiments();
    let cases: Vec<_> = combinations(scenarios, environments).collect();
    let jobs: Vec<Job<'_>> = [Experiment::NONE]
        .into_iter()
        .chain(experiments.iter().map(|(_, experiment)| *experiment))
        .flat_map(|experiment| {
            cases
                .iter()
                .enumerate()
                .flat_map(move |(case, (scenario, environment))| {
                    let environment = Environment {
                        experiment,
                        ..*environment
                    };
                    (1..=seeds).map(move |seed| (case, *scenario, environment, seed))
                })
        })
        .collect();
    let outcomes = on_all_cores("without a part", &jobs, |(_, scenario, environment, seed)| {
        simulation::run(scenario, environment, *seed)
    })?;
    let of_each = cases.len() * seeds as usize;
    let mut parts = jobs.chunks(of_each).zip(outcomes.chunks(of_each));
    let Some(whole) = parts.next() else {
        return Ok(Vec::new());
    };
    let whole = Part::of(whole, cases.len());
    let rows = experiments.iter().zip(parts).map(|((without, _), part)| {
        let part = Part::of(part, cases.len());
        part.against(&whole, without, &cases)
    });
    Ok(rows.collect())
}

fn experiments() -> Vec<(&'static str, Experiment)> {
    let part = |leave_out: fn(&mut Parts)| {
        let mut experiment = Experiment::NONE;
        leave_out(&mut experiment.parts);
        experiment
    };
    let without_veto = Experiment {
        probes_veto: false,
        ..Experiment::NONE
    };
    let without_proof = Experiment {
        trickle_needs_proof: false,
        ..Experiment::NONE
    };
    vec![
        ("the veto of probes", without_veto),
        ("the cap by the baseline", part(|parts| parts.baseline_cap = false)),
        ("the lag", part(|parts| parts.lag = false)),
        ("the dispersion", part(|parts| parts.dispersion = false)),
        ("the overload class", part(|parts| parts.overload = false)),
        ("the proof by 128 probes", without_proof),
        ("the low expectile", part(|parts| parts.low_expectile = false)),
        ("the silence channel", part(|parts| parts.silence = false)),
        ("the residual channel", part(|parts| parts.residual = false)),
    ]
}

/// What came of all cases with some engine.
struct Part {
    runs: usize,
    cases: Vec<Case>,
}

#[derive(Clone, Default)]
struct Case {
    wrong: usize,
    missed: usize,
    probes: u64,
    delays_ms: Vec<f64>,
}

impl Case {
    fn delay_ms(&self) -> Option<f64> {
        quantile(&self.delays_ms, 0.5)
    }
}

impl Part {
    fn of((jobs, outcomes): (&[Job<'_>], &[Outcome]), count: usize) -> Self {
        let mut cases = vec![Case::default(); count];
        for ((case, ..), outcome) in jobs.iter().zip(outcomes) {
            if let Some(case) = cases.get_mut(*case) {
                case.wrong += usize::from(outcome.wrong);
                case.missed += usize::from(outcome.missed);
                case.probes += outcome.probes;
                case.delays_ms.extend(outcome.delay_ms);
            }
        }
        for case in &mut cases {
            case.delays_ms.sort_by(f64::total_cmp);
        }
        Self {
            runs: jobs.len(),
            cases,
        }
    }

    fn against(&self, whole: &Self, without: &'static str, cases: &[(&Scenario, Environment)]) -> Row {
        let mut worse = BTreeSet::new();
        let mut ratios = Vec::new();
        let (mut probes, mut probes_whole) = (0, 0);
        for ((part, whole), (scenario, _)) in self.cases.iter().zip(&whole.cases).zip(cases) {
            let ratio = part.delay_ms().zip(whole.delay_ms()).map(|(part, whole)| part / whole);
            ratios.extend(ratio);
            if scenario.kind != simulation::Kind::Must {
                probes += part.probes;
                probes_whole += whole.probes;
            }
            let is_slower = ratio.is_some_and(|ratio| ratio > SLOWER);
            if part.wrong > whole.wrong || part.missed > whole.missed || is_slower {
                worse.insert(scenario.name);
            }
        }
        ratios.sort_by(f64::total_cmp);
        Row {
            without,
            runs: self.runs,
            wrong_withdrawals: self.cases.iter().map(|case| case.wrong).sum(),
            missed: self.cases.iter().map(|case| case.missed).sum(),
            probes_ratio: probes as f64 / probes_whole.max(1) as f64,
            delay_ratio: quantile(&ratios, 0.5),
            worse,
        }
    }
}
