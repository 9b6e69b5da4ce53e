//! What a packet costs in each program, against an empty program of its type.
//!
//! `BPF_PROG_TEST_RUN` repeats a program on one frame. Its own figure is cut to whole nanoseconds, so the thread's CPU time
//! around the call is taken, at two repeat counts: their difference holds the programs and nothing of the call.
//!
//! A processor's clock drifts by several percent from one second to the next, so the fastest time of a program and the
//! fastest of the empty one need not belong together. A try is therefore short and holds both, at both counts; rounds
//! of all cases are interleaved; of all tries of a case only the fastest tenth is looked at, as a busy machine only adds;
//! and of these tries it is the median that counts.
//!
//! A stream of clients can't be had by a call a frame: the call takes hundreds of nanoseconds, and what is looked for is a
//! tenth of their spread. So a [`Rotation`](rotation::Rotation) is put in front: a program of a few instructions that
//! writes another client's address into the frame, each time it is repeated, and then goes on to the program that is
//! measured. The empty program is measured behind one too, so that what it costs cancels out.
//!
//! Everything stays in the processor's nearest caches, as it does on a node under load; on an idle one, packets pay for
//! cache misses besides, whatever programs they meet.

mod case;
mod cases;
mod frames;
mod kernel;
mod measure;
mod rotation;

use anycast_user::{
    datapath::{Datapath, LoadSettings},
    net::LinkIndex,
};
use anyhow::{Context as _, Result};
use serde::Serialize;

use self::{
    case::Bar,
    cases::cases,
    measure::{Bench, typical},
};

/// The index of the loopback device in any network namespace.
const LOOPBACK: LinkIndex = LinkIndex(1);

#[derive(clap::Args)]
pub(crate) struct ProgramsArgs {
    /// Rounds; the fastest counts
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Measure only the cases whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Print the result as one JSON object, the last line on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    cases: Vec<Cost>,
}

/// What one packet of a case costs.
#[derive(Serialize)]
struct Cost {
    name: &'static str,
    /// Nanoseconds a packet.
    ns: f64,
    /// Of the empty program of the same type on the same packets.
    empty_ns: f64,
    /// The first over the second.
    ratio: f64,
    /// The first less the second.
    added_ns: f64,
    /// What it is held to, if anything.
    bar: Option<Bar>,
    met: Option<bool>,
}

pub(crate) fn run(arguments: &ProgramsArgs) -> Result<()> {
    let ProgramsArgs { rounds, filter, json } = arguments;
    let mut cases = cases()?;
    if let Some(filter) = filter {
        cases.retain(|case| case.name.contains(filter.as_str()));
    }
    // In a test run a packet leaves a socket that the kernel makes for it, by loopback.
    let settings = LoadSettings {
        any_socket: true,
        ..LoadSettings::default()
    };
    let mut datapath = Datapath::load(&frames::services(), &settings)?;
    datapath.set_ways_out([LOOPBACK])?;
    let mut bench = Bench::new(datapath, &cases)?;
    for case in &cases {
        bench
            .check(case)
            .with_context(|| format!("{:?} is not what its name says", case.name))?;
    }
    let mut tries = vec![Vec::new(); cases.len()];
    for round in 1..=*rounds {
        eprint!("\rround {round} of {rounds} ");
        for (case, tries) in cases.iter().zip(&mut tries) {
            bench.round(case, tries)?;
        }
    }
    eprintln!();
    let costs: Vec<Cost> = cases
        .iter()
        .zip(tries)
        .filter_map(|(case, tries)| Some(Cost::new(case.name, case.bar, typical(tries)?)))
        .collect();
    say(&costs);
    if *json {
        println!("{}", serde_json::to_string(&Report { cases: costs })?);
    }
    Ok(())
}

impl Cost {
    /// `(ns, empty_ns)` to tenths, below which there is only noise; what is said about them is said of these.
    fn new(name: &'static str, bar: Option<Bar>, (ns, empty_ns): (f64, f64)) -> Self {
        let [ns, empty_ns] = [ns, empty_ns].map(|ns| (ns * 10.0).round() / 10.0);
        let ratio = (ns / empty_ns * 1000.0).round() / 1000.0;
        let added_ns = ((ns - empty_ns) * 10.0).round() / 10.0;
        Self {
            name,
            ns,
            empty_ns,
            ratio,
            added_ns,
            bar,
            met: bar.map(|bar| bar.is_met(ratio, added_ns)),
        }
    }
}

fn say(costs: &[Cost]) {
    eprintln!(
        "{:<32} {:>6} {:>6} {:>6} {:>6}  bar",
        "ns a packet", "packet", "empty", "times", "added"
    );
    for cost in costs {
        let Cost {
            name,
            ns,
            empty_ns,
            ratio,
            added_ns,
            bar,
            met,
        } = cost;
        let bar = bar.map_or_else(|| "-".to_owned(), |bar| bar.to_string());
        let met = match met {
            Some(true) => " met",
            Some(false) => " MISSED",
            None => "",
        };
        eprintln!("{name:<32} {ns:>6.1} {empty_ns:>6.1} {ratio:>6.2} {added_ns:>+6.1}  {bar}{met}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_by_what_is_printed() {
        let met = |bar, ns| Cost::new("", Some(bar), (ns, 20.0)).met.unwrap();
        assert!(met(Bar::Ratio(1.5), 30.0) && !met(Bar::Ratio(1.5), 30.1));
        assert!(met(Bar::AddedNs(8.0), 28.04) && !met(Bar::AddedNs(8.0), 28.1));
        assert_eq!(Cost::new("", None, (21.0, 20.0)).met, None);
    }

    #[test]
    fn the_report_is_what_scripts_were_promised() {
        let cost = Cost::new("xdp unsampled v4", Some(Bar::Ratio(1.5)), (31.234, 25.0));
        assert_eq!(
            serde_json::to_string(&Report { cases: vec![cost] }).unwrap(),
            r#"{"cases":[{"name":"xdp unsampled v4","ns":31.2,"empty_ns":25.0,"ratio":1.248,"added_ns":6.2,"bar":{"ratio":1.5},"met":true}]}"#
        );
    }
}
