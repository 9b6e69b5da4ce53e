//! What the results of probes mean for a service.

use super::{HEALTH_PROBE_INTERVAL, Service};
use crate::{
    clock::MonotonicTime,
    detect::Detector,
    engine::{Effects, Probed, Purpose},
    event::{AlertKind, Event, EventKind, Reason},
    policy::{Burst, Cause, State},
};

/// What speaks against probes rather than against the service.
const DISTRUST: [AlertKind; 3] = [
    AlertKind::ProbesUnanswered,
    AlertKind::ProbesSlow,
    AlertKind::ProbesUnsent,
];

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
        if !probed.late {
            *self.asked.of(probed.purpose) = None;
        }
        if matches!(self.state, State::Withdrawn | State::Holding) {
            // A round is judged by what came in time.
            if !probed.late {
                self.returned = Some(burst.is_good());
            }
            return;
        }
        self.suspicion.burst(burst);
        let health = probed.purpose == Purpose::Health && !probed.late;
        if !self.armed {
            if health {
                self.probed_unarmed(now, link, probed, effects);
            }
            return;
        }
        if burst.answered > 0 && self.assessment.idle {
            self.detector.iter_mut().for_each(Detector::settle);
        }
        if !burst.is_whole() {
            self.set_alert(link, AlertKind::ProbesUnsent, true, now, effects);
        }
        if health && !self.suspicion.is_suspicious() {
            self.check_probes(now, link, probed, effects);
        }
        self.tell(now, burst, effects);
    }

    /// A service is armed when enough was seen of it and a whole burst comes back. One that answered before and does not
    /// any more is asked again soon.
    fn probed_unarmed(&mut self, now: MonotonicTime, link: usize, probed: &Probed, effects: &mut impl Effects) {
        let distrusted = distrust(probed);
        match distrusted {
            None => (self.probes_known, self.lived) = (true, true),
            Some(kind) if self.probes_known => {
                if probed.burst.is_failed() {
                    self.suspicion.ask(now, &self.assessment, Cause::ProbesUnarmed);
                }
                self.set_alert(link, kind, true, now, effects);
            }
            Some(_) => {}
        }
        if !self.assessment.ready {
            if distrusted.is_none() {
                self.believe(now, effects);
            }
            return;
        }
        self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
        match distrusted {
            None => {
                (self.armed, self.lived) = (true, true);
                self.believe(now, effects);
                self.enter(State::Healthy, Reason::Armed, now, effects);
            }
            Some(kind) => self.set_alert(link, kind, true, now, effects),
        }
    }

    /// While all is well: are probes answered as clients are? One that is too slow can't be judged by them and is disarmed.
    /// Where only some are answered, some of its workers are dead, which is told. Where none is, it is asked on.
    fn check_probes(&mut self, now: MonotonicTime, link: usize, probed: &Probed, effects: &mut impl Effects) {
        let Some(kind) = distrust(probed) else {
            return self.believe(now, effects);
        };
        if probed.burst.is_failed() {
            // Clients may be answered all the same: then this is over, and its probes are not believed any more.
            return self.suspicion.ask(now, &self.assessment, Cause::Probes);
        }
        if kind == AlertKind::ProbesSlow {
            self.disarm(now, Reason::ProbesContradicted, effects);
            self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
        }
        self.set_alert(link, kind, true, now, effects);
    }

    fn believe(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        for kind in DISTRUST {
            self.clear_alert(kind, now, effects);
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
