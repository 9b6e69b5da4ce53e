//! Drives the engine through a scenario.

use std::time::Duration;

use anycast_user::{
    detect::{self, LatencyProfile, Parts},
    engine::{Engine, Found, LinkSetup, ServiceSetup, Settings, SocketsSeen},
    event::{AlertSet, Event},
    policy::{Burst, FloorSettings, SuspicionSettings, WatchOnly, WithdrawWhen},
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
    time,
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
    /// What the engine has to do without.
    pub experiment: Experiment,
}

/// Parts of the engine that are left out, to see what they are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// The detector's parts.
    pub parts: Parts,
    /// A probe that is answered clears a service.
    pub probes_veto: bool,
    /// While answers trickle, 128 probes in a row have to fail.
    pub trickle_needs_proof: bool,
}

impl Experiment {
    /// The engine as it is.
    pub const NONE: Self = Self {
        parts: Parts::ALL,
        probes_veto: true,
        trickle_needs_proof: true,
    };
}

/// A: one false alarm in ten node-years.
const TEN_YEARS: Duration = Duration::from_secs(315_576_000);
/// How often the engine is told latencies.
const LATENCIES_EVERY_MS: u64 = 10_000;
/// How often the sockets are looked at.
const SOCKETS_EVERY_MS: u64 = 1000;

/// Settings of a daemon with nothing but defaults.
pub(super) fn settings(
    armed: bool,
    floor: Duration,
    time_between_false_alarms: Duration,
    experiment: Experiment,
) -> Settings {
    let Experiment {
        parts,
        probes_veto,
        trickle_needs_proof,
    } = experiment;
    Settings {
        armed,
        detect: detect::Settings {
            time_between_false_alarms,
            services: 1,
            arming_answers: 1000,
            arming_time: Duration::from_secs(60),
            parts,
        },
        suspicion: SuspicionSettings {
            floor: FloorSettings {
                least: floor,
                learn: !floor.is_zero(),
            },
            probes_veto,
            trickle_needs_proof,
        },
        withdraw_also_on: AlertSet::default(),
        hold_down: Duration::from_secs(10),
        bypassed: false,
    }
}

/// One node with one service.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) notes: Notes,
    /// Every burst that was judged, when somebody wants to know.
    pub(super) bursts: Option<Vec<Burst>>,
    prober: Option<Prober>,
    node: Node,
    /// Answers are counted at the sockets when the engine wants that.
    second_proof: bool,
    pub(super) now: u64,
    tick_ms: u32,
    results: Vec<anycast_user::engine::Probed>,
    /// What is still to happen, the next last.
    steps: Vec<(u64, Change)>,
}

impl World {
    pub(super) fn new(settings: Settings, watch_only: Option<WatchOnly>, node: Node) -> Self {
        let links = [LinkSetup {
            found: Found::Up,
            withdraw_when: WithdrawWhen::Any,
            services: vec![ServiceSetup {
                watch_only,
                ..ServiceSetup::default()
            }],
        }];
        Self {
            engine: Engine::new(settings, &links, time(0.0)),
            notes: Notes::default(),
            bursts: None,
            prober: Prober::new(),
            node,
            second_proof: false,
            now: 0,
            tick_ms: 1,
            results: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Before the first tick of `scenario`.
    pub(super) fn of(scenario: &Scenario, environment: &Environment, seed: u64) -> Self {
        let mut node = Node::new(
            Random::seed_from_u64(seed),
            &scenario.sources,
            scenario.server,
            environment.latency,
            environment.queries_per_second,
        );
        node.latencies.wanted = environment.measured;
        for source in scenario.awake..scenario.sources.len() {
            node.change(0, Change::Demand(source, 0.0));
        }
        let settings = settings(scenario.armed, scenario.floor, TEN_YEARS, environment.experiment);
        let mut world = Self::new(settings, None, node);
        world.second_proof = scenario.second_proof;
        world.script(&scenario.steps, scenario.warm_up.as_millis() as u64);
        world
    }

    pub(super) fn script(&mut self, steps: &[Step], warm_up_ms: u64) {
        let absolute = |(at, change): &Step| (warm_up_ms + at.as_millis() as u64, *change);
        self.steps = steps.iter().map(absolute).collect();
        // Stable: of what happens at the same time the first comes first.
        self.steps.sort_by_key(|(at, _)| *at);
        self.steps.reverse();
    }

    /// One tick.
    pub(super) fn step(&mut self) {
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
            self.bursts
                .iter_mut()
                .filter(|_| !probed.late)
                .for_each(|bursts| bursts.push(probed.burst));
            self.engine.probed(now, &probed, &mut self.notes);
        }
        if self.now % SOCKETS_EVERY_MS < u64::from(self.tick_ms) {
            self.tell_sockets();
        }
        if self.node.latencies.wanted && self.now % LATENCIES_EVERY_MS < u64::from(self.tick_ms) {
            self.tell_latencies();
        }
        let wanted = self.second_proof && self.engine.views().any(|view| view.wants_second_proof);
        self.node.count_local_answers(wanted);
        let counts = self.node.counts;
        self.engine.tick(now, |_| Some(counts), &mut self.notes);
        let Some(prober) = &mut self.prober else { return };
        for ask in self.notes.asks.drain(..) {
            prober.send(ask, now_ms, &mut self.node);
        }
    }

    fn tell_latencies(&mut self) {
        if let Some(profile) = LatencyProfile::new(self.node.latencies.buckets()) {
            self.engine.latency(0, &profile);
        }
        self.node.latencies.fade();
    }

    fn tell_sockets(&mut self) {
        let (full, hung) = self.node.server.full_and_hung(self.now as f64);
        let seen = SocketsSeen {
            at: time(self.now as f64),
            sockets: self.node.server.sockets(),
            receive_drops: self.node.server.drops,
            full,
            // A paused one is not read from either, but that is no longer than a look takes.
            draining: full.saturating_sub(hung),
            hung,
        };
        self.engine.sockets(seen.at, 0, &seen, &mut self.notes);
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
    let mut world = World::of(scenario, environment, seed);
    world.notes.events = tell.then(Vec::new);
    let warm_up_ms = scenario.warm_up.as_millis() as u64;
    let end_ms = warm_up_ms + scenario.end.as_millis() as u64;
    let judged_from = warm_up_ms
        + if scenario.armed {
            0
        } else {
            scenario.fault.as_millis() as u64
        };
    let mut armed = false;
    let mut acted = None;
    while world.now < end_ms && acted.is_none() {
        world.step();
        if world.now <= warm_up_ms {
            armed = world.notes.armed;
        }
        let observed = world
            .notes
            .would_withdraw
            .iter()
            .find(|at| **at >= time(judged_from as f64));
        acted = world.notes.withdrawn.or(observed.copied());
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
