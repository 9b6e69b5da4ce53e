//! One service in the engine.

mod alerts;
mod probes;
mod verdict;
mod watched;

use std::time::Duration;

use self::alerts::Alerts;
use super::{Ask, Effects, Purpose, ServiceSetup, Settings, SocketsSeen, View};
use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Counts, Detector, LatencyProfile, Nats, Sample},
    event::{AlertKind, Event, EventKind, Figures, Reason},
    policy::{BURST_NATS, Cause, PROBES_IN_BURST, State, Suspicion, WatchOnly},
};

/// Wait after an arming probe that was not answered, and between the bursts that show that probes can still be believed.
const HEALTH_PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// A look at the sockets of a service speaks about the present for this long.
const SOCKET_LOOK_LASTS: Duration = Duration::from_secs(2);

/// A service and all that is remembered of it.
#[expect(clippy::struct_excessive_bools, reason = "each is known or not")]
#[derive(Debug)]
pub(super) struct Service {
    id: usize,
    weight: f64,
    state: State,
    /// Begins with the first tick after the start, or after the link came up.
    pub(super) detector: Option<Detector>,
    /// What was counted by the last tick.
    counts: Counts,
    pub(super) suspicion: Suspicion,
    pub(super) assessment: Assessment,
    /// Why it can't be probed, if it can't.
    pub(super) watch_only: Option<WatchOnly>,
    /// A local probe was answered when enough answers had been seen. Of a service that is only watched: they were seen.
    armed: bool,
    /// A whole burst was answered since the link is up, or to bring it up, and clients did not contradict one that failed:
    /// its probes mean something.
    probes_known: bool,
    /// A burst or a client was answered since then.
    lived: bool,
    next_health_probe: MonotonicTime,
    /// Counts how often it was watched from zero.
    generation: u32,
    /// A burst is under way, for a suspicion or for health.
    asked: Asked,
    alerts: Alerts,
    overloaded_since: Option<MonotonicTime>,
    /// The last burst of this suspicion that was told of, as answered and refused.
    told: Option<(bool, bool)>,
    closest_approach: f64,
    /// What its death rests on, while it is dead.
    dead: Option<Dead>,
    /// The last look at its sockets: when, and whether there was one.
    sockets_at: MonotonicTime,
    has_socket: bool,
    /// When its latency was made known last.
    latency_at: MonotonicTime,
    /// Must answer before its link comes back.
    must_answer: bool,
    /// What the burst of the present round brought.
    returned: Option<bool>,
}

/// When what was asked that is not answered yet.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    suspicion: Option<MonotonicTime>,
    health: Option<MonotonicTime>,
}

/// A burst that did not come back for this long is lost.
const BURST_LOST_AFTER: Duration = Duration::from_secs(2);

impl Asked {
    fn of(&mut self, purpose: Purpose) -> &mut Option<MonotonicTime> {
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
    pub(super) fn new(id: usize, setup: ServiceSetup, settings: &Settings, now: MonotonicTime, state: State) -> Self {
        let ServiceSetup { watch_only, weight } = setup;
        let suspicion = if settings.bypassed || watch_only.is_some() {
            Suspicion::without_probes
        } else {
            Suspicion::new
        };
        Self {
            id,
            weight,
            state,
            detector: None,
            counts: Counts::default(),
            suspicion: suspicion(settings.suspicion, now),
            assessment: Assessment::default(),
            watch_only,
            armed: false,
            probes_known: false,
            lived: false,
            next_health_probe: now,
            generation: 0,
            asked: Asked::default(),
            alerts: Alerts::default(),
            overloaded_since: None,
            told: None,
            closest_approach: 0.0,
            dead: None,
            sockets_at: MonotonicTime(0),
            has_socket: false,
            latency_at: now,
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

    pub(super) fn dead(&self) -> Option<Dead> {
        self.dead
    }

    /// Its weight among those that decide about their link, and whether it is dead. One that was never seen alive does not
    /// keep the link up.
    pub(super) fn vote(&self) -> Option<(f64, bool)> {
        let votes = self.watch_only.is_none() && (self.lived || self.dead.is_some());
        votes.then_some((self.weight, self.dead.is_some()))
    }

    pub(super) fn view(&self) -> View {
        View {
            state: self.state,
            evidence: self.assessment.evidence(),
            threshold: self.assessment.threshold,
            closest_approach: self.closest_approach,
            floor: self.suspicion.floor(),
            limit: self
                .detector
                .as_ref()
                .map_or(Duration::ZERO, |detector| detector.in_use().limit),
            alerts: self.alerts.raised(),
            wants_second_proof: self.suspicion.wants_second_proof(),
        }
    }

    /// Takes what was counted while the link is up.
    pub(super) fn tick(
        &mut self,
        link: usize,
        settings: &Settings,
        now: MonotonicTime,
        counts: Counts,
        effects: &mut impl Effects,
    ) {
        if self.detector.is_some() && !counts.follows(&self.counts) {
            self.restart(settings, now, Reason::CountersReset, effects);
        }
        self.counts = counts;
        let sample = Sample { at: now, counts };
        let detector = self
            .detector
            .get_or_insert_with(|| Detector::new(settings.detect, sample));
        let before = self.assessment;
        self.assessment = Assessment {
            has_socket: self.has_socket && now.since(self.sockets_at) <= SOCKET_LOOK_LASTS,
            ..detector.tick(sample, self.suspicion.learning())
        };
        if self.assessment.ready && !before.ready {
            // Whatever was asked before: now the answer arms.
            self.next_health_probe = now;
        }
        self.lived |= self.assessment.answers > before.answers && before.answers > 0;
        let was_dead = self.dead.is_some();
        self.dead = if settings.bypassed || self.watch_only.is_some() {
            self.watch(link, now, effects);
            None
        } else if self.armed {
            self.judge(link, settings, now, effects)
        } else {
            self.wait_for_arming(link, now, effects)
        };
        if let Some(dead) = &mut self.dead {
            dead.is_new = !was_dead;
        }
        if self.armed {
            let evidence = self.assessment.evidence() + self.burst_nats();
            self.closest_approach = self.closest_approach.max(evidence / self.assessment.threshold);
        }
        self.find(link, now, effects);
    }

    /// What failed bursts have added to the evidence.
    pub(super) fn burst_nats(&self) -> Nats {
        BURST_NATS * f64::from(self.suspicion.failed_bursts())
    }

    /// Takes how long its answers took in the last while.
    pub(super) fn latency(&mut self, profile: &LatencyProfile) {
        self.latency_at = self.assessment.last_answer.after(self.assessment.silence);
        if let Some(detector) = &mut self.detector {
            detector.latency(profile);
        }
    }

    /// Takes a look at its sockets.
    pub(super) fn sockets(&mut self, link: usize, now: MonotonicTime, seen: &SocketsSeen, effects: &mut impl Effects) {
        let SocketsSeen {
            at,
            sockets,
            // A stopped server has them too: only where somebody reads is it overload.
            receive_drops: _,
            full: _,
            draining,
            hung,
        } = *seen;
        if let Some(detector) = &mut self.detector
            && draining > 0
        {
            detector.note_overload(now);
        }
        (self.sockets_at, self.has_socket) = (at, sockets > 0);
        self.set_alert(link, AlertKind::HungWorker, hung > 0, now, effects);
        if self.armed && sockets == 0 {
            self.suspicion.ask(now, &self.assessment, Cause::Hint);
        }
    }

    /// The link went down by our hand. A service that was never armed need not answer for it to come back.
    pub(super) fn withdrawn(&mut self, now: MonotonicTime, any_armed: bool, effects: &mut impl Effects) {
        let lived = self.armed || self.probes_known || self.dead.is_some();
        self.must_answer = self.watch_only.is_none() && (lived || !any_armed);
        self.returned = None;
        self.dead = None;
        self.enter(State::Withdrawn, Reason::LinkDown, now, effects);
    }

    /// Asks for a round of the hold-down.
    pub(super) fn probe_for_return(&mut self, now: MonotonicTime, effects: &mut impl Effects) {
        self.returned = None;
        if self.must_answer {
            self.ask(now, Purpose::Health, PROBES_IN_BURST, effects);
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

    /// Watches from zero. What is under way is not about what comes now. How long the server pauses when it is well, and
    /// how near it came to a withdrawal, stays known.
    pub(super) fn restart(
        &mut self,
        settings: &Settings,
        now: MonotonicTime,
        reason: Reason,
        effects: &mut impl Effects,
    ) {
        self.clear_all_alerts(now, effects);
        self.enter(State::Unarmed, reason, now, effects);
        let setup = ServiceSetup {
            watch_only: self.watch_only,
            weight: self.weight,
        };
        let fresh = Self::new(self.id, setup, settings, now, State::Unarmed);
        *self = Self {
            generation: self.generation.wrapping_add(1),
            suspicion: fresh.suspicion.clone().with_pauses_of(&self.suspicion),
            // It came up because it was answered; and what is counted has nothing to do with what probes say.
            probes_known: match reason {
                Reason::LinkUp => self.must_answer,
                Reason::Bypassed | Reason::BypassEnded | Reason::CountersReset => self.probes_known,
                _ => false,
            },
            closest_approach: self.closest_approach,
            ..fresh
        };
    }

    pub(super) fn forgive(&mut self, unobserved: Duration) {
        self.detector
            .iter_mut()
            .for_each(|detector| detector.forgive(unobserved));
        self.suspicion.forgive(unobserved);
        self.alerts.forgive(unobserved);
        self.overloaded_since = self.overloaded_since.map(|since| since.after(unobserved));
    }

    fn ask(&mut self, now: MonotonicTime, purpose: Purpose, probes: u8, effects: &mut impl Effects) -> bool {
        let ask = Ask {
            service: self.id,
            generation: self.generation,
            purpose,
            probes,
        };
        let asked = self.asked.of(purpose);
        if asked.is_some_and(|at| now.since(at) < BURST_LOST_AFTER) || !effects.probe(ask) {
            return false;
        }
        *asked = Some(now);
        true
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
        Figures {
            evidence: self.assessment.evidence(),
            threshold: self.assessment.threshold,
            silence: self.assessment.silence,
        }
    }
}
