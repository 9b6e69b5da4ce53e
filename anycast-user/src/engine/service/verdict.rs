//! What the verdict about a service that can be probed makes of it.

use super::{Dead, HEALTH_PROBE_INTERVAL, Service};
use crate::{
    clock::MonotonicTime,
    detect::Assessment,
    engine::{Effects, Purpose, Settings},
    event::{AlertKind, Reason},
    policy::{Cause, PROBES_IN_BURST, Proof, State, Verdict},
};

impl Service {
    /// Judges a service that is armed. `Some` when it is dead.
    pub(super) fn judge(
        &mut self,
        link: usize,
        settings: &Settings,
        now: MonotonicTime,
        effects: &mut impl Effects,
    ) -> Option<Dead> {
        if self.assessment.hint {
            self.suspicion.ask(now, &self.assessment, Cause::Hint);
        }
        let verdict = self.suspicion.tick(now, &self.assessment);
        self.send_burst(now, effects);
        let lost = matches!(verdict, Verdict::EgressBroken { .. });
        if lost {
            self.set_alert(link, AlertKind::EgressBroken, true, now, effects);
        }
        let dead = match verdict {
            Verdict::EgressBroken { proven: true } => Some(Reason::AnswersLost),
            Verdict::Blackholed(proof) => Some(reason(proof)),
            Verdict::Contradicted => None,
            Verdict::Clear | Verdict::Suspect(_) | Verdict::EgressBroken { .. } => {
                self.named_alert(settings, now).map(Reason::Alert)
            }
        };
        if let Some(reason) = dead {
            return Some(self.die(reason, now, effects));
        }
        match verdict {
            Verdict::Contradicted => {
                // Asked at once whether that was a pause.
                self.disarm(now, Reason::ProbesContradicted, effects);
                self.next_health_probe = now;
            }
            Verdict::Clear => {
                if now >= self.next_health_probe && self.ask(now, Purpose::Health, PROBES_IN_BURST, effects) {
                    self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
                }
                self.clear(now, effects);
            }
            Verdict::Suspect(cause) => {
                let reason = match cause {
                    _ if self.state == State::Blackholed => Reason::ProbesAnswered,
                    Cause::Evidence => Reason::AnswersMissing,
                    Cause::Hint => Reason::Hinted,
                    Cause::Probes | Cause::ProbesUnarmed => Reason::ProbesFail,
                };
                self.enter(State::Suspect, reason, now, effects);
            }
            Verdict::EgressBroken { .. } | Verdict::Blackholed(_) => {
                self.enter(State::Suspect, Reason::ProbesAnswered, now, effects);
            }
        }
        None
    }

    /// Waits until enough is known of a service. Until then the statistics say nothing about it: only that probes, which
    /// were answered before, are not any more. `Some` when it is dead.
    pub(super) fn wait_for_arming(
        &mut self,
        link: usize,
        now: MonotonicTime,
        effects: &mut impl Effects,
    ) -> Option<Dead> {
        let Assessment {
            ready, tail_too_heavy, ..
        } = self.assessment;
        if tail_too_heavy || ready {
            self.set_alert(link, AlertKind::TailTooHeavy, tail_too_heavy, now, effects);
        }
        if now >= self.next_health_probe && self.ask(now, Purpose::Health, PROBES_IN_BURST, effects) && !ready {
            self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
        }
        if !self.suspicion.is_suspicious() {
            return None;
        }
        let without_statistics = Assessment {
            silence_evidence: 0.0,
            residual_evidence: 0.0,
            ..self.assessment
        };
        let verdict = self.suspicion.tick(now, &without_statistics);
        self.send_burst(now, effects);
        if let Verdict::Blackholed(proof) = verdict {
            return Some(self.die(reason(proof), now, effects));
        }
        self.enter(State::Unarmed, Reason::ProbesAnswered, now, effects);
        None
    }

    fn send_burst(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        if let Some(probes) = self.suspicion.wants_burst(now)
            && self.ask(now, Purpose::Suspicion, probes, effects)
        {
            self.suspicion.burst_sent(now);
        }
    }

    pub(super) fn die(&mut self, reason: Reason, now: MonotonicTime, effects: &mut impl Effects) -> Dead {
        let dead = Dead {
            figures: self.figures(),
            reason,
            is_new: true, // Who knows what was before corrects it.
        };
        self.enter(State::Blackholed, reason, now, effects);
        dead
    }

    /// Nothing is wrong.
    pub(super) fn clear(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        for kind in [AlertKind::EgressBroken, AlertKind::WatchedSilent] {
            self.clear_alert(kind, now, effects);
        }
        self.told = None;
        if self.assessment.idle {
            self.enter(State::Idle, Reason::NoQueries, now, effects);
        } else {
            let reason = if self.state == State::Idle {
                Reason::QueriesAgain
            } else {
                Reason::AnswersAgain
            };
            self.enter(State::Healthy, reason, now, effects);
        }
    }

    pub(super) fn disarm(&mut self, now: MonotonicTime, reason: Reason, effects: &mut impl Effects) {
        self.armed = false;
        if reason == Reason::ProbesContradicted {
            // They fail whatever the service does; a good burst says otherwise.
            self.probes_known = false;
        }
        self.told = None;
        self.clear_alert(AlertKind::EgressBroken, now, effects);
        self.enter(State::Unarmed, reason, now, effects);
    }
}

fn reason(proof: Proof) -> Reason {
    match proof {
        Proof::Silence => Reason::SilentAndProbesFail,
        Proof::Trickle => Reason::TrickleAndProbesFail,
        Proof::Overload => Reason::SilentUnderLoad,
        Proof::Lapse => Reason::LapsedAndProbesFail,
        Proof::NoSocket => Reason::NoSocket,
        Proof::Probes => Reason::ProbesFail,
        Proof::SilenceAlone => Reason::Silent,
    }
}
