//! The one engine: detector and policy for all services and links, driven a tick at a time.
//!
//! The daemon, simulations and tests run this code; they differ in where the samples come from and in what stands
//! behind [`Effects`]. It does no I/O, allocates nothing in a tick, and time is an argument.

mod service;

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    detect::{self, Nats, Sample},
    engine::service::Service,
    event::{AlertKind, Event, EventKind, Reason},
    policy::{Burst, Guard, HoldDown, LinkPhase, LinkPolicy, State, SuspicionSettings, Wish},
};

/// Why a burst of probes is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A suspicion: every millisecond counts.
    Suspicion,
    /// Arming, or the hold-down: a slow answer is an answer, and nothing is urgent.
    Health,
}

/// What the engine wants done. None of it may block.
pub trait Effects {
    /// Send a burst of local probes to a service; its result comes back by [`Engine::probed`]. False when that can't
    /// be done now.
    fn probe(&mut self, service: usize, purpose: Purpose) -> bool;
    /// Put a link down; the result comes back by [`Engine::acted`]. False when that can't be done now.
    fn withdraw(&mut self, link: usize, decided_at: MonotonicTime) -> bool;
    /// Put a link up; the result comes back by [`Engine::acted`]. False when that can't be done now.
    fn announce(&mut self, link: usize, decided_at: MonotonicTime) -> bool;
    /// Tell.
    fn event(&mut self, event: Event);
}

/// What the engine must know before it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Whether links may be touched.
    pub armed: bool,
    /// The detector's.
    pub detect: detect::Settings,
    /// The policy's for services.
    pub suspicion: SuspicionSettings,
    /// The first hold-down.
    pub hold_down: Duration,
}

/// How a link is found when the engine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Up.
    Up,
    /// Down, and marked as withdrawn by an earlier run.
    WithdrawnByUs,
    /// Down by somebody else's hand.
    Down,
}

/// A link and its services, as the engine starts.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSetup {
    /// How it was found.
    pub found: Found,
    /// A first sample of each of its services. Services are numbered through all links in order.
    pub services: Vec<Sample>,
}

/// What the actuator did with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Index of the link.
    pub link: usize,
    /// Whether it was to go up or down.
    pub up: bool,
    /// When that was decided.
    pub decided_at: MonotonicTime,
    /// When the kernel acknowledged it, `None` when it would not or the link was read back otherwise.
    pub acknowledged_at: Option<MonotonicTime>,
}

/// What is shown of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Its state.
    pub state: State,
    /// Evidence of the present silence.
    pub evidence: Nats,
    /// Evidence at which silence alone is proof.
    pub threshold: Nats,
}

/// Detector and policy for everything on this node.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    policy: LinkPolicy,
    changed_at: MonotonicTime,
    services: Vec<Service>,
}

impl Engine {
    /// Starts at `now`.
    #[must_use]
    pub fn new(settings: Settings, links: &[LinkSetup], now: MonotonicTime) -> Self {
        let mut next = 0;
        let links = links
            .iter()
            .map(|setup| {
                let hold_down = HoldDown::new(settings.hold_down, now);
                let (policy, state) = match setup.found {
                    Found::Up => (LinkPolicy::announced(hold_down), State::Unarmed),
                    Found::WithdrawnByUs => (LinkPolicy::withdrawn_before(hold_down, now), State::Withdrawn),
                    Found::Down => (LinkPolicy::held_by_operator(hold_down), State::Unarmed),
                };
                let services = setup
                    .services
                    .iter()
                    .map(|&sample| {
                        let service = Service::new(next, &settings, sample, state);
                        next += 1;
                        service
                    })
                    .collect();
                Link {
                    policy,
                    changed_at: now,
                    services,
                }
            })
            .collect();
        Self { settings, links }
    }

    /// Takes a tick: `read` gives the queries and answers so far of a service.
    pub fn tick(&mut self, now: MonotonicTime, read: impl Fn(usize) -> (u64, u64), effects: &mut impl Effects) {
        let Self { settings, links } = self;
        for (index, link) in links.iter_mut().enumerate() {
            match link.policy.phase() {
                LinkPhase::Announced { .. } | LinkPhase::Withdrawing | LinkPhase::HeldByOperator => {
                    link.watch(index, settings, now, &read, effects);
                }
                LinkPhase::Withdrawn { .. } | LinkPhase::Announcing { .. } => link.wait(index, now, effects),
            }
        }
    }

    /// Takes the result of a burst.
    pub fn probed(&mut self, now: MonotonicTime, service: usize, burst: &Burst, effects: &mut impl Effects) {
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(service) = link.services.iter_mut().find(|candidate| candidate.id() == service) {
                service.probed(now, index, burst, effects);
                link.end_round(now, effects);
                return;
            }
        }
    }

    /// Takes what the actuator did.
    pub fn acted(&mut self, acted: &Acted, now: MonotonicTime, effects: &mut impl Effects) {
        let Self { settings, links } = self;
        let Acted {
            link: index,
            up,
            decided_at,
            acknowledged_at,
        } = *acted;
        let Some(link) = links.get_mut(index) else { return };
        let mut tell = |at, kind| effects.event(Event { at, kind });
        match (up, acknowledged_at) {
            (false, Some(at)) => {
                link.changed_at = at;
                tell(
                    at,
                    EventKind::LinkDown {
                        link: index,
                        took: at.since(decided_at),
                    },
                );
                let hold = link.policy.withdrawn(at);
                tell(at, EventKind::HoldDown { link: index, hold });
                link.services
                    .iter_mut()
                    .for_each(|service| service.withdrawn(at, effects));
            }
            (false, None) => {
                link.policy.withdrawal_failed(now);
                tell(
                    now,
                    EventKind::Alert {
                        link: index,
                        service: None,
                        kind: AlertKind::LinkDownFailed,
                    },
                );
            }
            (true, Some(at)) => {
                link.changed_at = at;
                link.policy.announced_again();
                tell(
                    at,
                    EventKind::LinkUp {
                        link: index,
                        took: at.since(decided_at),
                    },
                );
                link.restart(settings, at, Reason::LinkUp, effects);
            }
            (true, None) => {
                link.policy.announcement_failed(now);
                tell(
                    now,
                    EventKind::Alert {
                        link: index,
                        service: None,
                        kind: AlertKind::LinkUpFailed,
                    },
                );
            }
        }
    }

    /// Takes a look at a link: somebody else may have put it up or down.
    ///
    /// A link that an operator put down is left to the operator, and one that an operator put up is up: its services are
    /// watched from zero.
    pub fn seen(&mut self, index: usize, up: bool, at: MonotonicTime, effects: &mut impl Effects) {
        let Self { settings, links } = self;
        let Some(link) = links.get_mut(index) else { return };
        // A look from before the last change of ours shows what was then.
        if at <= link.changed_at {
            return;
        }
        match (link.policy.phase(), up) {
            (LinkPhase::Announced { .. }, false) => link.policy.held_by_operator_now(),
            (LinkPhase::HeldByOperator | LinkPhase::Withdrawn { .. }, true) => {
                link.policy.announced_again();
                link.restart(settings, at, Reason::LinkUp, effects);
            }
            _ => return,
        }
        effects.event(Event {
            at,
            kind: EventKind::LinkChanged { link: index, up },
        });
    }

    /// The daemon did not run for `unobserved`: no silence and no suspicion is longer for it.
    pub fn forgive(&mut self, unobserved: Duration) {
        for service in self.links.iter_mut().flat_map(|link| &mut link.services) {
            service.forgive(unobserved);
        }
    }

    /// What is shown of each service, in order.
    pub fn views(&self) -> impl Iterator<Item = View> {
        self.links.iter().flat_map(|link| &link.services).map(Service::view)
    }
}

impl Link {
    /// A tick of a link whose services get traffic.
    fn watch(
        &mut self,
        index: usize,
        settings: &Settings,
        now: MonotonicTime,
        read: &impl Fn(usize) -> (u64, u64),
        effects: &mut impl Effects,
    ) {
        for service in &mut self.services {
            let (queries, answers) = read(service.id());
            let Some(dead) = service.tick(
                index,
                Sample {
                    at: now,
                    queries,
                    answers,
                },
                effects,
            ) else {
                continue;
            };
            if settings.armed {
                if self.policy.may_withdraw(now) && effects.withdraw(index, now) {
                    self.policy.withdrawing();
                    let (service, figures, reason) = (service.id(), dead.figures, dead.reason);
                    effects.event(Event {
                        at: now,
                        kind: EventKind::Withdraw {
                            service,
                            figures,
                            reason,
                        },
                    });
                }
            } else if dead.is_new {
                let (service, figures, reason, guard) = (service.id(), dead.figures, dead.reason, Guard::Observing);
                effects.event(Event {
                    at: now,
                    kind: EventKind::WouldWithdraw {
                        service,
                        figures,
                        reason,
                        guard,
                    },
                });
            }
        }
    }

    /// A tick of a link that is down by our hand: only probes can tell when it may come back.
    fn wait(&mut self, index: usize, now: MonotonicTime, effects: &mut impl Effects) {
        match self.policy.tick(now) {
            Wish::Nothing => {}
            Wish::Probe => self
                .services
                .iter_mut()
                .for_each(|service| service.probe_for_return(effects)),
            Wish::Announce => {
                if effects.announce(index, now) {
                    effects.event(Event {
                        at: now,
                        kind: EventKind::Announce { link: index },
                    });
                } else {
                    self.policy.announcement_failed(now);
                }
            }
        }
    }

    /// Ends a round of probes when the last of its bursts has come back.
    fn end_round(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        if !matches!(self.policy.phase(), LinkPhase::Withdrawn { .. }) {
            return;
        }
        let mut good = true;
        for service in self.services.iter().filter(|service| service.must_answer()) {
            match service.returned() {
                None => return,
                Some(answered) => good &= answered,
            }
        }
        self.policy.probed(now, good);
        for service in &mut self.services {
            service.end_round(now, good, effects);
        }
    }

    /// Watches all services from zero.
    fn restart(&mut self, settings: &Settings, now: MonotonicTime, reason: Reason, effects: &mut impl Effects) {
        self.services
            .iter_mut()
            .for_each(|service| service.restart(settings, now, reason, effects));
    }
}

#[cfg(test)]
mod tests;
