//! Something is wrong, and a withdrawal would make it worse.

use super::{
    super::{
        scenario::{Kind::AlertOnly, Scenario},
        script::Change,
        traffic::{Shape, SourceSetup},
    },
    seconds,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = workers();
    scenarios.extend(others());
    scenarios
}

fn workers() -> Vec<Scenario> {
    let dead = |name, workers, dead| {
        Scenario::new(name, AlertOnly)
            .workers(workers)
            .fault(seconds(5), Change::DeadWorkers(dead))
            .alerts(["partial-loss", "hung-worker", "partly-dead"])
    };
    vec![
        dead("an eighth of the workers dead", 8, 1),
        dead("half of the workers dead", 8, 4),
        dead("11 of 16 workers dead", 16, 11),
        dead("7 of 8 workers dead", 8, 7),
    ]
}

fn others() -> Vec<Scenario> {
    vec![
        Scenario::new("egress broken, without the second proof", AlertOnly)
            .fault(seconds(5), Change::Egress(false))
            .alerts(["egress-broken"]),
        Scenario::new("every answer says SERVFAIL", AlertOnly)
            .fault(seconds(5), Change::ServFail(1.0))
            .alerts(["servfail"]),
        Scenario {
            measured_only: true,
            ..Scenario::new("latency x50", AlertOnly)
        }
        .fault(seconds(5), Change::Slow(50.0))
        .alerts(["slow"]),
        Scenario::new("overloaded by answered x10", AlertOnly)
            .flood(seconds(5), SourceSetup::flood(Shape::Answerable, 10.0))
            .fault(seconds(5), Change::Capacity(Some(2.0)))
            .until(seconds(45))
            .alerts(["overload"]),
        Scenario::new("a third of the answers is lost on the way out", AlertOnly)
            .fault(seconds(5), Change::Drop(1, true))
            .sources([0.67, 0.33].map(|demand| SourceSetup::CLIENTS.with_demand(demand)))
            .alerts(["partial-loss"]),
    ]
}
