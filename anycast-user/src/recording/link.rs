//! One link of a replay: an engine of its own, and the time and the probes of the recording for it.

use super::{
    Happened, Sample,
    bursts::{Bursts, Found},
    happened::service_of,
    layout::{LinkPlan, ServicePlan},
    service::Service,
};
use crate::{
    clock::MonotonicTime,
    engine::{Acted, Ask, Effects, Engine, Explanation, Found as LinkFound, LinkSetup, Settings, View},
    event::{Event, EventKind, Names, ServiceName},
};

/// A link and its services, as the recording has them.
#[derive(Debug)]
pub(super) struct Link {
    index: usize,
    engine: Engine,
    names: Names,
    services: Vec<Service>,
    /// The service for whose sake it was withdrawn last.
    withdrawn_for: usize,
    announcements: u64,
    alerts: u64,
    hands: Hands,
    bursts: Bursts,
    /// The time of the samples that were taken and have not been judged.
    waiting: Option<MonotonicTime>,
    /// The latest time of a sample.
    latest: MonotonicTime,
}

impl Link {
    /// The `index`th link of a replay, from `now` on. A service that the configuration has on it and the recording doesn't
    /// is one of which nothing is known: it never dies.
    pub(super) fn new(index: usize, plan: &LinkPlan, settings: Settings, now: MonotonicTime) -> Self {
        let setup = LinkSetup {
            found: LinkFound::Up,
            withdraw_when: plan.withdraw_when,
            services: Vec::new(),
        };
        let mut link = Self {
            index,
            engine: Engine::new(settings, &[setup], now),
            names: Names {
                links: vec![plan.name.clone()],
                services: Vec::new(),
            },
            services: Vec::new(),
            withdrawn_for: 0,
            announcements: 0,
            alerts: 0,
            hands: Hands::default(),
            bursts: Bursts::default(),
            waiting: None,
            latest: now,
        };
        for (number, service) in plan.services.iter().enumerate() {
            for _ in 0..service.places() {
                link.add(number, service, now);
            }
        }
        link
    }

    fn add(&mut self, number: usize, plan: &ServicePlan, now: MonotonicTime) -> usize {
        self.names.services.push(ServiceName {
            link: 0,
            service: plan.name.clone(),
            address: ServiceName::NO_ADDRESS,
            watch_only: plan.setup.watch_only,
        });
        self.services.push(Service::new(number));
        self.engine.add_service(0, plan.setup, now)
    }

    /// Finds the place of a service that the recording has not had before, the `number`th of its link in the
    /// configuration: one that was waiting for it, or a new one for one more of its addresses.
    pub(super) fn claim(&mut self, recorded: &str, number: usize, plan: &ServicePlan, now: MonotonicTime) -> usize {
        let waiting = self.services.iter().position(|service| service.waits_for(number));
        let place = waiting.unwrap_or_else(|| self.add(number, plan, now));
        if let Some(service) = self.services.get_mut(place) {
            service.claim();
        }
        if let Some(name) = self.names.services.get_mut(place) {
            recorded.clone_into(&mut name.service);
        }
        place
    }

    pub(super) fn name(&self) -> &str {
        self.names.link(0)
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The latest time of a sample.
    pub(super) fn latest(&self) -> MonotonicTime {
        self.latest
    }

    /// The time of samples that wait to be judged together.
    pub(super) fn waiting(&self) -> Option<MonotonicTime> {
        self.waiting
    }

    /// Services with what is thought of them now.
    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceName, &Service, View)> {
        let judged = self.services.iter().zip(self.engine.views());
        self.names
            .services
            .iter()
            .zip(judged)
            .map(|(name, (service, view))| (name, service, view))
    }

    /// Everything behind the present judgement of a service.
    pub(super) fn explanation(&self, service: usize) -> Option<Explanation> {
        self.engine.explanation(service)
    }

    /// Times that it was announced again.
    pub(super) fn announcements(&self) -> u64 {
        self.announcements
    }

    /// Alerts that are about no service in particular.
    pub(super) fn alerts(&self) -> u64 {
        self.alerts
    }

    /// Takes a sample. It is judged with the others of its time.
    pub(super) fn take(&mut self, service: usize, sample: &Sample<'_>) {
        self.latest = sample.at;
        self.waiting = Some(sample.at);
        self.bursts.sample(service, sample.at, Found::from(sample));
        if let Some(service) = self.services.get_mut(service) {
            service.take(sample);
        }
    }

    /// Judges the samples that wait.
    pub(super) fn tick(&mut self, happened: &mut Vec<Happened>) {
        let Some(now) = self.waiting.take() else { return };
        self.deliver(now, happened);
        let Self {
            engine,
            services,
            hands,
            ..
        } = self;
        engine.tick(now, |service| services.get(service)?.news(), hands);
        for service in services {
            service.seen();
        }
        self.carry_out(now, happened);
        // Those that came back whole at once.
        self.deliver(now, happened);
    }

    /// Hands the results to the engine that are there by `now`.
    fn deliver(&mut self, now: MonotonicTime, happened: &mut Vec<Happened>) {
        // No more than there are now: what is asked for upon them waits for the next tick, as in a daemon.
        for _ in 0..self.bursts.len() {
            let Some((at, probed)) = self.bursts.next_result(now) else {
                return;
            };
            self.engine.probed(at, &probed, &mut self.hands);
            self.carry_out(at, happened);
        }
    }

    /// Does what the engine wants done: links go down and up at once.
    fn carry_out(&mut self, now: MonotonicTime, happened: &mut Vec<Happened>) {
        self.tell(happened);
        if let Some(up) = self.hands.order.take() {
            let acted = Acted {
                link: 0,
                up,
                decided_at: now,
                result: Ok(now),
            };
            self.engine.acted(&acted, now, &mut self.hands);
            self.tell(happened);
        }
        for ask in self.hands.asks.drain(..) {
            if let Some(service) = self.services.get(ask.service) {
                self.bursts.send(ask, now, service.probes());
            }
        }
    }

    fn tell(&mut self, happened: &mut Vec<Happened>) {
        for event in self.hands.events.drain(..) {
            let about = service_of(&event.kind);
            if let Some(of) = about.and_then(|about| self.services.get_mut(about)) {
                of.tally.count(&event.kind);
            }
            match (event.kind, about) {
                (EventKind::Withdraw { service, .. }, _) => self.withdrawn_for = service,
                (EventKind::Announce { .. }, _) => self.announcements += 1,
                (EventKind::Alert { .. }, None) => self.alerts += 1,
                _ => {}
            }
            let service = about.unwrap_or(self.withdrawn_for);
            let Some(view) = self.engine.views().nth(service) else {
                continue;
            };
            happened.push(Happened {
                event,
                link: self.index,
                service,
                view,
            });
        }
    }
}

/// What the engine reaches through. Everything is remembered, and done when the engine is not at work.
#[derive(Debug, Default)]
struct Hands {
    asks: Vec<Ask>,
    /// Whether the link is to go up or down.
    order: Option<bool>,
    events: Vec<Event>,
}

impl Effects for Hands {
    fn probe(&mut self, ask: Ask) -> bool {
        self.asks.push(ask);
        true
    }

    fn withdraw(&mut self, _: usize, _: MonotonicTime) -> bool {
        self.order = Some(false);
        true
    }

    fn announce(&mut self, _: usize, _: MonotonicTime) -> bool {
        self.order = Some(true);
        true
    }

    /// Nobody but the engine puts the link up or down here.
    fn unmark(&mut self, _: usize) {}

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}
