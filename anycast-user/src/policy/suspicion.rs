//! From doubt to verdict, for one service.
//!
//! A suspicion starts when the evidence of either channel reaches h₁ and ends below h₁/2, or it starts because something
//! said that nobody listens, or that probes fail, and ends when a probe is answered. Once bursts have failed it ends when
//! one is answered, or when the evidence has stayed low until next to no answers would have shown. While it lasts, bursts
//! of local probes ask the service itself: one answer clears it (the silence is somewhere else), a burst without any adds
//! [`BURST_NATS`]. The service is blackholed when probes have failed for the length of the floor, the last of them
//! towards its end, and one of the proofs holds:
//!
//! | proof | condition |
//! |---|---|
//! | silence | no answer left since the suspicion began, and e₁ ∨ e₂ + 8 · bursts ≥ h |
//! | trickle | answers left since, or of the last burst that was answered some probes were not (a worker may live): e₁ ∨ e₂ ≥ h, and 128 probes in a row unanswered |
//! | overload | more comes than usual: e₁ ≥ h without bursts, and silence ≥ max(250 ms, h / 0.1 μ) |
//! | lapse | probes were answered in this suspicion (the server lived): silent h / (answers per second since), 10 s of failed probes |
//! | no socket | no answer since, and a burst was refused: skips the statistics, not the floor |
//! | probes | nobody asks, or too few to judge by: three failed bursts over at least 1 s (unarmed: 3 s; while somebody asked and was answered in the last 20 s: 10 s) |
//!
//! Of a service that can't be probed silence is all there is: it is blackholed when e₁ alone has reached h and the
//! suspicion has lasted for the floor. Nobody acts on that; it is told.

mod doubt;
mod proof;

use std::time::Duration;

use self::doubt::{Cleared, Doubt};
pub use self::proof::Proof;
use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Learning, Nats},
    policy::{Burst, Floor, FloorSettings, bucket::Bucket},
};

/// Probes of a burst, each from a port of its own.
pub const PROBES_IN_BURST: u8 = 16;
/// Probes of a burst while answers trickle: two of these in a row are the 128 that prove that no worker lives.
pub const PROBES_IN_PROOF: u8 = 64;

/// What a burst without an answer adds to the evidence. Sixteen probes that fail by chance together would weigh more;
/// they don't fail independently.
pub const BURST_NATS: Nats = 8.0;
/// Silence on the wire while probes are answered: after this, the way out is called broken.
const EGRESS_BROKEN_AFTER: Duration = Duration::from_secs(2);
/// Answers that left the server's sockets and no uplink: the second proof of that.
const EGRESS_BROKEN_ANSWERS: u64 = 32;
/// Suspicions that may start at once, and per second: h₁ promises about one a second of a service whose answers come
/// without clusters, and one that is burstier must not be probed and told of hundreds of times a second.
const SUSPICIONS: (f64, f64) = (10.0, 1.0);

/// What the policy for a service must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspicionSettings {
    /// For how long probes must fail before a withdrawal.
    pub floor: FloorSettings,
    /// Whether a probe that is answered clears the service. A daemon says yes; an experiment may not.
    pub probes_veto: bool,
    /// Whether answers that trickle call for 128 probes, likewise.
    pub trickle_needs_proof: bool,
}

/// What a suspicion rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Answers are missing.
    Evidence,
    /// Something said that nobody listens.
    Hint,
    /// Probes fail, and nobody asks.
    Probes,
    /// Probes fail of a service that is not armed, or not yet.
    ProbesUnarmed,
}

/// What is thought of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Clear,
    /// Its clients are answered, and local probes still fail: they don't reach it as clients do, and can't be believed.
    Contradicted,
    /// Answers are missing, or it has to be asked.
    Suspect(Cause),
    /// Answers are missing on the wire, but probes are answered: they are lost on their way out.
    EgressBroken {
        /// Answers left the server's sockets meanwhile.
        proven: bool,
    },
    /// It does not answer.
    Blackholed(Proof),
}

/// The suspicion against one service.
#[derive(Clone, Debug)]
pub struct Suspicion {
    settings: SuspicionSettings,
    /// Whether probes can be sent.
    probes: bool,
    floor: Floor,
    /// Suspicions that may still start.
    credit: Bucket,
    doubt: Option<Doubt>,
    /// The last one in which probes were answered.
    cleared: Option<Cleared>,
    /// Of the last burst of which any probe was answered, others were not: some of its workers are dead.
    partial: bool,
}

impl Suspicion {
    /// No suspicion yet.
    #[must_use]
    pub fn new(settings: SuspicionSettings, now: MonotonicTime) -> Self {
        let (most, per_second) = SUSPICIONS;
        Self {
            settings,
            probes: true,
            floor: Floor::new(settings.floor),
            credit: Bucket::new(most, per_second, now),
            doubt: None,
            cleared: None,
            partial: false,
        }
    }

    /// The same, of a service that can't be probed.
    #[must_use]
    pub fn without_probes(settings: SuspicionSettings, now: MonotonicTime) -> Self {
        Self {
            probes: false,
            ..Self::new(settings, now)
        }
    }

    /// With what `other` knows of the server's pauses.
    #[must_use]
    pub fn with_pauses_of(self, other: &Self) -> Self {
        Self {
            floor: other.floor.clone(),
            ..self
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.doubt.is_some()
    }

    /// From what the baselines may learn now.
    #[must_use]
    pub fn learning(&self) -> Learning {
        match &self.doubt {
            None => Learning::All,
            Some(doubt) if doubt.is_alive_and_answering() => Learning::Downwards,
            Some(_) => Learning::Nothing,
        }
    }

    /// The floor now.
    #[must_use]
    pub fn floor(&self) -> Duration {
        self.floor.now()
    }

    /// Failed bursts in a row, and what they weigh.
    #[must_use]
    pub fn failed_bursts(&self) -> u32 {
        self.doubt.as_ref().map_or(0, Doubt::failed_bursts)
    }

    /// Since when it lasts.
    #[must_use]
    pub fn since(&self) -> Option<MonotonicTime> {
        self.doubt.as_ref().map(|doubt| doubt.since)
    }

    /// Whether answers that leave the server's sockets should be counted: it lives, and nothing leaves by the uplinks.
    #[must_use]
    pub fn wants_second_proof(&self) -> bool {
        self.doubt.as_ref().is_some_and(Doubt::is_alive_and_silent)
    }

    /// Something besides the counters speaks against the service: it is asked, if it may be.
    pub fn ask(&mut self, now: MonotonicTime, assessment: &Assessment, cause: Cause) {
        if self.doubt.is_none() && self.probes && self.credit.take(now) {
            self.begin(cause, now, assessment);
        }
    }

    /// A suspicion begins; or the last one goes on, in which the server was seen to live.
    fn begin(&mut self, cause: Cause, now: MonotonicTime, assessment: &Assessment) {
        let goes_on = |cleared: &Cleared| cause == Cause::Evidence && cleared.is_of_now(now, assessment);
        let cleared = self.cleared.filter(goes_on);
        let mut doubt = Doubt::new(cause, now, assessment, cleared);
        doubt.partial = self.partial;
        self.doubt = Some(doubt);
    }

    /// Takes an assessment of a service that is armed.
    pub fn tick(&mut self, now: MonotonicTime, assessment: &Assessment) -> Verdict {
        self.floor.tick(now);
        let evidence = assessment.evidence();
        match &mut self.doubt {
            Some(doubt) => {
                doubt.look(now, assessment);
                if doubt.is_resolved(now, assessment) {
                    return self.end(now);
                }
                if evidence >= assessment.suspicion_threshold {
                    doubt.cause = Cause::Evidence;
                }
            }
            None if evidence >= assessment.suspicion_threshold && self.credit.take(now) => {
                self.begin(Cause::Evidence, now, assessment);
            }
            None => return Verdict::Clear,
        }
        let (probes, floor) = (self.probes, self.floor.now());
        let Some(doubt) = &mut self.doubt else {
            return Verdict::Clear;
        };
        let proof = if probes {
            doubt.proof(now, assessment, floor, self.settings.trickle_needs_proof)
        } else {
            doubt.silent(now, assessment, floor)
        };
        doubt.blackholed = proof.is_some();
        if let Some(proof) = proof {
            Verdict::Blackholed(proof)
        } else if doubt.is_alive_and_silent()
            && assessment.silence >= EGRESS_BROKEN_AFTER
            && assessment.silence_evidence >= assessment.threshold
        {
            let proven = assessment
                .local_answers
                .is_some_and(|answers| answers >= EGRESS_BROKEN_ANSWERS);
            Verdict::EgressBroken { proven }
        } else {
            Verdict::Suspect(doubt.cause)
        }
    }

    /// The suspicion is over.
    fn end(&mut self, now: MonotonicTime) -> Verdict {
        match self.doubt.take() {
            Some(doubt) => {
                self.cleared = Cleared::followed_by(self.cleared, &doubt, now);
                if let Some(pause) = doubt.paused {
                    self.floor.paused(now, pause);
                }
                if doubt.failing.is_some() {
                    Verdict::Contradicted
                } else {
                    Verdict::Clear
                }
            }
            None => Verdict::Clear,
        }
    }

    /// How many probes are due in a burst, if one is; the caller then sends one and says so by
    /// [`burst_sent`](Self::burst_sent).
    #[must_use]
    pub fn wants_burst(&self, now: MonotonicTime) -> Option<u8> {
        let doubt = self.doubt.as_ref().filter(|_| self.probes)?;
        doubt.wants_burst(now, self.floor.now())
    }

    /// A burst was sent.
    pub fn burst_sent(&mut self, now: MonotonicTime) {
        if let Some(doubt) = &mut self.doubt {
            doubt.burst_sent(now);
        }
    }

    /// Takes the result of a burst; also a late one, when an answer came after the window had closed.
    pub fn burst(&mut self, burst: &Burst) {
        if burst.answered > 0 {
            self.partial = !burst.is_good();
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.burst(burst, self.settings.probes_veto);
        }
    }

    /// The daemon did not run for `unobserved`: probes have not failed for longer, nor has silence lasted.
    pub fn forgive(&mut self, unobserved: Duration) {
        if let Some(doubt) = &mut self.doubt {
            doubt.forgive(unobserved, self.probes);
        }
    }
}

#[cfg(test)]
mod tests;
