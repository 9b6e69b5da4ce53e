//! What the results of probes mean for a service.

use super::{HEALTH_PROBE_INTERVAL, Service};
use crate::{
    clock::MonotonicTime,
    detect::Detector,
    engine::{Effects, Probed, Purpose},
    event::{AlertKind, Event, EventKind, Reason},
    policy::{Burst, State},
};

impl Service {
    /// Takes the result of a burst.
    pub(in crate::engine) fn probed(
        &mut self,
        now: MonotonicTime,
        link: usize,
        probed: &Probed,
        effects: &mut impl Effects,
    ) {
        if probed.generation != self.generation {
            return;
        }
        let burst = &probed.burst;
        *self.asked.of(probed.purpose) &= probed.late;
        match self.state {
            // A round is judged by what came in time.
            State::Withdrawn | State::Holding => {
                if !probed.late {
                    self.returned = Some(burst.is_good());
                }
            }
            State::Unarmed if !self.assessment.ready || probed.late => {}
            State::Unarmed => match distrust(probed) {
                None => {
                    self.armed = true;
                    self.alerted = None;
                    self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
                    self.enter(State::Healthy, Reason::Armed, now, effects);
                }
                Some(kind) => {
                    self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
                    self.alert(link, kind, now, effects);
                }
            },
            State::Healthy | State::Idle | State::Suspect | State::Blackholed => {
                self.suspicion.burst(burst);
                if burst.answered > 0 && self.assessment.idle {
                    self.detector.iter_mut().for_each(Detector::settle);
                }
                if !burst.is_whole() {
                    self.alert(link, AlertKind::ProbesUnsent, now, effects);
                }
                if probed.purpose == Purpose::Health && !probed.late && !self.suspicion.is_suspicious() {
                    self.check_probes(now, link, probed, effects);
                }
                self.tell(now, burst, effects);
            }
        }
    }

    /// While all is well: are probes answered as clients are? A service whose probes can't be believed is disarmed.
    fn check_probes(&mut self, now: MonotonicTime, link: usize, probed: &Probed, effects: &mut impl Effects) {
        let clients_were_answered = now.since(probed.burst.started_at) > self.assessment.silence;
        if let Some(kind @ (AlertKind::ProbesUnanswered | AlertKind::ProbesSlow)) = distrust(probed)
            && (probed.burst.answered > 0 || clients_were_answered)
        {
            self.disarm(now, Reason::ProbesContradicted, effects);
            self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
            self.alert(link, kind, now, effects);
        }
    }

    /// Tells of a burst in a suspicion when its outcome is new.
    fn tell(&mut self, now: MonotonicTime, burst: &Burst, effects: &mut impl Effects) {
        let outcome = (burst.answered > 0, burst.refused > 0);
        if self.suspicion.is_suspicious() && self.told != Some(outcome) {
            self.told = Some(outcome);
            let Burst {
                sent,
                answered,
                refused,
                ..
            } = *burst;
            let service = self.id;
            effects.event(Event {
                at: now,
                kind: EventKind::Probe {
                    service,
                    sent,
                    answered,
                    refused,
                },
            });
        }
    }
}

/// Why a burst of a service that should be well shows that its probes can't be believed; `None` when it came back whole
/// and quickly.
fn distrust(probed: &Probed) -> Option<AlertKind> {
    match &probed.burst {
        burst if !burst.is_whole() => Some(AlertKind::ProbesUnsent),
        burst if !burst.is_good() => Some(AlertKind::ProbesUnanswered),
        _ if !probed.quick => Some(AlertKind::ProbesSlow),
        _ => None,
    }
}
