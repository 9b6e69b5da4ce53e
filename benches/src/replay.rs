//! How fast a recording is replayed: its lines read, and every sample judged by the engine. From memory, as a disk would be
//! what is measured otherwise.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anycast_user::{
    clock::MonotonicTime,
    config::Config,
    recording::{Line, Recording, Replay},
};
use anyhow::{Result, ensure};
use serde::Serialize;

/// Samples of a round: more than caches hold, and armed for most of it.
const SAMPLES: u64 = 1_000_000;
const ROUNDS: usize = 5;
const TICK: Duration = Duration::from_millis(1);
/// A day of samples, one every millisecond, in a minute.
const BAR_PER_SECOND: f64 = 24.0 * 3600.0 * 1000.0 / 60.0;

#[derive(clap::Args)]
pub(crate) struct ReplayArgs {
    /// Print the result as one JSON object, the last line on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    name: String,
    services: u64,
    bytes_a_line: f64,
    samples_per_s: Spread,
    bar_samples_per_s: f64,
    /// By the median.
    met: bool,
}

#[derive(Clone, Copy, Serialize)]
struct Spread {
    best: f64,
    median: f64,
}

pub(crate) fn run(arguments: &ReplayArgs) -> Result<()> {
    let mut cases = Vec::new();
    eprintln!(
        "{:<34} {:>12} {:>12}  bar {BAR_PER_SECOND:.0}",
        "samples a second", "best", "median"
    );
    for services in [1, 16] {
        cases.push(Case::measure(services)?);
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&Report { cases })?);
    }
    Ok(())
}

impl Case {
    fn measure(services: u64) -> Result<Self> {
        let text = recording(services);
        let mut rates = (0..ROUNDS).map(|_| round(&text)).collect::<Result<Vec<f64>>>()?;
        rates.sort_by(f64::total_cmp);
        let spread = Spread {
            best: rates.last().copied().unwrap_or_default(),
            median: rates.get(ROUNDS / 2).copied().unwrap_or_default(),
        };
        let name = match services {
            1 => "one service".to_owned(),
            services => format!("{services} services, interleaved"),
        };
        eprintln!("{name:<34} {:>12.0} {:>12.0}", spread.best, spread.median);
        Ok(Self {
            name,
            services,
            bytes_a_line: text.len() as f64 / SAMPLES as f64,
            samples_per_s: spread,
            bar_samples_per_s: BAR_PER_SECOND,
            met: spread.median >= BAR_PER_SECOND,
        })
    }
}

/// What a recorder writes of services that answer all of their queries.
fn recording(services: u64) -> Vec<u8> {
    let names: Vec<String> = (0..services).map(|number| format!("dns@192.0.2.{number}")).collect();
    let mut text = Vec::new();
    let mut at = MonotonicTime(3_600_000_000_000);
    let mut counted = 1_000_000;
    for _ in 0..SAMPLES / services {
        at = at.after(TICK);
        counted += 10;
        for service in &names {
            let line = Line {
                at,
                service,
                queries: counted,
                answers: counted,
                packets: counted,
                hints: 0,
                servfails: 0,
                probe_answered: Some(16),
                probe_refused: Some(0),
            };
            line.write_to(&mut text);
        }
    }
    text
}

/// Samples a second of one replay.
fn round(text: &[u8]) -> Result<f64> {
    let mut recording = Recording::new(Path::new("recording"), text);
    let mut replay = Replay::new(&Config::without_links());
    let started = Instant::now();
    let mut samples = 0_u64;
    while recording.replay_next(&mut replay)? {
        samples += 1;
        drop(replay.take_news());
    }
    replay.finish();
    let took = started.elapsed();
    let withdrawn = replay
        .summary()
        .services
        .iter()
        .any(|service| service.tally.withdrawals > 0);
    ensure!(!withdrawn && samples > 0, "all of these services are healthy");
    Ok(samples as f64 / took.as_secs_f64())
}
