//! What else happens to nodes.

use super::{
    super::{
        latency::LatencyModel::Resolver,
        scenario::{
            Kind::{Must, MustNot},
            Scenario,
        },
        script::{Change, every},
        traffic::{Retry, Rhythm, Shape, SourceSetup},
    },
    milliseconds, seconds,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    [reloads(), shifts(), clients(), the_tool()]
        .into_iter()
        .flatten()
        .collect()
}

fn reloads() -> Vec<Scenario> {
    vec![
        Scenario::new("a reload silences the server for 28 ms", MustNot).steps(every(
            seconds(15),
            seconds(5),
            seconds(60),
            Change::Pause(milliseconds(28)),
        )),
        // Unbound with 200,000 local zones. What the daemon learned from the first two is judged by the third.
        Scenario {
            armed: false,
            fault: seconds(60),
            ..Scenario::new("observed reloads of 462 ms are learned from", MustNot)
        }
        .at(seconds(5), Change::Pause(milliseconds(462)))
        .at(seconds(35), Change::Pause(milliseconds(462)))
        .at(seconds(65), Change::Pause(milliseconds(462)))
        .until(seconds(90)),
        Scenario {
            floor: seconds(3),
            ..Scenario::new("a reload silences the server for 2 s under the global floor", MustNot)
        }
        .at(seconds(5), Change::Pause(seconds(2)))
        .until(seconds(40)),
        Scenario::new("a busy machine: pauses of 8 ms, twenty a second", MustNot).steps(every(
            milliseconds(50),
            seconds(5),
            seconds(35),
            Change::Pause(milliseconds(8)),
        )),
    ]
}

fn shifts() -> Vec<Scenario> {
    let shy = SourceSetup::CLIENTS.with_demand(0.02);
    vec![
        Scenario {
            warm_up: seconds(1300),
            rate_most: 500.0,
            ..Scenario::new("anycast shifts here: demand from next to nothing", MustNot)
        }
        .sources([shy])
        .at(seconds(5), Change::Demand(0, 50.0))
        .until(seconds(65)),
        Scenario::new("anycast shifts away and back", MustNot)
            .steps((0..5).map(|round| (seconds(5 + 20 * round), Change::Demand(0, 0.001))))
            .steps((0..5).map(|round| (seconds(15 + 20 * round), Change::Demand(0, 1.0))))
            .until(seconds(110)),
        Scenario::new("half of the clients vanish as a flood starts", MustNot)
            .at(seconds(5), Change::Demand(0, 0.5))
            .flood(seconds(5), SourceSetup::flood(Shape::Unanswerable, 5.0))
            .until(seconds(65)),
        Scenario::new("a cold cache, and demand x0.05 among the slow misses", MustNot)
            .only(Resolver)
            .at(seconds(5), Change::HitShare(0.1))
            .at(milliseconds(5200), Change::Demand(0, 0.05))
            .at(seconds(35), Change::HitShare(0.8))
            .at(seconds(35), Change::Demand(0, 1.0)),
        Scenario::new("a resolver that is cut off answers from its cache only", MustNot)
            .only(Resolver)
            .at(seconds(5), Change::MissesLost(true))
            .at(seconds(45), Change::MissesLost(false)),
    ]
}

fn clients() -> Vec<Scenario> {
    let synchronised = SourceSetup {
        rhythm: Rhythm::Pulse { share: 0.8 },
        ..SourceSetup::CLIENTS
    };
    let limited = SourceSetup {
        retry: Some(Retry::STUB),
        ..SourceSetup::flood(Shape::Answerable, 4.0)
    };
    vec![
        Scenario::new("clients with synchronised clocks ask each second", MustNot)
            .sources([synchronised])
            .until(seconds(120)),
        Scenario::new("hangs between two seconds of synchronised clients", Must)
            .sources([synchronised])
            .fault(milliseconds(5500), Change::Hang),
        Scenario::new("clients move to TCP: a third of the queries is left on UDP", MustNot)
            .at(seconds(5), Change::Demand(0, 0.33)),
        Scenario::new("rate limiting drops every other minute of a busy client", MustNot)
            .flood(seconds(0), limited)
            .steps((0..2).map(|round| (seconds(30 + 60 * round), Change::Drop(1, true))))
            .steps((0..2).map(|round| (seconds(60 + 60 * round), Change::Drop(1, false))))
            .until(seconds(150)),
    ]
}

fn the_tool() -> Vec<Scenario> {
    vec![
        Scenario::new("counters start from zero", MustNot).at(seconds(5), Change::ResetCounters),
        Scenario::new("a firewall drops local probes", MustNot)
            .at(seconds(5), Change::ProbesDropped(true))
            .until(seconds(125)),
        Scenario::new("a firewall drops local probes, demand x0.05", MustNot)
            .at(seconds(5), Change::ProbesDropped(true))
            .at(seconds(6), Change::Demand(0, 0.05))
            .until(seconds(125)),
        Scenario::new("killed and back within 15 ms", MustNot)
            .at(seconds(5), Change::Kill)
            .at(milliseconds(5015), Change::Recover),
    ]
}
