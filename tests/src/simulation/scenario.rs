//! A scenario: who asks, who answers, what happens, and what a node should make of it.

use std::time::Duration;

use serde::Serialize;

use super::{
    latency::LatencyModel,
    run::Environment,
    script::{Change, Step},
    server::ServerSetup,
    traffic::SourceSetup,
};

/// What should come of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The service is alive: withdrawing its route is wrong.
    MustNot,
    /// The service is dead from [`Scenario::fault`] on: its route has to be withdrawn, and not before.
    Must,
    /// Something needs a person, and no route may be withdrawn for it.
    AlertOnly,
}

/// A scenario. Times count from the end of the warm-up.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What should come of it.
    pub kind: Kind,
    /// Who asks.
    pub sources: Vec<SourceSetup>,
    /// So many of them from the beginning; the others are silent until a step wakes them.
    pub awake: usize,
    /// Who answers.
    pub server: ServerSetup,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// When the service dies, or what needs a person begins.
    pub fault: Duration,
    /// When it ends.
    pub end: Duration,
    /// For how long probes have to fail.
    pub floor: Duration,
    /// Whether links may be touched. A daemon that only observes is judged by what it would do from `fault` on.
    pub armed: bool,
    /// Answers are counted at the server's sockets too while a suspicion lasts.
    pub second_proof: bool,
    /// Alerts of which at least one has to be raised; any when empty.
    pub alerts: Vec<&'static str>,
    /// Median delays to reach at 50, 500 and 10,000 queries a second.
    pub bars: Option<[Duration; 3]>,
    /// Only with servers of this kind.
    pub only: Option<LatencyModel>,
    /// Only where the engine is told latencies: it is about these.
    pub measured_only: bool,
    /// Only up to this rate, because of its length.
    pub rate_most: f64,
    /// The length of the warm-up: longer than arming takes.
    pub warm_up: Duration,
}

impl Scenario {
    /// A scenario in which nothing happens for two minutes.
    #[must_use]
    pub fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            sources: vec![SourceSetup::CLIENTS],
            awake: 1,
            server: ServerSetup::default(),
            steps: Vec::new(),
            fault: Duration::ZERO,
            end: match kind {
                Kind::MustNot => Duration::from_secs(60),
                Kind::Must => Duration::from_secs(30),
                Kind::AlertOnly => Duration::from_secs(90),
            },
            floor: Duration::from_millis(30),
            armed: true,
            second_proof: false,
            alerts: Vec::new(),
            bars: None,
            only: None,
            measured_only: false,
            rate_most: f64::INFINITY,
            warm_up: Duration::from_secs(75),
        }
    }

    /// `change` at `at`.
    #[must_use]
    pub fn at(mut self, at: Duration, change: Change) -> Self {
        self.steps.push((at, change));
        self
    }

    /// All of `steps`.
    #[must_use]
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// Asked by `sources` instead, from the beginning.
    #[must_use]
    pub fn sources(mut self, sources: impl IntoIterator<Item = SourceSetup>) -> Self {
        self.sources = sources.into_iter().collect();
        self.awake = self.sources.len();
        self
    }

    /// A flood besides, which begins at `at`.
    #[must_use]
    pub fn flood(mut self, at: Duration, flood: SourceSetup) -> Self {
        self.sources.push(flood);
        let index = self.sources.len() - 1;
        self.at(at, Change::Demand(index, 1.0))
    }

    /// Served by so many workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.server.workers = workers;
        self
    }

    /// The service dies at `fault` by `change`.
    #[must_use]
    pub fn fault(mut self, fault: Duration, change: Change) -> Self {
        self.fault = fault;
        self.end = fault + self.end;
        self.at(fault, change)
    }

    /// Ends at `end`.
    #[must_use]
    pub fn until(mut self, end: Duration) -> Self {
        self.end = end;
        self
    }

    /// Raises one of these.
    #[must_use]
    pub fn alerts(mut self, alerts: impl IntoIterator<Item = &'static str>) -> Self {
        self.alerts = alerts.into_iter().collect();
        self
    }

    /// Is found in these median times, in milliseconds, at 10,000, 500 and 50 queries a second.
    #[must_use]
    pub fn bars(mut self, [fast, middle, slow]: [u64; 3]) -> Self {
        self.bars = Some([slow, middle, fast].map(Duration::from_millis));
        self
    }

    /// Only of a server of this kind.
    #[must_use]
    pub fn only(mut self, model: LatencyModel) -> Self {
        self.only = Some(model);
        self
    }

    /// Whether it makes sense in `environment`.
    #[must_use]
    pub fn suits(&self, environment: &Environment) -> bool {
        self.only.is_none_or(|only| only == environment.latency)
            && (environment.measured || !self.measured_only)
            && environment.queries_per_second <= self.rate_most
    }

    /// The median delay to reach, where there is one.
    #[must_use]
    pub fn bar(&self, queries_per_second: f64) -> Option<Duration> {
        let [slow, middle, fast] = self.bars?;
        Some(match queries_per_second {
            rate if rate < 200.0 => slow,
            rate if rate < 2000.0 => middle,
            _ => fast,
        })
    }
}
