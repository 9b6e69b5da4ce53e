//! The service is alive, whatever it looks like.

use super::{
    super::{
        scenario::{Kind::MustNot, Scenario},
        script::{Change, every},
        traffic::{Retry, Rhythm, Shape, SourceSetup},
    },
    milliseconds, seconds,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    [demand(), floods(), clients_lost(), overloads(), pauses()]
        .into_iter()
        .flatten()
        .collect()
}

fn demand() -> Vec<Scenario> {
    let bursty = SourceSetup {
        rhythm: Rhythm::Bursty {
            duty: 0.2,
            burst: milliseconds(200),
        },
        ..SourceSetup::CLIENTS
    };
    let diurnal = SourceSetup {
        rhythm: Rhythm::Diurnal {
            day: seconds(600),
            depth: 0.95,
        },
        ..SourceSetup::CLIENTS
    };
    vec![
        Scenario::new("healthy", MustNot).until(seconds(300)),
        Scenario::new("bursty demand, on for a fifth of the time", MustNot)
            .sources([bursty])
            .until(seconds(180)),
        Scenario::new("diurnal demand, a day in ten minutes", MustNot)
            .sources([diurnal])
            .until(seconds(620)),
        Scenario::new("no demand for a minute", MustNot)
            .at(seconds(5), Change::Demand(0, 0.0))
            .at(seconds(65), Change::Demand(0, 1.0))
            .until(seconds(90)),
        Scenario::new("demand x0.05", MustNot)
            .at(seconds(5), Change::Demand(0, 0.05))
            .at(seconds(65), Change::Demand(0, 1.0))
            .until(seconds(90)),
        Scenario::new("demand x5", MustNot)
            .at(seconds(5), Change::Demand(0, 5.0))
            .at(seconds(35), Change::Demand(0, 1.0))
            .until(seconds(60)),
    ]
}

fn floods() -> Vec<Scenario> {
    let unanswerable = |name, times| {
        let flood = SourceSetup::flood(Shape::Unanswerable, times);
        Scenario::new(name, MustNot).flood(seconds(5), flood).until(seconds(65))
    };
    vec![
        unanswerable("flood that can't be answered x2.8", 2.8),
        unanswerable("flood that can't be answered x10", 10.0),
        unanswerable("flood that can't be answered x100", 100.0),
        Scenario::new(
            "poisoned by 300 s of answered x10, which then can't be answered",
            MustNot,
        )
        .flood(seconds(0), SourceSetup::flood(Shape::Answerable, 10.0))
        .at(seconds(300), Change::Drop(1, true))
        .until(seconds(360)),
    ]
}

/// A firewall drops whoever has this share of the traffic; those who are left are answered.
fn dropped(name: &'static str, share: f64, retry: Option<Retry>) -> Scenario {
    let sources = [1.0 - share, share].map(|demand| SourceSetup {
        retry,
        ..SourceSetup::CLIENTS.with_demand(demand)
    });
    Scenario::new(name, MustNot)
        .sources(sources)
        .at(seconds(5), Change::Drop(1, true))
        .until(seconds(65))
}

fn clients_lost() -> Vec<Scenario> {
    vec![
        dropped(
            "the clients with 90 % of the traffic are dropped",
            0.9,
            Some(Retry::RESOLVER),
        ),
        dropped("the stubs with 90 % of the traffic are dropped", 0.9, Some(Retry::STUB)),
        dropped(
            "an ACL drops clients with 99 % of the traffic",
            0.99,
            Some(Retry::RESOLVER),
        ),
        // Rate limits on the server's side meet the probes too: five bursts pass, fifty-five don't.
        dropped(
            "RRL passes five bursts of probes and starves the rest, 90 % dropped",
            0.9,
            None,
        )
        .at(seconds(5), Change::ProbeAllowance(80)),
        dropped(
            "RRL passes five bursts of probes and starves the rest, 99 % dropped",
            0.99,
            None,
        )
        .at(seconds(5), Change::ProbeAllowance(80)),
    ]
}

fn overloads() -> Vec<Scenario> {
    let attack = SourceSetup::flood(Shape::Answerable, 10.0);
    vec![
        Scenario::new("DDoS x10 at 1.5 times the capacity", MustNot)
            .at(seconds(4), Change::Capacity(Some(1.5)))
            .flood(seconds(5), attack)
            .until(seconds(35)),
        Scenario::new("DDoS x10 that leaves a fifth of the goodput", MustNot)
            .at(seconds(5), Change::Capacity(Some(0.2)))
            .flood(seconds(5), attack)
            .until(seconds(35)),
        Scenario::new("demand over capacity, and clients ask again", MustNot)
            .at(seconds(5), Change::Capacity(Some(0.8)))
            .until(seconds(65)),
    ]
}

fn pauses() -> Vec<Scenario> {
    vec![
        Scenario::new("pauses of 20 ms", MustNot).steps(every(
            seconds(5),
            seconds(5),
            seconds(60),
            Change::Pause(milliseconds(20)),
        )),
        Scenario::new("latency x100", MustNot)
            .at(seconds(5), Change::Slow(100.0))
            .at(seconds(45), Change::Slow(1.0)),
    ]
}
