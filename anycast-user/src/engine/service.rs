//! One service in the engine.

mod probes;
mod watched;

use std::time::Duration;

use super::{Ask, Effects, Purpose, Settings, View};
use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Detector, Sample},
    event::{AlertKind, Event, EventKind, Figures, Reason},
    policy::{State, Suspicion, Verdict, WatchOnly},
};

/// Wait after an arming probe that was not answered, and between the bursts that show that probes can still be believed.
const HEALTH_PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// A service and all that is remembered of it.
#[derive(Debug)]
pub(super) struct Service {
    id: usize,
    state: State,
    /// Begins with the first tick after the start, or after the link came up.
    detector: Option<Detector>,
    suspicion: Suspicion,
    assessment: Assessment,
    /// Why it can't be probed, if it can't.
    watch_only: Option<WatchOnly>,
    /// A local probe was answered when enough answers had been seen. Of a service that is only watched: they were seen.
    armed: bool,
    next_health_probe: MonotonicTime,
    /// Counts how often it was watched from zero.
    generation: u32,
    /// A burst is under way, for a suspicion or for health.
    asked: Asked,
    /// The alert that was raised and whose cause has not gone.
    alerted: Option<AlertKind>,
    /// The last burst of this suspicion that was told of, as answered and refused.
    told: Option<(bool, bool)>,
    /// Must answer before its link comes back.
    must_answer: bool,
    /// What the burst of the present round brought.
    returned: Option<bool>,
}

/// What was asked and is not answered yet.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    suspicion: bool,
    health: bool,
}

impl Asked {
    fn of(&mut self, purpose: Purpose) -> &mut bool {
        match purpose {
            Purpose::Suspicion => &mut self.suspicion,
            Purpose::Health => &mut self.health,
        }
    }
}

/// A service that is dead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead {
    pub(super) figures: Figures,
    pub(super) reason: Reason,
    /// It was not dead at the last tick.
    pub(super) is_new: bool,
}

impl Service {
    pub(super) fn new(
        id: usize,
        watch_only: Option<WatchOnly>,
        settings: &Settings,
        now: MonotonicTime,
        state: State,
    ) -> Self {
        let suspicion = if settings.bypassed || watch_only.is_some() {
            Suspicion::without_probes
        } else {
            Suspicion::new
        };
        Self {
            id,
            state,
            detector: None,
            suspicion: suspicion(settings.suspicion, now),
            assessment: Assessment::default(),
            watch_only,
            armed: false,
            next_health_probe: now,
            generation: 0,
            asked: Asked::default(),
            alerted: None,
            told: None,
            must_answer: watch_only.is_none(),
            returned: None,
        }
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// It was seen alive, by a probe too.
    pub(super) fn is_armed(&self) -> bool {
        self.armed && self.watch_only.is_none()
    }

    pub(super) fn must_answer(&self) -> bool {
        self.must_answer
    }

    pub(super) fn returned(&self) -> Option<bool> {
        self.returned
    }

    pub(super) fn view(&self) -> View {
        let Assessment {
            evidence, threshold, ..
        } = self.assessment;
        View {
            state: self.state,
            evidence,
            threshold,
        }
    }

    /// Takes a sample while the link is up. `Some` when the service is dead.
    pub(super) fn tick(
        &mut self,
        link: usize,
        settings: &Settings,
        sample: Sample,
        effects: &mut impl Effects,
    ) -> Option<Dead> {
        let now = sample.at;
        let detector = self
            .detector
            .get_or_insert_with(|| Detector::new(settings.detect, sample));
        self.assessment = detector.tick(sample, self.suspicion.is_suspicious());
        if settings.bypassed || self.watch_only.is_some() {
            self.watch(link, now, effects);
            return None;
        }
        if !self.armed {
            if self.assessment.ready && now >= self.next_health_probe {
                self.ask(Purpose::Health, effects);
            }
            return None;
        }
        let verdict = self.suspicion.tick(now, &self.assessment);
        if self.suspicion.wants_burst(now) && self.ask(Purpose::Suspicion, effects) {
            self.suspicion.burst_sent(now);
        }
        let was = self.state;
        match verdict {
            Verdict::Contradicted => {
                // Asked at once whether that was a pause.
                self.disarm(now, Reason::ProbesContradicted, effects);
                self.next_health_probe = now;
            }
            Verdict::Clear => {
                if now >= self.next_health_probe && self.ask(Purpose::Health, effects) {
                    self.next_health_probe = now.after(HEALTH_PROBE_INTERVAL);
                }
                self.clear(now, effects);
            }
            Verdict::Suspect | Verdict::EgressBroken => {
                let reason = if was == State::Blackholed {
                    Reason::ProbesAnswered
                } else {
                    Reason::AnswersMissing
                };
                self.enter(State::Suspect, reason, now, effects);
                if verdict == Verdict::EgressBroken {
                    self.alert(link, AlertKind::EgressBroken, now, effects);
                }
            }
            Verdict::Blackholed { no_socket } => {
                let reason = if no_socket {
                    Reason::NoSocket
                } else {
                    Reason::SilentAndProbesFail
                };
                let dead = Dead {
                    figures: self.figures(),
                    reason,
                    is_new: was != State::Blackholed,
                };
                self.enter(State::Blackholed, reason, now, effects);
                return Some(dead);
            }
        }
        None
    }

    /// Nothing is wrong.
    fn clear(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        self.alerted = None;
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

    fn disarm(&mut self, now: MonotonicTime, reason: Reason, effects: &mut impl Effects) {
        self.armed = false;
        self.enter(State::Unarmed, reason, now, effects);
    }

    /// The link went down by our hand. A service that was never armed need not answer for it to come back.
    pub(super) fn withdrawn(&mut self, now: MonotonicTime, any_armed: bool, effects: &mut impl Effects) {
        self.must_answer = self.watch_only.is_none() && (self.armed || !any_armed);
        self.returned = None;
        self.enter(State::Withdrawn, Reason::LinkDown, now, effects);
    }

    /// Asks for a round of the hold-down.
    pub(super) fn probe_for_return(&mut self, effects: &mut impl Effects) {
        self.returned = None;
        if self.must_answer {
            self.ask(Purpose::Health, effects);
        }
    }

    /// A round ended: `good` when all services answered.
    pub(super) fn end_round(&mut self, now: MonotonicTime, good: bool, effects: &mut impl Effects) {
        self.returned = None;
        if good {
            self.enter(State::Holding, Reason::ProbesGood, now, effects);
        } else {
            self.enter(State::Withdrawn, Reason::ProbesBad, now, effects);
        }
    }

    /// Watches from zero. What is under way is not about what comes now.
    pub(super) fn restart(
        &mut self,
        settings: &Settings,
        now: MonotonicTime,
        reason: Reason,
        effects: &mut impl Effects,
    ) {
        self.enter(State::Unarmed, reason, now, effects);
        *self = Self {
            generation: self.generation.wrapping_add(1),
            ..Self::new(self.id, self.watch_only, settings, now, State::Unarmed)
        };
    }

    pub(super) fn forgive(&mut self, unobserved: Duration) {
        self.detector
            .iter_mut()
            .for_each(|detector| detector.forgive(unobserved));
        self.suspicion.forgive(unobserved);
    }

    fn ask(&mut self, purpose: Purpose, effects: &mut impl Effects) -> bool {
        let ask = Ask {
            service: self.id,
            generation: self.generation,
            purpose,
        };
        let asked = self.asked.of(purpose);
        if *asked || !effects.probe(ask) {
            return false;
        }
        *asked = true;
        true
    }

    fn alert(&mut self, link: usize, kind: AlertKind, now: MonotonicTime, effects: &mut impl Effects) {
        if self.alerted != Some(kind) {
            self.alerted = Some(kind);
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

    fn enter(&mut self, to: State, reason: Reason, now: MonotonicTime, effects: &mut impl Effects) {
        if self.state != to {
            let from = std::mem::replace(&mut self.state, to);
            let (service, figures) = (self.id, self.figures());
            effects.event(Event {
                at: now,
                kind: EventKind::State {
                    service,
                    from,
                    to,
                    figures,
                    reason,
                },
            });
        }
    }

    fn figures(&self) -> Figures {
        let Assessment {
            evidence,
            threshold,
            silence,
            ..
        } = self.assessment;
        Figures {
            evidence,
            threshold,
            silence,
        }
    }
}
