//! The service is dead.

use super::{
    super::{
        latency::LatencyModel::Resolver,
        scenario::{Kind::Must, Scenario},
        script::Change,
        traffic::{Retry, Rhythm, Shape, SourceSetup},
    },
    milliseconds, seconds,
};

/// A fifth slower than the figures that the rule was published with, at 10,000, 500 and 50 queries a second.
const BLACKHOLE_MS: [u64; 3] = [38, 52, 128];
const IN_FLOOD_MS: [u64; 3] = [298, 627, 5878];
/// The proof by 128 probes takes 50 ms more than those figures knew of.
const STRAY_MS: [u64; 3] = [132, 113, 185];
const EGRESS_MS: [u64; 3] = [2400; 3];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = published();
    scenarios.extend(by_demand());
    scenarios.extend(by_degrees());
    scenarios
}

fn published() -> Vec<Scenario> {
    let flood = SourceSetup::flood(Shape::Unanswerable, 10.0);
    vec![
        Scenario::new("hangs", Must)
            .fault(seconds(5), Change::Hang)
            .bars(BLACKHOLE_MS),
        Scenario::new("killed", Must)
            .fault(seconds(5), Change::Kill)
            .bars(BLACKHOLE_MS),
        Scenario::new("hangs in a flood x10", Must)
            .flood(seconds(5), flood)
            .fault(seconds(35), Change::Hang)
            .bars(IN_FLOOD_MS),
        Scenario::new("hangs, and half a per cent of stray answers", Must)
            .fault(seconds(5), Change::Hang)
            .at(seconds(5), Change::Stray(0.005))
            .bars(STRAY_MS),
        Scenario {
            second_proof: true,
            ..Scenario::new("egress broken, with the second proof", Must)
        }
        .fault(seconds(5), Change::Egress(false))
        .bars(EGRESS_MS),
    ]
}

fn by_demand() -> Vec<Scenario> {
    let bursty = SourceSetup {
        rhythm: Rhythm::Bursty {
            duty: 0.2,
            burst: milliseconds(200),
        },
        ..SourceSetup::CLIENTS
    };
    let with_retry = |retry| SourceSetup {
        retry,
        ..SourceSetup::CLIENTS
    };
    vec![
        Scenario::new("hangs, and nobody asks again", Must)
            .sources([with_retry(None)])
            .fault(seconds(5), Change::Hang)
            .bars(BLACKHOLE_MS),
        Scenario::new("hangs, and stubs ask again", Must)
            .sources([with_retry(Some(Retry::STUB))])
            .fault(seconds(5), Change::Hang)
            .bars(BLACKHOLE_MS),
        Scenario::new("hangs in bursty demand", Must)
            .sources([bursty])
            .fault(seconds(5), Change::Hang),
        Scenario::new("hangs while nobody asks", Must)
            .at(seconds(5), Change::Demand(0, 0.0))
            .fault(seconds(30), Change::Hang),
        Scenario::new("hangs as demand returns after a minute of none", Must)
            .at(seconds(5), Change::Demand(0, 0.0))
            .at(seconds(65), Change::Demand(0, 1.0))
            .fault(seconds(65), Change::Hang),
        Scenario::new("hangs while demand falls to a third", Must)
            .at(seconds(5), Change::Demand(0, 0.33))
            .fault(seconds(6), Change::Hang),
        Scenario::new("hangs after demand rose x5", Must)
            .at(seconds(5), Change::Demand(0, 5.0))
            .fault(seconds(35), Change::Hang),
    ]
}

fn by_degrees() -> Vec<Scenario> {
    let workers = (1..=15_u32).map(|dead| {
        (
            milliseconds(5000 + 500 * u64::from(dead)),
            Change::DeadWorkers(dead as usize),
        )
    });
    vec![
        Scenario::new("stops reading and answers what is pending", Must)
            .only(Resolver)
            .fault(seconds(5), Change::StopReading),
        Scenario::new("sixteen workers die within eight seconds", Must)
            .workers(16)
            .steps(workers)
            .fault(seconds(13), Change::DeadWorkers(16)),
        Scenario::new("hangs, with sixteen workers", Must)
            .workers(16)
            .fault(seconds(5), Change::Hang)
            .bars(BLACKHOLE_MS),
    ]
}
