//! Drives the engine through a scenario.

use std::time::Duration;

use anycast_user::{
    detect,
    engine::{Engine, Found, LinkSetup, Settings},
    event::Event,
    policy::{PROBES_IN_BURST, SuspicionSettings, WatchOnly},
};
use rand::SeedableRng;

use super::{
    Random,
    effects::Notes,
    latency::LatencyModel,
    node::Node,
    outcome::Outcome,
    probes::Prober,
    scenario::Scenario,
    script::{Change, Step},
    server::ServerSetup,
    time,
    traffic::SourceSetup,
};

/// What a scenario is played in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Environment {
    /// The kind of server.
    pub latency: LatencyModel,
    /// The engine is told the latencies of healthy transactions every ten seconds, as the daemon does.
    pub measured: bool,
    /// The usual demand.
    pub queries_per_second: f64,
}

/// A: one false alarm in ten node-years.
const TEN_YEARS: Duration = Duration::from_secs(315_576_000);
/// How often the engine is told latencies.
const LATENCIES_EVERY_MS: u64 = 10_000;

/// Settings of a daemon with nothing but defaults.
pub(super) fn settings(armed: bool, floor: Duration, time_between_false_alarms: Duration) -> Settings {
    Settings {
        armed,
        detect: detect::Settings {
            time_between_false_alarms,
            services: 1,
            arming_answers: 1000,
            arming_time: Duration::from_secs(60),
        },
        suspicion: SuspicionSettings { floor },
        hold_down: Duration::from_secs(10),
        bypassed: false,
    }
}

/// One node with one service.
struct World {
    engine: Engine,
    notes: Notes,
    prober: Option<Prober>,
    node: Node,
    now: u64,
    tick_ms: u32,
    results: Vec<anycast_user::engine::Probed>,
    /// What is still to happen, the next last.
    steps: Vec<(u64, Change)>,
}

impl World {
    fn new(settings: Settings, watch_only: Option<WatchOnly>, node: Node) -> Self {
        let links = [LinkSetup {
            found: Found::Up,
            services: vec![watch_only],
        }];
        Self {
            engine: Engine::new(settings, &links, time(0.0)),
            notes: Notes::default(),
            prober: Prober::new(),
            node,
            now: 0,
            tick_ms: 1,
            results: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn script(&mut self, steps: &[Step], warm_up_ms: u64) {
        let absolute = |(at, change): &Step| (warm_up_ms + at.as_millis() as u64, *change);
        self.steps = steps.iter().map(absolute).collect();
        // Stable: of what happens at the same time the first comes first.
        self.steps.sort_by_key(|(at, _)| *at);
        self.steps.reverse();
    }

    /// One tick.
    fn step(&mut self) {
        while let Some((_, change)) = self.steps.pop_if(|(at, _)| *at <= self.now) {
            if let Change::Tick(tick) = change {
                self.tick_ms = (tick.as_millis() as u32).max(1);
            }
            self.node.change(self.now, change);
        }
        self.node.live(self.now, self.tick_ms);
        self.now += u64::from(self.tick_ms);
        let (now_ms, now) = (self.now as f64, time(self.now as f64));
        if let Some(prober) = &mut self.prober {
            prober.results(now_ms, &mut self.results);
        }
        for probed in self.results.drain(..) {
            self.engine.probed(now, &probed, &mut self.notes);
        }
        if self.node.latencies.wanted && self.now % LATENCIES_EVERY_MS < u64::from(self.tick_ms) {
            self.tell_latencies();
        }
        let counts = self.node.counts;
        self.engine
            .tick(now, |_| (counts.queries, counts.answers), &mut self.notes);
        let Some(prober) = &mut self.prober else { return };
        for ask in self.notes.asks.drain(..) {
            prober.send(ask, PROBES_IN_BURST, now_ms, &mut self.node);
        }
    }

    fn tell_latencies(&mut self) {
        self.node.latencies.fade();
    }
}

/// Plays `scenario`, and gives what came of it.
#[must_use]
pub fn run(scenario: &Scenario, environment: &Environment, seed: u64) -> Outcome {
    play(scenario, environment, seed, false).0
}

/// Plays `scenario`, and gives all that the engine told as well, with times from the end of the warm-up in milliseconds.
#[must_use]
pub fn play(scenario: &Scenario, environment: &Environment, seed: u64, tell: bool) -> (Outcome, Vec<(f64, Event)>) {
    let mut node = Node::new(
        Random::seed_from_u64(seed),
        &scenario.sources,
        scenario.server,
        environment.latency,
        environment.queries_per_second,
        scenario.second_proof,
    );
    node.latencies.wanted = environment.measured;
    let settings = settings(scenario.armed, scenario.floor, TEN_YEARS);
    let warm_up_ms = scenario.warm_up.as_millis() as u64;
    let end_ms = warm_up_ms + scenario.end.as_millis() as u64;
    let judged_from = warm_up_ms
        + if scenario.armed {
            0
        } else {
            scenario.fault.as_millis() as u64
        };
    for source in 1..scenario.sources.len() {
        node.change(0, Change::Demand(source, 0.0));
    }
    let mut world = World::new(settings, None, node);
    world.notes.events = tell.then(Vec::new);
    world.script(&scenario.steps, warm_up_ms);
    let mut armed = false;
    let mut acted = None;
    while world.now < end_ms && acted.is_none() {
        world.step();
        if world.now <= warm_up_ms {
            armed = world.notes.armed;
        }
        let would = world
            .notes
            .would_withdraw
            .iter()
            .find(|at| **at >= time(judged_from as f64));
        acted = world.notes.withdrawn.or(would.copied());
    }
    let start = time(warm_up_ms as f64);
    let since_start = |at: anycast_user::clock::MonotonicTime| at.as_millis_f64() - start.as_millis_f64();
    let alerts = world.notes.alerts.iter().filter(|(_, at)| *at >= start);
    let outcome = Outcome {
        armed,
        alerts: alerts.map(|(name, _)| *name).collect(),
        probes: world.prober.map_or(0, |prober| prober.probes),
        ..Outcome::default()
    };
    let events = world.notes.events.unwrap_or_default();
    let events = events.into_iter().map(|event| (since_start(event.at), event)).collect();
    (outcome.judge(scenario, acted.map(since_start)), events)
}

/// What came of watching a service that can't be probed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Watched {
    /// How often it was called dead while it was healthy.
    pub false_alarms: u64,
    /// For how long it was watched, arming not included.
    pub healthy: Duration,
    /// From its death until that was found, in milliseconds.
    pub delay_ms: Option<f64>,
}

/// Watches a healthy authoritative service for `healthy` after arming, with floor 0 and a budget of one false alarm in
/// `time_between_false_alarms`; then it is killed.
#[must_use]
pub fn watch(queries_per_second: f64, time_between_false_alarms: Duration, healthy: Duration, seed: u64) -> Watched {
    const FOUND_WITHIN: Duration = Duration::from_secs(120);
    let clients = SourceSetup {
        retry: None,
        ..SourceSetup::CLIENTS
    };
    let server = ServerSetup::default();
    let random = Random::seed_from_u64(seed);
    let node = Node::new(
        random,
        &[clients],
        server,
        LatencyModel::Authoritative,
        queries_per_second,
        false,
    );
    let mut settings = settings(true, Duration::ZERO, time_between_false_alarms);
    settings.detect.arming_time = Duration::from_secs(30);
    let mut world = World::new(settings, Some(WatchOnly::NoProbe), node);
    while !world.notes.armed && world.now < 1_000_000 {
        world.step();
    }
    let end_ms = world.now + healthy.as_millis() as u64;
    world.script(&[(Duration::ZERO, Change::Hang)], end_ms);
    while world.now < end_ms {
        world.step();
    }
    let false_alarms = world.notes.blackholed.len() as u64;
    world.notes.blackholed.clear();
    let give_up = end_ms + FOUND_WITHIN.as_millis() as u64;
    while world.notes.blackholed.is_empty() && world.now < give_up {
        world.step();
    }
    let found = world.notes.blackholed.first();
    Watched {
        false_alarms,
        healthy,
        delay_ms: found.map(|found| found.as_millis_f64() - time(end_ms as f64).as_millis_f64()),
    }
}
