//! What the engine makes of every simulated scenario: wrong withdrawals, misses and delays, how close it comes to the least
//! delay that there can be, whether its budget of false alarms holds, and what a step of it costs.
//!
//! Everything but that cost is simulated, so it is the same on every machine for the same seeds. No root is needed.

mod ablation;
mod calibration;
mod delays;
mod events;
mod matrix;
mod passive;
mod plots;
mod report;
mod step;
mod threads;

use std::path::PathBuf;

use anycast_tests::simulation::{Environment, Experiment, LatencyModel, Scenario, catalogue};
use anyhow::{Result, bail};

use self::report::Report;

/// Queries a second.
const RATES: [f64; 3] = [50.0, 500.0, 10_000.0];
/// Those of a quick look.
const RATES_QUICK: [f64; 1] = [500.0];
const SEEDS_QUICK: u64 = 3;

#[derive(clap::Args)]
pub(crate) struct DetectArgs {
    /// Runs of each scenario with each rate and server; they have the seeds 1, 2, 3 …
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Only scenarios whose name contains this
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only this rate, in queries a second
    #[arg(long, value_name = "QPS")]
    rate: Option<f64>,
    /// Three seeds, 500 queries a second, and short runs of the rest
    #[arg(long)]
    quick: bool,
    /// Only this part of it
    #[arg(long, conflicts_with = "scenario")]
    only: Option<Part>,
    /// Tell all that the engine does in the run with this seed, of every scenario that was chosen
    #[arg(long, value_name = "SEED")]
    events: Option<u64>,
    /// Draw the figures of the documentation into this directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["scenario", "rate", "events"])]
    plots: Option<PathBuf>,
    /// Print the result as one JSON object, the last line on stdout
    #[arg(long)]
    json: bool,
}

/// Parts of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Scenarios,
    Passive,
    Ablations,
    Calibration,
    Step,
}

pub(crate) fn run(arguments: &DetectArgs) -> Result<()> {
    let mut scenarios = catalogue::all();
    if let Some(filter) = &arguments.scenario {
        scenarios.retain(|scenario| scenario.name.contains(filter.as_str()));
        if scenarios.is_empty() {
            bail!("no scenario is called {filter:?}; without --scenario the table names all");
        }
    }
    let environments = environments(arguments);
    if let Some(seed) = arguments.events {
        return events::tell(&scenarios, &environments, seed);
    }
    let seeds = if arguments.quick { SEEDS_QUICK } else { arguments.seeds };
    let seeds: Vec<u64> = (1..=seeds).collect();
    // Who asks for one scenario wants to know about that.
    let only = arguments.only.or(arguments.scenario.as_ref().map(|_| Part::Scenarios));
    let wanted = |part| only.is_none_or(|only| only == part);
    let mut report = Report::default();
    if wanted(Part::Scenarios) {
        report.scenarios = matrix::run(&scenarios, &environments, &seeds)?;
    }
    if wanted(Part::Passive) {
        report.passive = passive::run(arguments.quick)?;
    }
    if wanted(Part::Ablations) {
        report.ablations = ablation::run(&scenarios, &ablation_environments(), arguments.quick)?;
    }
    if wanted(Part::Calibration) {
        report.calibration = Some(calibration::run(arguments.quick)?);
    }
    if wanted(Part::Step) {
        report.step_ns = Some(step::run());
    }
    if arguments.plots.is_some() {
        report.delays = delays::run(arguments.quick)?;
    }
    report.sum_up();
    report.say();
    if let Some(directory) = &arguments.plots {
        delays::say(&report.delays);
        plots::draw(directory, &report.delays, &report.scenarios)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

fn environments(arguments: &DetectArgs) -> Vec<Environment> {
    let rates = match arguments.rate {
        Some(rate) => vec![rate],
        None if arguments.quick => RATES_QUICK.to_vec(),
        None => RATES.to_vec(),
    };
    let mut environments = Vec::new();
    for latency in [LatencyModel::Authoritative, LatencyModel::Resolver] {
        for measured in [false, true] {
            environments.extend(rates.iter().map(|rate| Environment {
                latency,
                measured,
                queries_per_second: *rate,
                experiment: Experiment::NONE,
            }));
        }
    }
    environments
}

/// Those in which parts are left out: as a daemon has it, at the rates at which statistics and floor bind.
fn ablation_environments() -> Vec<Environment> {
    let of = |latency, queries_per_second| Environment {
        latency,
        measured: true,
        queries_per_second,
        experiment: Experiment::NONE,
    };
    let all = [LatencyModel::Authoritative, LatencyModel::Resolver]
        .map(|latency| [of(latency, 500.0), of(latency, 10_000.0)]);
    all.into_iter().flatten().collect()
}

/// Scenarios with the environments in which they make sense.
fn combinations<'a>(
    scenarios: &'a [Scenario],
    environments: &'a [Environment],
) -> impl Iterator<Item = (&'a Scenario, Environment)> {
    scenarios.iter().flat_map(|scenario| {
        let suits = |environment: &&Environment| scenario.suits(environment);
        environments
            .iter()
            .filter(suits)
            .map(move |environment| (scenario, *environment))
    })
}
