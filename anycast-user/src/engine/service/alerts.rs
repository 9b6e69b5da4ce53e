//! What needs a person, about one service.

use std::time::Duration;

use super::Service;
use crate::{
    clock::MonotonicTime,
    engine::{Effects, Settings},
    event::{AlertKind, AlertSet, Event, EventKind},
};

/// An alert that the operator named has to last for this long to count as the service's death.
const WITHDRAW_AFTER: Duration = Duration::from_secs(10);

/// What was seen of its sockets holds for this long, and of its latency: it is looked at every second, and every ten.
const FINDING_LASTS: Duration = Duration::from_secs(5);
const LATENCY_LASTS: Duration = Duration::from_secs(60);
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

    /// The daemon did not run for `unobserved`: nothing has lasted for longer.
    pub(super) fn forgive(&mut self, unobserved: Duration) {
        for since in &mut self.since {
            *since = since.after(unobserved);
        }
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
    /// Tells what a tick has found wrong with a service that answers, and whether that is over.
    pub(super) fn find(&mut self, link: usize, now: MonotonicTime, effects: &mut impl Effects) {
        if now.since(self.sockets_at) >= FINDING_LASTS {
            self.clear_alert(AlertKind::HungWorker, now, effects);
        }
        if now.since(self.latency_at) >= LATENCY_LASTS
            && let Some(detector) = &mut self.detector
        {
            detector.forget_slowness();
        }
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
    }

    /// The alert that counts as death, because the operator named it and it has lasted.
    pub(super) fn named_alert(&self, settings: &Settings, now: MonotonicTime) -> Option<AlertKind> {
        self.alerts.lasting(settings.withdraw_also_on, now)
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

    pub(super) fn clear_all_alerts(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        for kind in self.alerts.raised().iter() {
            self.clear_alert(kind, now, effects);
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
