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
    /// Arming, the hold-down, and now and then while all is well: a slow answer is an answer, and nothing is urgent.
    Health,
}

/// A burst to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// To whom.
    pub service: usize,
    /// Comes back with the result: what was asked before the service was watched from zero is not about it any more.
    pub generation: u32,
    /// Why.
    pub purpose: Purpose,
}

/// What came of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Who was asked.
    pub service: usize,
    /// Of the question.
    pub generation: u32,
    /// Why it was asked.
    pub purpose: Purpose,
    /// What came back.
    pub burst: Burst,
    /// The burst was judged before, and then an answer came all the same.
    pub late: bool,
    /// The slowest answer came within the time that a suspicion waits for one.
    pub quick: bool,
}

/// What a look at a link showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, before the look.
    pub at: MonotonicTime,
    /// Whether the link is up.
    pub up: bool,
    /// Whether it carries the mark of a withdrawal.
    pub marked: bool,
}

/// What the engine wants done. None of it may block.
pub trait Effects {
    /// Send a burst of local probes; its result comes back by [`Engine::probed`]. False when that can't be done now.
    fn probe(&mut self, ask: Ask) -> bool;
    /// Put a link down; the result comes back by [`Engine::acted`]. False when that can't be done now.
    fn withdraw(&mut self, link: usize, decided_at: MonotonicTime) -> bool;
    /// Put a link up; the result comes back by [`Engine::acted`]. False when that can't be done now.
    fn announce(&mut self, link: usize, decided_at: MonotonicTime) -> bool;
    /// Take the mark of a withdrawal off a link that somebody else put up. Nobody waits for it.
    fn unmark(&mut self, link: usize);
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSetup {
    /// How it was found.
    pub found: Found,
    /// How many services are on it. They are numbered through all links in order.
    pub services: usize,
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
    /// When the kernel acknowledged it, or why it did not happen.
    pub result: Result<MonotonicTime, Failure>,
}

/// Why an order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The kernel would not, or the link was read back otherwise.
    Refused,
    /// Somebody else had put the link down, and it was left alone.
    NotOurs,
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

/// An order that was not acknowledged for this long is told of.
const ORDER_OVERDUE: Duration = Duration::from_secs(1);

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
    /// When an order was given that is not acknowledged yet, and not told to be overdue.
    ordered_at: Option<MonotonicTime>,
    /// It was told that some services answer and others don't.
    told_uneven: bool,
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
                let services = (next..next + setup.services)
                    .map(|id| Service::new(id, &settings, now, state))
                    .collect();
                next += setup.services;
                Link {
                    policy,
                    changed_at: now,
                    ordered_at: None,
                    told_uneven: false,
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
            link.check_order(index, now, effects);
            match link.policy.phase() {
                LinkPhase::Announced { .. } | LinkPhase::Withdrawing | LinkPhase::HeldByOperator => {
                    link.watch(index, settings, now, &read, effects);
                }
                LinkPhase::Withdrawn(_) | LinkPhase::Announcing { .. } => link.wait(index, now, effects),
            }
        }
    }

    /// Takes the result of a burst.
    pub fn probed(&mut self, now: MonotonicTime, probed: &Probed, effects: &mut impl Effects) {
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(service) = link.services.iter_mut().find(|service| service.id() == probed.service) {
                service.probed(now, index, probed, effects);
                link.end_round(index, now, effects);
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
            result,
        } = *acted;
        let Some(link) = links.get_mut(index) else { return };
        link.ordered_at = None;
        let mut tell = |at, kind| effects.event(Event { at, kind });
        match (up, result) {
            (false, Ok(at)) => {
                tell(
                    at,
                    EventKind::LinkDown {
                        link: index,
                        took: at.since(decided_at),
                    },
                );
                link.withdrawn(index, at, effects);
            }
            (_, Err(Failure::NotOurs)) => {
                link.held(settings, now, effects);
                effects.event(Event {
                    at: now,
                    kind: EventKind::LinkChanged { link: index, up: false },
                });
            }
            (false, Err(Failure::Refused)) => {
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
            (true, Ok(at)) => {
                tell(
                    at,
                    EventKind::LinkUp {
                        link: index,
                        took: at.since(decided_at),
                    },
                );
                link.announced(settings, at, Reason::LinkUp, effects);
            }
            (true, Err(Failure::Refused)) => {
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
    /// A link that is down without the mark is an operator's, and left alone until it is up again. One that an operator
    /// put up is up: its services are watched from zero, and the mark goes. One that is down with the mark, although no
    /// withdrawal was acknowledged, is withdrawn.
    pub fn seen(&mut self, index: usize, seen: Seen, effects: &mut impl Effects) {
        let Self { settings, links } = self;
        let Some(link) = links.get_mut(index) else { return };
        let Seen { at, up, marked } = seen;
        // A look from before the last change of ours shows what was then.
        if at <= link.changed_at {
            return;
        }
        match (link.policy.phase(), up, marked) {
            (LinkPhase::Announced { .. }, false, true) if settings.armed => {
                // The order's own acknowledgement was lost.
                effects.event(Event {
                    at,
                    kind: EventKind::LinkDown {
                        link: index,
                        took: Duration::ZERO,
                    },
                });
                return link.withdrawn(index, at, effects);
            }
            (LinkPhase::Announced { .. }, false, _) | (LinkPhase::Withdrawn(_), false, false) => {
                link.held(settings, at, effects);
            }
            (LinkPhase::HeldByOperator | LinkPhase::Withdrawn(_), true, _) => {
                link.announced(settings, at, Reason::LinkRaised, effects);
            }
            _ => {
                if up && marked && settings.armed && matches!(link.policy.phase(), LinkPhase::Announced { .. }) {
                    effects.unmark(index);
                }
                return;
            }
        }
        effects.event(Event {
            at,
            kind: EventKind::LinkChanged { link: index, up },
        });
    }

    /// The daemon did not run for `unobserved`: no silence, no suspicion and no health is longer for it.
    pub fn forgive(&mut self, unobserved: Duration) {
        for link in &mut self.links {
            link.policy.forgive(unobserved);
            for service in &mut link.services {
                service.forgive(unobserved);
            }
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
                settings,
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
                    self.ordered_at = Some(now);
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
                    self.ordered_at = Some(now);
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
    fn end_round(&mut self, index: usize, now: MonotonicTime, effects: &mut impl Effects) {
        if !matches!(self.policy.phase(), LinkPhase::Withdrawn(_)) {
            return;
        }
        let (mut good, mut bad) = (false, false);
        for service in self.services.iter().filter(|service| service.must_answer()) {
            match service.returned() {
                None => return,
                Some(true) => good = true,
                Some(false) => bad = true,
            }
        }
        self.policy.probed(now, good && !bad);
        for service in &mut self.services {
            service.end_round(now, good && !bad, effects);
        }
        if good && bad && !self.told_uneven {
            self.told_uneven = true;
            let kind = AlertKind::SomeUnanswered;
            effects.event(Event {
                at: now,
                kind: EventKind::Alert {
                    link: index,
                    service: None,
                    kind,
                },
            });
        }
    }

    /// The link is down by our hand.
    fn withdrawn(&mut self, index: usize, at: MonotonicTime, effects: &mut impl Effects) {
        self.changed_at = at;
        self.told_uneven = false;
        let hold = self.policy.withdrawn(at);
        effects.event(Event {
            at,
            kind: EventKind::HoldDown { link: index, hold },
        });
        // Without one that was seen alive, all of them have to be.
        let any_armed = self.services.iter().any(Service::is_armed);
        for service in &mut self.services {
            service.withdrawn(at, any_armed, effects);
        }
    }

    /// The link is down by somebody else's hand.
    fn held(&mut self, settings: &Settings, at: MonotonicTime, effects: &mut impl Effects) {
        self.changed_at = at;
        self.policy.held_by_operator_now();
        self.restart(settings, at, Reason::LinkHeld, effects);
    }

    /// The link is up.
    fn announced(&mut self, settings: &Settings, at: MonotonicTime, reason: Reason, effects: &mut impl Effects) {
        self.changed_at = at;
        self.policy.announced_again();
        self.restart(settings, at, reason, effects);
    }

    /// The kernel may hold an order up behind others; somebody should know.
    fn check_order(&mut self, index: usize, now: MonotonicTime, effects: &mut impl Effects) {
        if self.ordered_at.is_some_and(|at| now.since(at) >= ORDER_OVERDUE) {
            self.ordered_at = None;
            let kind = AlertKind::OrderOverdue;
            effects.event(Event {
                at: now,
                kind: EventKind::Alert {
                    link: index,
                    service: None,
                    kind,
                },
            });
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
