//! Many healthy services in one engine, to measure what a tick of it costs.

use std::time::Duration;

use anycast_user::{
    detect::Counts,
    engine::{Engine, Found, LinkSetup, ServiceSetup},
    policy::WithdrawWhen,
};

use super::{Experiment, effects::Notes, run::settings, time};

/// Queries a tick and service, on average.
const PER_TICK: u64 = 10;

/// An engine whose services all answer.
#[derive(Debug)]
pub struct Healthy {
    engine: Engine,
    counts: Vec<Counts>,
    notes: Notes,
    tick: u64,
}

/// So many services, each on a link of its own, after `time_before` of watching them.
#[must_use]
pub fn healthy_engine(services: usize, time_before: Duration) -> Healthy {
    let links = vec![
        LinkSetup {
            found: Found::Up,
            withdraw_when: WithdrawWhen::Any,
            services: vec![ServiceSetup::default()],
        };
        services
    ];
    let mut settings = settings(
        true,
        Duration::from_millis(30),
        Duration::from_secs(315_576_000),
        Experiment::NONE,
    );
    settings.detect.arming_time = Duration::from_millis(500);
    let mut healthy = Healthy {
        engine: Engine::new(settings, &links, time(0.0)),
        counts: vec![Counts::default(); services],
        notes: Notes::default(),
        tick: 0,
    };
    for _ in 0..time_before.as_millis() {
        healthy.tick();
    }
    healthy
}

impl Healthy {
    /// One tick of a millisecond.
    pub fn tick(&mut self) {
        self.tick += 1;
        let now = self.tick as f64;
        for (service, counts) in (0_u64..).zip(&mut self.counts) {
            // Between half and one and a half times the mean, another for each service and tick; chance would cost more
            // than what is measured.
            let queries = PER_TICK / 2 + (self.tick * 7 + service * 3) % (PER_TICK + 1);
            counts.queries += queries;
            counts.packets += queries;
            counts.answers += queries;
        }
        let counts = &self.counts;
        let read = |service: usize| counts.get(service).copied();
        self.engine.tick(time(now), read, &mut self.notes);
        let asks: Vec<_> = self.notes.asks.drain(..).collect();
        for ask in asks {
            let probed = super::probes::all_answered(ask, now);
            self.engine.probed(time(now), &probed, &mut self.notes);
        }
    }
}
