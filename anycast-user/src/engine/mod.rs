//! The one engine: detector and policy for all services and links, driven a tick at a time.
//!
//! The daemon, simulations and tests run this code; they differ in where the samples come from and in what stands
//! behind [`Effects`]. It does no I/O, allocates nothing in a tick, and time is an argument.

mod explain;
mod interface;
mod link;
mod service;
mod settings;

use std::time::Duration;

pub use self::{
    explain::Explanation,
    interface::{
        Acted, Ask, Effects, Failure, Found, LinkSetup, Probed, Purpose, Seen, ServiceSetup, Settings, SocketsSeen,
        View,
    },
};
use self::{link::Link, service::Service};
use crate::{
    clock::MonotonicTime,
    detect::{Counts, LatencyProfile},
    event::{AlertKind, Event, EventKind, Reason},
    policy::{HoldDown, LinkPhase, LinkPolicy, State},
};

/// Detector and policy for everything on this node.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    links: Vec<Link>,
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
                let services = (next..)
                    .zip(&setup.services)
                    .map(|(id, setup)| Service::new(id, *setup, &settings, now, state))
                    .collect();
                next += setup.services.len();
                Link {
                    policy,
                    withdraw_when: setup.withdraw_when,
                    changed_at: now,
                    ordered_at: None,
                    told_uneven: false,
                    services,
                }
            })
            .collect();
        Self { settings, links }
    }

    /// Watches one more service on a link, from `now` on. Returns its number, one more than the highest so far.
    pub fn add_service(&mut self, link: usize, setup: ServiceSetup, now: MonotonicTime) -> usize {
        let number = self.links.iter().map(|link| link.services.len()).sum();
        if let Some(link) = self.links.get_mut(link) {
            let service = Service::new(number, setup, &self.settings, now, State::Unarmed);
            link.services.push(service);
        }
        number
    }

    /// Takes a tick: `read` gives what was counted of a service so far, or nothing when there is no news of it.
    pub fn tick(&mut self, now: MonotonicTime, read: impl Fn(usize) -> Option<Counts>, effects: &mut impl Effects) {
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

    /// Takes how long the answers of a service took in the last while.
    pub fn latency(&mut self, service: usize, profile: &LatencyProfile) {
        if let Some(service) = self.service_mut(service) {
            service.latency(profile);
        }
    }

    /// Takes a look at the sockets of a service.
    pub fn sockets(&mut self, now: MonotonicTime, service: usize, seen: &SocketsSeen, effects: &mut impl Effects) {
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(service) = link.services.iter_mut().find(|known| known.id() == service) {
                service.sockets(index, now, seen, effects);
                return;
            }
        }
    }

    /// Why a service is judged as it is; `None` before its first tick.
    #[must_use]
    pub fn explanation(&self, service: usize) -> Option<Explanation> {
        let mut services = self.links.iter().flat_map(|link| &link.services);
        services.find(|known| known.id() == service)?.explanation()
    }

    fn service_mut(&mut self, service: usize) -> Option<&mut Service> {
        let mut services = self.links.iter_mut().flat_map(|link| &mut link.services);
        services.find(|known| known.id() == service)
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

    /// Answers may leave uncounted from now on, or may not any more. As long as they may, every service is only watched,
    /// and judged by what is still seen of it. What was learned before counts no more, either way.
    ///
    /// A link that is down by our hand comes back as ever: local probes pass no uplink.
    pub fn bypass(&mut self, bypassed: bool, now: MonotonicTime, effects: &mut impl Effects) {
        let Self { settings, links } = self;
        if settings.bypassed == bypassed {
            return;
        }
        settings.bypassed = bypassed;
        let reason = if bypassed {
            Reason::Bypassed
        } else {
            Reason::BypassEnded
        };
        for (index, link) in links.iter_mut().enumerate() {
            if bypassed && settings.armed {
                let kind = EventKind::Alert {
                    link: index,
                    service: None,
                    kind: AlertKind::Bypassed,
                };
                effects.event(Event { at: now, kind });
            }
            if !matches!(
                link.policy.phase(),
                LinkPhase::Withdrawn(_) | LinkPhase::Announcing { .. }
            ) {
                link.restart(settings, now, reason, effects);
            }
        }
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

#[cfg(test)]
mod tests;
