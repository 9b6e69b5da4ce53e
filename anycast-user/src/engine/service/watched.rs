//! A service that is only watched.

use super::Service;
use crate::{
    clock::MonotonicTime,
    detect::Detector,
    engine::Effects,
    event::{AlertKind, Reason},
    policy::{State, Verdict},
};

impl Service {
    /// Judges a service that is only watched, by its silence alone.
    pub(super) fn watch(&mut self, link: usize, now: MonotonicTime, effects: &mut impl Effects) {
        if !self.armed {
            if self.assessment.ready {
                self.armed = true;
                self.enter(State::Healthy, Reason::Known, now, effects);
            }
            return;
        }
        match self.suspicion.tick(now, &self.assessment) {
            Verdict::Clear | Verdict::Contradicted => self.clear(now, effects),
            Verdict::Suspect(_) | Verdict::EgressBroken { .. } => {
                self.enter(State::Suspect, Reason::AnswersMissing, now, effects);
                if self.assessment.idle {
                    // Too few were left unanswered to mean anything, and nobody asks any more.
                    self.detector.iter_mut().for_each(Detector::settle);
                }
            }
            Verdict::Blackholed(_) => {
                self.enter(State::Blackholed, Reason::Silent, now, effects);
                self.set_alert(link, AlertKind::WatchedSilent, true, now, effects);
            }
        }
    }
}
