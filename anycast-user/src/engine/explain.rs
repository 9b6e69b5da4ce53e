//! Why a service is judged as it is: everything that the judgement rests on, at one moment.

use std::time::Duration;

use super::service::Service;
use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Nats, Parameters},
    event::AlertSet,
    policy::{State, WatchOnly},
};

/// Why a service is judged as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explanation {
    /// Its state.
    pub state: State,
    /// Whether its silence may withdraw anything.
    pub armed: bool,
    /// Why it is only watched, if it is.
    pub watch_only: Option<WatchOnly>,
    /// What is usual for it, and what follows from that.
    pub parameters: Parameters,
    /// What is seen of it.
    pub assessment: Assessment,
    /// Queries since the last answer that are older than the lag.
    pub unanswered: u64,
    /// Answers that should have come since the last one: the lower of μ · silence and p · F · unanswered.
    pub expected: f64,
    /// Since when it is suspected, if it is.
    pub suspected_since: Option<MonotonicTime>,
    /// Bursts of probes that failed, one after the other.
    pub failed_bursts: u32,
    /// What these weigh.
    pub burst_nats: Nats,
    /// For how long probes must fail.
    pub floor: Duration,
    /// It is dead.
    pub dead: bool,
    /// The most that evidence and failed bursts came to, as a share of the threshold.
    pub closest_approach: f64,
    /// Alerts that are raised.
    pub alerts: AlertSet,
}

impl Service {
    /// `None` before the first tick.
    pub(super) fn explanation(&self) -> Option<Explanation> {
        let detector = self.detector.as_ref()?;
        let parameters = *detector.in_use();
        let unanswered = detector.unanswered_now();
        let by_time = parameters.usual_rate * self.assessment.silence.as_secs_f64();
        let by_queries = parameters.share_answered * parameters.share_within_lag * unanswered as f64;
        let view = self.view();
        Some(Explanation {
            state: view.state,
            armed: self.is_armed(),
            watch_only: self.watch_only,
            parameters,
            assessment: self.assessment,
            unanswered,
            expected: by_time.min(by_queries),
            suspected_since: self.suspicion.since(),
            failed_bursts: self.suspicion.failed_bursts(),
            burst_nats: self.burst_nats(),
            floor: view.floor,
            dead: self.dead().is_some(),
            closest_approach: view.closest_approach,
            alerts: view.alerts,
        })
    }
}
