//! The engine in every simulated scenario, in short: nothing is withdrawn that lives, and everything that is dead.
//!
//! `cargo xtask bench detect` has all rates and more seeds, and with `--events` it tells a run.

use std::time::Duration;

use anycast_tests::{
    all_cores::on_all_cores,
    simulation::{Environment, Experiment, LatencyModel, Scenario, catalogue, run, watch},
};

const SEEDS: [u64; 1] = [1];

fn environment(latency: LatencyModel) -> Environment {
    Environment {
        latency,
        measured: true,
        queries_per_second: 500.0,
        experiment: Experiment::NONE,
    }
}

fn named(name: &str) -> Option<Scenario> {
    catalogue::all().into_iter().find(|scenario| scenario.name == name)
}

#[test]
fn nothing_is_withdrawn_wrongly_and_nothing_is_missed() {
    let scenarios = catalogue::all();
    let environments = [LatencyModel::Authoritative, LatencyModel::Resolver].map(environment);
    let mut jobs = Vec::new();
    for scenario in &scenarios {
        for environment in environments.iter().filter(|environment| scenario.suits(environment)) {
            jobs.extend(SEEDS.map(|seed| (scenario, environment, seed)));
        }
    }
    let play = |(scenario, environment, seed): &(&Scenario, &Environment, u64)| run(scenario, environment, *seed);
    let outcomes = on_all_cores(&jobs, play, |_| {}).unwrap();
    let failures: Vec<_> = jobs
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.wrong || outcome.missed || !outcome.armed)
        .map(|((scenario, environment, seed), outcome)| {
            format!("{}, {:?}, seed {seed}: {outcome:?}", scenario.name, environment.latency)
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = named("hangs in bursty demand").unwrap();
    let [first, again, other] = [7, 7, 8].map(|seed| run(&scenario, &environment(LatencyModel::Resolver), seed));
    assert_eq!(first, again);
    assert_ne!(first, other);
}

/// Otherwise that nothing is withdrawn wrongly would prove nothing.
#[test]
fn an_engine_whom_an_answered_probe_does_not_tell_anything_withdraws_living_services() {
    let mut environment = environment(LatencyModel::Authoritative);
    environment.experiment.probes_veto = false;
    let scenario = named("an ACL drops clients with 99 % of the traffic").unwrap();
    assert!((1..=8).any(|seed| run(&scenario, &environment, seed).wrong));
}

#[test]
fn silence_alone_finds_a_death_in_its_time_and_keeps_its_budget() {
    let watched = watch(100.0, 10.0, Duration::from_secs(1000), Duration::from_secs(2000), 1);
    // Two are expected; nine or more come by chance once in four thousand trials.
    assert!(watched.false_alarms < 9, "{watched:?}");
    let least_ms = 1e3 * (100.0 * 1000.0_f64).ln_1p() / 100.0;
    let delay_ms = watched.delay_ms.unwrap();
    assert!(
        delay_ms >= 0.8 * least_ms && delay_ms <= 1.6 * least_ms,
        "{delay_ms} {least_ms}"
    );
}
