//! What a tick costs in reading: queries and answers of 64 services, summed over the CPUs, from mapped memory.

use std::{hint::black_box, time::Instant};

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::{Datapath, LoadSettings, Service};
use anyhow::Result;
use serde::Serialize;

const SERVICES: u8 = 64;
const POLLS_PER_ROUND: u32 = 10_000;
const ROUNDS: usize = 51;

#[derive(clap::Args)]
pub(crate) struct PollArgs {
    /// Print the result as one JSON object, the last line on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    services: u8,
    /// Of one poll of all services, in nanoseconds: the fastest round, and the median of all rounds.
    best_ns: f64,
    median_ns: f64,
}

pub(crate) fn run(arguments: &PollArgs) -> Result<()> {
    let services: Vec<Service> = (0..SERVICES)
        .map(|last| Service::new([192, 0, 2, last], 53, Classifier::DnsUdp))
        .collect();
    let bank = Datapath::load(&services, &LoadSettings::default())?.bank();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..POLLS_PER_ROUND {
                for service in 0..usize::from(SERVICES) {
                    black_box(bank.queries_and_answers(black_box(service)));
                }
            }
            start.elapsed().as_nanos() as f64 / f64::from(POLLS_PER_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
    let report = Report {
        services: SERVICES,
        best_ns: at(0),
        median_ns: at(ROUNDS / 2),
    };
    eprintln!(
        "poll of {SERVICES} services: best {:.0} ns, median {:.0} ns",
        report.best_ns, report.median_ns
    );
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}
