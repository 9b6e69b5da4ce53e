//! What needs a person, about one service.

use std::time::Duration;

use super::{Dead, Service};
use crate::{
    clock::MonotonicTime,
    engine::{Effects, Settings},
    event::{AlertKind, AlertSet, Event, EventKind, Reason},
    policy::State,
};

/// An alert that the operator named has to last for this long to count as the service's death.
const WITHDRAW_AFTER: Duration = Duration::from_secs(10);

/// Overload has to last for this long to be told of; what it means for evidence it means at once.
const OVERLOAD_TOLD_AFTER: Duration = Duration::from_secs(5);

/// The alerts that are raised.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alerts {
    raised: AlertSet,
    /// Of those that may be asked to withdraw, in the order of [`AlertKind::OF_A_LIVING_SERVICE`]: since when.
    since: [MonotonicTime; AlertKind::OF_A_LIVING_SERVICE.len()],
}

impl Alerts {
    pub(super) fn raised(&self) -> AlertSet {
        self.raised
    }

    fn raise(&mut self, kind: AlertKind, now: MonotonicTime) -> bool {
        let is_new = self.raised.insert(kind);
        if is_new {
            let place = AlertKind::OF_A_LIVING_SERVICE.iter().position(|of| *of == kind);
            if let Some(since) = place.and_then(|place| self.since.get_mut(place)) {
                *since = now;
            }
        }
        is_new
    }

    /// One of `named` that has lasted long enough to count as death.
    fn lasting(&self, named: AlertSet, now: MonotonicTime) -> Option<AlertKind> {
        let kinds = AlertKind::OF_A_LIVING_SERVICE.into_iter().zip(self.since);
        kinds
            .filter(|&(kind, _)| named.contains(kind) && self.raised.contains(kind))
            .find(|(_, since)| now.since(*since) >= WITHDRAW_AFTER)
            .map(|(kind, _)| kind)
    }
}

impl Service {
    /// Tells what a tick has found wrong with a service that answers, and whether that is over. The operator may have
    /// asked to take it for dead.
    pub(super) fn find(&mut self, link: usize, settings: &Settings, now: MonotonicTime, effects: &mut impl Effects) {
        if !self.armed && !self.assessment.ready {
            return;
        }
        let findings = self.assessment.findings;
        for (kind, found) in [
            (AlertKind::PartialLoss, findings.partial_loss),
            (AlertKind::Servfail, findings.servfail),
            (AlertKind::Slow, findings.slow),
            (AlertKind::Overload, self.is_overloaded_for_long(now)),
        ] {
            self.set_alert(link, kind, found, now, effects);
        }
        if self.dead.is_none()
            && self.is_armed()
            && let Some(kind) = self.alerts.lasting(settings.withdraw_also_on, now)
        {
            let is_new = self.state != State::Blackholed;
            self.enter(State::Blackholed, Reason::Alert(kind), now, effects);
            self.dead = Some(Dead {
                figures: self.figures(),
                reason: Reason::Alert(kind),
                is_new,
            });
        }
    }

    /// A burst of demand is none yet.
    fn is_overloaded_for_long(&mut self, now: MonotonicTime) -> bool {
        if !self.assessment.overload {
            self.overloaded_since = None;
            return false;
        }
        let since = *self.overloaded_since.get_or_insert(now);
        now.since(since) >= OVERLOAD_TOLD_AFTER
    }

    pub(super) fn set_alert(
        &mut self,
        link: usize,
        kind: AlertKind,
        on: bool,
        now: MonotonicTime,
        effects: &mut impl Effects,
    ) {
        if !on {
            self.clear_alert(kind, now, effects);
        } else if self.alerts.raise(kind, now) {
            effects.event(Event {
                at: now,
                kind: EventKind::Alert {
                    link,
                    service: Some(self.id),
                    kind,
                },
            });
        }
    }

    pub(super) fn clear_alert(&mut self, kind: AlertKind, now: MonotonicTime, effects: &mut impl Effects) {
        if self.alerts.raised.remove(kind) {
            let service = self.id;
            effects.event(Event {
                at: now,
                kind: EventKind::AlertOver { service, kind },
            });
        }
    }
}
