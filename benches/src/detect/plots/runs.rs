//! The runs whose evidence is drawn: a death, a pause, and a flood that nobody could answer.

use std::{ops::Range, time::Duration};

use anycast_tests::simulation::{
    Change, Environment, Experiment, Kind, LatencyModel, Scenario, Shape, SourceSetup, Trace, trace,
};

const SEED: u64 = 1;
const ENVIRONMENT: Environment = Environment {
    latency: LatencyModel::Authoritative,
    measured: true,
    queries_per_second: 500.0,
    experiment: Experiment::NONE,
};
/// When it happens: some time after arming.
const FAULT: Duration = Duration::from_secs(5);

/// One of the runs.
pub(super) struct Panel {
    pub(super) caption: &'static str,
    scenario: Scenario,
    before: Duration,
    after: Duration,
}

impl Panel {
    /// When it begins and ends, in milliseconds from what happens.
    pub(super) fn range_ms(&self) -> Range<f64> {
        -self.before.as_secs_f64() * 1e3..self.after.as_secs_f64() * 1e3
    }

    /// Plays it.
    pub(super) fn play(&self) -> Trace {
        trace(&self.scenario, &ENVIRONMENT, SEED, self.before, self.after)
    }
}

/// All of them.
pub(super) fn panels() -> Vec<Panel> {
    let milliseconds = Duration::from_millis;
    let scenario = |kind| Scenario::new("", kind);
    vec![
        Panel {
            caption: "The server hangs at 0",
            scenario: scenario(Kind::Must).fault(FAULT, Change::Hang),
            before: milliseconds(20),
            after: milliseconds(55),
        },
        Panel {
            caption: "The server pauses for 20 ms at 0",
            scenario: scenario(Kind::MustNot).fault(FAULT, Change::Pause(milliseconds(20))),
            before: milliseconds(20),
            after: milliseconds(55),
        },
        Panel {
            caption: "A flood of ten times the demand, which can't be answered, begins at 0",
            scenario: Scenario {
                fault: FAULT,
                ..scenario(Kind::MustNot).flood(FAULT, SourceSetup::flood(Shape::Unanswerable, 10.0))
            },
            before: Duration::from_secs(2),
            after: Duration::from_secs(8),
        },
    ]
}
