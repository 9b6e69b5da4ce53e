//! What the engine thinks from tick to tick, for those who want to draw it.

use std::time::Duration;

use anycast_user::{engine::Explanation, policy::Burst};

use super::{
    run::{Environment, World},
    scenario::Scenario,
    time,
};

/// A stretch of a run. Times are in milliseconds from the fault.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// After each tick.
    pub moments: Vec<(f64, Explanation)>,
    /// Bursts of probes, and when each was judged.
    pub bursts: Vec<(f64, Burst)>,
    /// When the withdrawal was decided.
    pub withdrawn_ms: Option<f64>,
}

/// Plays `scenario`, and keeps all from `before` its fault until `after` it.
#[must_use]
pub fn trace(scenario: &Scenario, environment: &Environment, seed: u64, before: Duration, after: Duration) -> Trace {
    let mut world = World::of(scenario, environment, seed);
    let milliseconds = |duration: Duration| duration.as_millis() as u64;
    let fault_ms = milliseconds(scenario.warm_up + scenario.fault);
    while world.now < fault_ms.saturating_sub(milliseconds(before)) {
        world.step();
    }
    world.bursts = Some(Vec::new());
    let since_fault =
        |at: anycast_user::clock::MonotonicTime| at.as_millis_f64() - time(fault_ms as f64).as_millis_f64();
    let mut moments = Vec::new();
    while world.now < fault_ms + milliseconds(after) {
        world.step();
        let at_ms = world.now as f64 - fault_ms as f64;
        moments.extend(world.engine.explanation(0).map(|explanation| (at_ms, explanation)));
    }
    let bursts = world.bursts.unwrap_or_default();
    Trace {
        moments,
        bursts: bursts
            .into_iter()
            .map(|burst| (since_fault(burst.finished_at), burst))
            .collect(),
        withdrawn_ms: world.notes.withdrawn.map(since_fault),
    }
}
