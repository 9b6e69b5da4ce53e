//! When a suspicion has become proof.

use std::time::Duration;

use super::{BURST_NATS, Cause, doubt::Doubt, doubt::Failing};
use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Nats},
};

/// The proof needs a burst that failed at most this long before the end of the floor: what failed at its beginning may
/// have been a pause.
const DECISIVE: Duration = Duration::from_millis(10);
/// Large bursts that prove that no worker lives.
const LARGE_BURSTS: u32 = 2;
/// Failed bursts that are proof where nobody asks, and over what time at least.
const PROBES_ALONE_BURSTS: u32 = 3;
const PROBES_ALONE: Duration = Duration::from_secs(1);
/// The same where somebody asked within this time, and was answered.
const PROBES_ALONE_ASKED: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(20);
/// Queries that have to wait meanwhile where anybody asks: one may be of those that are never answered.
const PROBES_ALONE_WAITING: u64 = 3;
/// The same of a service that is not armed.
const PROBES_ALONE_UNARMED: Duration = Duration::from_secs(3);
/// The least floor once probes were answered in a suspicion: the server lived while its clients met silence, so what made
/// that was not its death, and probes that fail from now on may have met a rate limit.
const LAPSE: Duration = Duration::from_secs(10);

/// What a verdict of death rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Silence and failed probes.
    Silence,
    /// Next to nothing is answered, and not one of many probes.
    Trickle,
    /// Silence under overload, and failed probes.
    Overload,
    /// The server answered probes at first, and has not for long.
    Lapse,
    /// Nobody listens on the port.
    NoSocket,
    /// Failed probes, while nobody asks.
    Probes,
    /// Silence alone, of a service that can't be probed.
    SilenceAlone,
}

impl Doubt {
    /// For how long probes have to fail, when the settings say `floor`.
    pub(super) fn floor(&self, floor: Duration) -> Duration {
        match self.cause {
            _ if self.alive.is_some() && !self.failing.is_some_and(|failing| failing.no_socket) => floor.max(LAPSE),
            Cause::Probes => floor.max(PROBES_ALONE),
            Cause::ProbesUnarmed => floor.max(PROBES_ALONE_UNARMED),
            Cause::Evidence | Cause::Hint => floor,
        }
    }

    /// What proves by now that the service is dead.
    pub(super) fn proof(
        &self,
        now: MonotonicTime,
        assessment: &Assessment,
        floor: Duration,
        trickle_needs_proof: bool,
    ) -> Option<Proof> {
        let failing = self.failing?;
        let floor = self.floor(floor);
        if now.since(failing.since) < floor || failing.last < failing.decisive(floor) {
            return None;
        }
        // A rule that rejects local packets refuses probes of a living server too: its clients or its sockets tell.
        let asked = assessment.idle || assessment.waiting > 0;
        if failing.no_socket && !assessment.has_socket && asked && assessment.last_answer <= failing.since {
            return Some(Proof::NoSocket);
        }
        let bursts = BURST_NATS * f64::from(failing.bursts);
        let Assessment {
            silence_evidence,
            silence,
            threshold,
            overload_silence,
            ..
        } = *assessment;
        let (proof, proven) = match self.cause {
            // Of a hint too: it began the asking, and is no evidence itself. And where nobody asks any more.
            Cause::Probes | Cause::ProbesUnarmed | Cause::Hint => (Proof::Probes, self.probes_alone(now, assessment)),
            Cause::Evidence if assessment.idle && self.probes_alone(now, assessment) => (Proof::Probes, true),
            Cause::Evidence if self.alive.is_some() => (
                Proof::Lapse,
                silence_evidence >= threshold && self.evidence_since(now, silence) >= threshold,
            ),
            Cause::Evidence if self.overload => (
                Proof::Overload,
                silence_evidence >= threshold && silence >= overload_silence,
            ),
            Cause::Evidence if self.may_have_a_worker_left() && trickle_needs_proof => (
                Proof::Trickle,
                assessment.evidence() >= threshold && failing.large >= LARGE_BURSTS,
            ),
            Cause::Evidence => (Proof::Silence, assessment.evidence() + bursts >= threshold),
        };
        proven.then_some(proof)
    }

    /// Whether probes alone are proof: they have failed for long enough, and no client was answered since, if any asked. As
    /// long as somebody asked not long ago there is time: the next one who does tells more than probes do, which something
    /// may keep from a service that lives.
    fn probes_alone(&self, now: MonotonicTime, assessment: &Assessment) -> bool {
        let Some(failing) = self.failing else { return false };
        let (enough, least) = if !assessment.idle {
            (assessment.waiting >= PROBES_ALONE_WAITING, PROBES_ALONE)
        } else if assessment.waiting > 0 || assessment.unasked >= QUIET {
            (true, PROBES_ALONE)
        } else {
            (true, PROBES_ALONE_ASKED)
        };
        enough
            && failing.bursts >= PROBES_ALONE_BURSTS
            && now.since(failing.since) >= least
            && assessment.silence >= least
            && failing.last >= assessment.last_answer
    }

    /// The same where no probe can be sent.
    pub(super) fn silent(&self, now: MonotonicTime, assessment: &Assessment, floor: Duration) -> Option<Proof> {
        let proven = assessment.silence_evidence >= assessment.threshold && now.since(self.since) >= floor;
        proven.then_some(Proof::SilenceAlone)
    }

    /// Evidence of the present silence, by the answers that left since they began to be missing; beyond any threshold when
    /// none did.
    fn evidence_since(&self, now: MonotonicTime, silence: Duration) -> Nats {
        let (since, before) = self.origin;
        let (_, after) = self.answers;
        let answers = after.saturating_sub(before) as f64;
        if answers > 0.0 {
            // Up to the last of them: the silence itself must not make it look usual.
            let answering = now.since(since).saturating_sub(silence).as_secs_f64().max(1e-3);
            answers / answering * silence.as_secs_f64()
        } else {
            f64::INFINITY
        }
    }
}

impl Failing {
    /// A burst that starts from here on is late enough to decide.
    pub(super) fn decisive(&self, floor: Duration) -> MonotonicTime {
        self.since.after(floor.saturating_sub(DECISIVE))
    }
}
