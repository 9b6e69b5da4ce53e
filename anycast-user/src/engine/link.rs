//! One link and its services in the engine.

use std::time::Duration;

use super::{
    Effects, Settings,
    service::{Dead, Service},
};
use crate::{
    clock::MonotonicTime,
    detect::Counts,
    event::{AlertKind, Event, EventKind, Reason},
    policy::{Guard, LinkPhase, LinkPolicy, Wish, WithdrawWhen},
};

/// An order that was not acknowledged for this long is told of.
const ORDER_OVERDUE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Link {
    pub(super) policy: LinkPolicy,
    pub(super) withdraw_when: WithdrawWhen,
    pub(super) changed_at: MonotonicTime,
    /// When an order was given that is not acknowledged yet, and not told to be overdue.
    pub(super) ordered_at: Option<MonotonicTime>,
    /// It was told that some services answer and others don't.
    pub(super) told_uneven: bool,
    pub(super) services: Vec<Service>,
}

impl Link {
    /// A tick of a link whose services get traffic.
    pub(super) fn watch(
        &mut self,
        index: usize,
        settings: &Settings,
        now: MonotonicTime,
        read: &impl Fn(usize) -> Option<Counts>,
        effects: &mut impl Effects,
    ) {
        for service in &mut self.services {
            if let Some(counts) = read(service.id()) {
                service.tick(index, settings, now, counts, effects);
            }
        }
        // The one that died last tips the balance.
        let dead = |is_new| {
            let mut services = self.services.iter();
            services.find_map(|service| {
                let dead = service.dead()?;
                (dead.is_new == is_new).then_some((service.id(), dead))
            })
        };
        if let Some((service, dead)) = dead(true).or_else(|| dead(false)) {
            self.lose(index, settings.armed, now, (service, dead), effects);
        }
    }

    /// A service is dead: the link goes down, or something speaks against that.
    fn lose(
        &mut self,
        index: usize,
        armed: bool,
        now: MonotonicTime,
        (service, dead): (usize, Dead),
        effects: &mut impl Effects,
    ) {
        let Dead {
            figures,
            reason,
            is_new,
        } = dead;
        let guard = if !self
            .withdraw_when
            .is_met(self.services.iter().filter_map(Service::vote))
        {
            Some(Guard::OthersAlive)
        } else if armed {
            None
        } else {
            Some(Guard::Observing)
        };
        let kind = match guard {
            None => {
                if !self.policy.may_withdraw(now) || !effects.withdraw(index, now) {
                    return;
                }
                self.policy.withdrawing();
                self.ordered_at = Some(now);
                EventKind::Withdraw {
                    service,
                    figures,
                    reason,
                }
            }
            Some(_) if !is_new => return,
            Some(guard @ Guard::Observing) => EventKind::WouldWithdraw {
                service,
                figures,
                reason,
                guard,
            },
            Some(guard @ Guard::OthersAlive) => EventKind::Refuse {
                service,
                figures,
                reason,
                guard,
            },
        };
        effects.event(Event { at: now, kind });
    }

    /// A tick of a link that is down by our hand: only probes can tell when it may come back.
    pub(super) fn wait(&mut self, index: usize, now: MonotonicTime, effects: &mut impl Effects) {
        match self.policy.tick(now) {
            Wish::Nothing => {}
            Wish::Probe => self
                .services
                .iter_mut()
                .for_each(|service| service.probe_for_return(now, effects)),
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
    pub(super) fn end_round(&mut self, index: usize, now: MonotonicTime, effects: &mut impl Effects) {
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
    pub(super) fn withdrawn(&mut self, index: usize, at: MonotonicTime, effects: &mut impl Effects) {
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
    pub(super) fn held(&mut self, settings: &Settings, at: MonotonicTime, effects: &mut impl Effects) {
        self.changed_at = at;
        self.policy.held_by_operator_now();
        self.restart(settings, at, Reason::LinkHeld, effects);
    }

    /// The link is up.
    pub(super) fn announced(
        &mut self,
        settings: &Settings,
        at: MonotonicTime,
        reason: Reason,
        effects: &mut impl Effects,
    ) {
        self.changed_at = at;
        self.policy.announced_again();
        self.restart(settings, at, reason, effects);
    }

    /// The kernel may hold an order up behind others; somebody should know.
    pub(super) fn check_order(&mut self, index: usize, now: MonotonicTime, effects: &mut impl Effects) {
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
    pub(super) fn restart(
        &mut self,
        settings: &Settings,
        now: MonotonicTime,
        reason: Reason,
        effects: &mut impl Effects,
    ) {
        self.services
            .iter_mut()
            .for_each(|service| service.restart(settings, now, reason, effects));
    }
}
