//! The lab's failover, several times: the spread of each latency.

use anycast_tests::{
    arguments::LabArguments,
    binaries::Binaries,
    fault::Fault,
    interrupt,
    scenario::{Failover, Summary, failover},
    server::ServerKind,
    timeline::Silent,
};
use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;

#[derive(clap::Args)]
pub(crate) struct FailoverArgs {
    #[command(flatten)]
    lab: LabArguments,
    /// How many times
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
}

/// Runs of which one in a hundred is at least one.
const RUNS_FOR_P99: u64 = 100;

/// Milliseconds from just before the fault.
#[derive(Debug, PartialEq, Serialize)]
struct Spread {
    runs: u64,
    min: f64,
    median: f64,
    /// `None` of fewer than a hundred, of which it would be the maximum by another name.
    p99: Option<f64>,
    max: f64,
}

#[derive(Serialize)]
struct Report {
    fault: Fault,
    server: ServerKind,
    rate_qps: u32,
    floor_ms: f64,
    family: u8,
    runs: u32,
    withdrawn: u32,
    detect_ms: Option<Spread>,
    link_down_ms: Option<Spread>,
    wire_ms: Option<Spread>,
    failover_ms: Option<Spread>,
    queries_lost_median: u64,
}

pub(crate) fn run(arguments: &FailoverArgs) -> Result<()> {
    let FailoverArgs { lab, runs } = arguments;
    interrupt::catch().context("can't catch Ctrl-C")?;
    let options = Failover {
        rate_qps: lab.rate,
        floor: lab.floor,
        family: lab.family,
        duration: lab.duration,
        server: lab.server,
        fault: lab.fault,
        binaries: Binaries::find()?,
    };
    let mut summaries = Vec::new();
    for run in 1..=*runs {
        let summary = failover(&options, &mut Silent)?;
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms"));
        eprintln!(
            "run {run} of {runs}: detection {}, link down {}, on the wire {}, other node answers {}, {} queries lost",
            ms(summary.detect_ms),
            ms(summary.link_down_ms),
            ms(summary.wire_ms),
            ms(summary.failover_ms),
            summary.queries_lost
        );
        for surprise in summary.surprises() {
            eprintln!("  not as it should be: {surprise}");
        }
        summaries.push(summary);
    }
    let report = report(&summaries)?;
    for (name, spread) in [
        ("detection", &report.detect_ms),
        ("link down", &report.link_down_ms),
        ("WITHDRAW on the wire", &report.wire_ms),
        ("first answer elsewhere", &report.failover_ms),
    ] {
        if let Some(Spread {
            min, median, p99, max, ..
        }) = spread
        {
            let p99 = p99.map_or_else(String::new, |p99| format!("  p99 {p99:7.2}"));
            eprintln!("{name:<24} min {min:7.2}  median {median:7.2}{p99}  max {max:7.2} ms");
        }
    }
    if lab.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    let surprised = summaries
        .iter()
        .filter(|summary| !summary.surprises().is_empty())
        .count();
    ensure!(surprised == 0, "{surprised} of {runs} runs did not go as they should");
    Ok(())
}

fn report(summaries: &[Summary]) -> Result<Report> {
    let first = summaries.first().context("no run")?;
    let spread = |of: fn(&Summary) -> Option<f64>| Spread::of(summaries.iter().filter_map(of));
    let mut lost: Vec<u64> = summaries.iter().map(|summary| summary.queries_lost).collect();
    lost.sort_unstable();
    Ok(Report {
        fault: first.fault,
        server: first.server,
        rate_qps: first.rate_qps,
        floor_ms: first.floor_ms,
        family: first.family,
        runs: summaries.len() as u32,
        withdrawn: summaries.iter().filter(|summary| summary.withdrawn).count() as u32,
        detect_ms: spread(|summary| summary.detect_ms)?,
        link_down_ms: spread(|summary| summary.link_down_ms)?,
        wire_ms: spread(|summary| summary.wire_ms)?,
        failover_ms: spread(|summary| summary.failover_ms)?,
        queries_lost_median: lost.get(lost.len() / 2).copied().unwrap_or(0),
    })
}

impl Spread {
    /// `None` of nothing.
    fn of(milliseconds: impl Iterator<Item = f64>) -> Result<Option<Self>> {
        const MICROSECONDS: f64 = 1000.0;
        let mut histogram = Histogram::<u64>::new(3)?;
        for value in milliseconds {
            histogram.record((value * MICROSECONDS) as u64)?;
        }
        let ms = |microseconds: u64| microseconds as f64 / MICROSECONDS;
        Ok((!histogram.is_empty()).then(|| Self {
            runs: histogram.len(),
            min: ms(histogram.min()),
            median: ms(histogram.value_at_quantile(0.5)),
            p99: (histogram.len() >= RUNS_FOR_P99).then(|| ms(histogram.value_at_quantile(0.99))),
            max: ms(histogram.max()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(runs: u32) -> Option<Spread> {
        Spread::of((1..=runs).map(f64::from)).unwrap()
    }

    #[test]
    fn a_percentile_needs_as_many_runs() {
        assert_eq!(spread(0), None);
        let Spread { runs, min, p99, .. } = spread(10).unwrap();
        assert_eq!((runs, min, p99), (10, 1.0, None));
        assert_eq!(spread(99).unwrap().p99, None);
        let p99 = spread(100).unwrap().p99.unwrap();
        assert!((p99 - 99.0).abs() < 0.1, "{p99}");
    }
}
