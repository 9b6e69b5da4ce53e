//! The engine's settings as the operator wrote them.

use std::time::Duration;

use super::Settings;
use crate::{
    config::Config,
    detect::{self, Parts},
    policy::SuspicionSettings,
};

/// A Julian year, as astronomers have it.
const SECONDS_PER_YEAR: f64 = 365.25 * 24.0 * 3600.0;

impl Settings {
    /// What `config` says, for a node with so many service addresses. `armed` is not in it alone: a daemon observes
    /// unless it is told otherwise, a replay acts.
    #[must_use]
    pub fn of(config: &Config, services: usize, armed: bool) -> Self {
        let budget = config.detection.node_years_between_false_alarms * SECONDS_PER_YEAR;
        Self {
            armed,
            detect: detect::Settings {
                time_between_false_alarms: Duration::try_from_secs_f64(budget).unwrap_or(Duration::MAX),
                services: u32::try_from(services).unwrap_or(u32::MAX).max(1),
                arming_answers: config.arming.answers,
                arming_time: config.arming.time,
                parts: Parts::ALL,
            },
            suspicion: SuspicionSettings {
                floor: config.floor,
                probes_veto: true,
                trickle_needs_proof: true,
            },
            withdraw_also_on: config.withdraw_also_on,
            hold_down: config.coming_back.hold_down,
            // Who drives the engine says so before its first tick, and that is told.
            bypassed: false,
        }
    }
}
