//! A service that is only watched: how soon silence alone finds its death, and how often it cries wolf before.

use std::time::Duration;

use anycast_user::policy::WatchOnly;
use rand::SeedableRng;

use super::{
    Random,
    latency::LatencyModel,
    node::Node,
    run::{Experiment, World, settings},
    script::Change,
    server::ServerSetup,
    time,
    traffic::{Shape, SourceSetup},
};

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
/// `time_between_false_alarms`; then it stops.
///
/// `unanswerable` times as many queries come besides that nobody ever answers. Without them a silence of the answers is one
/// of the queries too, and no evidence at all: only beside them does it rest on the usual rate of answers alone, as in the
/// formula of the threshold.
#[must_use]
pub fn watch(
    queries_per_second: f64,
    unanswerable: f64,
    time_between_false_alarms: Duration,
    healthy: Duration,
    seed: u64,
) -> Watched {
    const FOUND_WITHIN: Duration = Duration::from_secs(120);
    let clients = SourceSetup {
        retry: None,
        ..SourceSetup::CLIENTS
    };
    let server = ServerSetup::default();
    let random = Random::seed_from_u64(seed);
    let node = Node::new(
        random,
        &[clients, SourceSetup::flood(Shape::Unanswerable, unanswerable)],
        server,
        LatencyModel::Authoritative,
        queries_per_second,
    );
    let mut settings = settings(true, Duration::ZERO, time_between_false_alarms, Experiment::NONE);
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
