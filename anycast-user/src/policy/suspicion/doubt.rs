//! A suspicion while it lasts: what was asked, and what came back.

use std::time::Duration;

use super::{Cause, PROBES_IN_BURST, PROBES_IN_PROOF};
use crate::{clock::MonotonicTime, detect::Assessment, policy::Burst};

/// Wait from the start of a burst to the next: the first three quickly, then slower, because of rate limits and because
/// bursts close together fail together.
const BURST_INTERVALS: [Duration; 3] = [
    Duration::from_millis(5),
    Duration::from_millis(5),
    Duration::from_millis(50),
];
/// The wait after those.
const BURST_INTERVAL: Duration = Duration::from_millis(100);
/// The wait when the answer is known: the service is dead and was not withdrawn, or it has answered often.
const BURST_INTERVAL_SETTLED: Duration = Duration::from_secs(1);
/// The wait after one of the large bursts that prove that no worker lives.
const PROOF_INTERVAL: Duration = Duration::from_millis(50);
/// The wait where probes are all there is to judge by.
const PROBES_ALONE_INTERVAL: Duration = Duration::from_millis(500);
/// Bursts after which a service that answers them is asked more slowly.
const BURSTS_UNTIL_SETTLED: usize = 50;
/// How long evidence has to stay low while probes fail for clients to be taken for served, two blocks within these: a
/// server that stopped may still answer what it had read.
const CALM: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));
/// A suspicion that follows another this closely is about the same loss. A service that dies this soon after a chance
/// suspicion, of which there may be one a second where queries wait anyhow, is found ten seconds later for it.
const CHAIN: Duration = Duration::from_millis(300);
/// A suspicion that rests on a hint is over when it has not been confirmed by then.
const HINT_LASTS: Duration = Duration::from_secs(1);

/// A suspicion that lasts.
#[expect(clippy::struct_excessive_bools, reason = "each is known or not")]
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    pub(super) since: MonotonicTime,
    pub(super) cause: Cause,
    /// Answers that had left when it began, and that have left by now.
    pub(super) answers: (u64, u64),
    /// When answers began to be missing, and how many had left: earlier, when this goes on where another one ended.
    pub(super) origin: (MonotonicTime, u64),
    /// More came than usual at some time while it lasted.
    pub(super) overload: bool,
    pub(super) failing: Option<Failing>,
    /// A probe was answered, if one was: when the last such burst began.
    pub(super) alive: Option<MonotonicTime>,
    pub(super) blackholed: bool,
    next_burst: MonotonicTime,
    /// Bursts since the probes began to fail, or to be answered.
    bursts_sent: usize,
    last_sent: MonotonicTime,
    /// Of the last burst of which any probe was answered, others were not.
    pub(super) partial: bool,
    /// A burst is out.
    awaits: bool,
    /// Large bursts are due: answers trickle while probes fail, or the evidence would do.
    pub(super) trickles: bool,
    /// For how long the daemon did not run since the last burst.
    stalled: Duration,
    /// The longest silence of it.
    silence: Duration,
    /// How long the server stood still, when it did and went on: neither clients nor probes were answered.
    pub(super) paused: Option<Duration>,
    /// Since when the evidence is low.
    calm_since: Option<MonotonicTime>,
}

/// Bursts that failed, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    /// Start of the first.
    pub(super) since: MonotonicTime,
    /// Start of the last.
    pub(super) last: MonotonicTime,
    pub(super) bursts: u32,
    /// Of them those of [`PROBES_IN_PROOF`], and when the last of those began.
    pub(super) large: u32,
    last_large: MonotonicTime,
    /// The last one was refused.
    pub(super) no_socket: bool,
}

/// That a server lived in a suspicion against it.
///
/// Between the answers to its clients, of which many are missing, a rate limit may meet its probes, which looks like death.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cleared {
    /// When the suspicion ended.
    ended: MonotonicTime,
    /// When the last burst began that was answered.
    alive: MonotonicTime,
    /// When answers had begun to be missing, and how many had left.
    origin: (MonotonicTime, u64),
}

impl Cleared {
    /// Whether it is about the loss that is seen now: it ended just now, or answers have been missing ever since.
    pub(super) fn is_of_now(&self, now: MonotonicTime, assessment: &Assessment) -> bool {
        self.is_recent(now) || assessment.loss_before_silence >= assessment.suspicion_threshold / 2.0
    }

    fn is_recent(&self, now: MonotonicTime) -> bool {
        now.since(self.ended) <= CHAIN
    }

    /// What a suspicion that began after this one, and ends now, leaves behind.
    pub(super) fn followed_by(before: Option<Self>, doubt: &Doubt, now: MonotonicTime) -> Option<Self> {
        let alive = doubt.alive?;
        let before = before.filter(|before| before.is_recent(doubt.since));
        Some(Self {
            ended: now,
            alive,
            origin: before.map_or(doubt.origin, |before| before.origin),
        })
    }
}

impl Doubt {
    pub(super) fn new(cause: Cause, now: MonotonicTime, assessment: &Assessment, cleared: Option<Cleared>) -> Self {
        Self {
            since: now,
            cause,
            answers: (assessment.answers, assessment.answers),
            origin: cleared.map_or((now, assessment.answers), |cleared| cleared.origin),
            overload: assessment.overload,
            failing: None,
            alive: cleared.map(|cleared| cleared.alive),
            blackholed: false,
            next_burst: now,
            bursts_sent: 0,
            last_sent: now,
            partial: false,
            awaits: false,
            trickles: false,
            stalled: Duration::ZERO,
            silence: assessment.silence,
            paused: None,
            calm_since: None,
        }
    }

    /// Takes in what a tick has found.
    pub(super) fn look(&mut self, now: MonotonicTime, assessment: &Assessment) {
        let before = std::mem::replace(&mut self.answers.1, assessment.answers);
        // What comes later is asked again: clients notice.
        self.overload |= assessment.overload && self.failing.is_none();
        if assessment.answers > before {
            self.note_pause();
        }
        self.silence = self.silence.max(assessment.silence);
        self.calm_since = if assessment.evidence() < assessment.suspicion_threshold / 2.0 {
            self.calm_since.or(Some(now))
        } else {
            None
        };
        let trickles = self.is_answered() && (self.failing.is_some() || assessment.evidence() >= assessment.threshold);
        if trickles && !self.trickles {
            self.next_burst = self.next_burst.min(now);
        }
        self.trickles = trickles;
    }

    /// What was silent goes on: it paused, if neither probes were answered meanwhile, nor too much came.
    fn note_pause(&mut self) {
        let stood_still = self.failing.is_some() && self.alive.is_none();
        if stood_still && !self.overload && self.cause == Cause::Evidence {
            self.paused = self.paused.max(Some(self.silence));
        }
    }

    /// Answers have left since it began.
    pub(super) fn is_answered(&self) -> bool {
        let (before, now) = self.answers;
        now > before
    }

    /// Answers have left, or some probes of a burst were answered and others were not, now or not long ago.
    pub(super) fn may_have_a_worker_left(&self) -> bool {
        self.is_answered() || self.partial
    }

    /// The server answers probes, and clients too, if fewer than usual.
    pub(super) fn is_alive_and_answering(&self) -> bool {
        self.is_alive() && self.is_answered()
    }

    /// The server answers probes, and no answer to a client was seen.
    pub(super) fn is_alive_and_silent(&self) -> bool {
        self.is_alive() && !self.is_answered()
    }

    fn is_alive(&self) -> bool {
        self.alive.is_some() && self.failing.is_none()
    }

    /// There is no reason for it any more. While bursts fail, low evidence is none yet: an answer that slips out of a
    /// dying server takes the evidence of silence away, and the residual channel needs its blocks.
    pub(super) fn is_resolved(&self, now: MonotonicTime, assessment: &Assessment) -> bool {
        let Some(calm_since) = self.calm_since else {
            return false;
        };
        let calm = now.since(calm_since);
        match self.cause {
            _ if self.is_alive() => true,
            // Nor before the first burst is back.
            Cause::Evidence if self.failing.is_some() || self.awaits => {
                calm >= (assessment.block * 2).clamp(CALM.0, CALM.1)
            }
            Cause::Evidence => true,
            // Not before it was asked.
            _ if self.is_answered() => now.since(self.since) >= CALM.0,
            Cause::Hint => self.failing.is_none() && now.since(self.since) >= HINT_LASTS,
            Cause::Probes | Cause::ProbesUnarmed => false,
        }
    }

    pub(super) fn failed_bursts(&self) -> u32 {
        self.failing.map_or(0, |failing| failing.bursts)
    }

    pub(super) fn wants_burst(&self, now: MonotonicTime, floor: Duration) -> Option<u8> {
        let floor = self.floor(floor);
        let decisive = self.failing.map(|failing| failing.decisive(floor));
        let due = now >= self.next_burst || decisive.is_some_and(|due| now >= due && self.last_sent < due);
        let probes = if self.trickles {
            PROBES_IN_PROOF
        } else {
            PROBES_IN_BURST
        };
        due.then_some(probes)
    }

    pub(super) fn burst_sent(&mut self, now: MonotonicTime) {
        let settled = self.blackholed || self.alive.is_some() && self.bursts_sent >= BURSTS_UNTIL_SETTLED;
        let interval = match self.cause {
            _ if settled => BURST_INTERVAL_SETTLED,
            Cause::Probes | Cause::ProbesUnarmed => PROBES_ALONE_INTERVAL,
            _ if self.trickles => PROOF_INTERVAL,
            Cause::Evidence | Cause::Hint => BURST_INTERVALS.get(self.bursts_sent).copied().unwrap_or(BURST_INTERVAL),
        };
        self.bursts_sent = self.bursts_sent.saturating_add(1);
        self.awaits = true;
        self.last_sent = now;
        self.stalled = Duration::ZERO;
        self.next_burst = now.after(interval);
    }

    pub(super) fn burst(&mut self, burst: &Burst, veto: bool) {
        let began = burst.started_at;
        self.awaits &= began < self.last_sent;
        if burst.answered > 0 {
            self.partial = !burst.is_good();
        }
        if burst.answered > 0 && veto {
            self.note_pause();
            self.failing = None;
            self.alive = self.alive.max(Some(began));
        } else if (burst.is_failed() || !veto && burst.is_whole())
            && began >= self.since
            // A server that was stalled with the whole machine for most of the time had none to answer in.
            && self.stalled * 2 <= burst.finished_at.since(began)
        {
            if self.is_alive() {
                // It answered so far: ask again quickly.
                self.bursts_sent = 0;
                self.next_burst = burst.finished_at;
            }
            let first = Failing {
                since: began,
                last: began,
                bursts: 0,
                large: 0,
                last_large: MonotonicTime(0),
                no_socket: false,
            };
            let failing = self.failing.get_or_insert(first);
            failing.bursts = failing.bursts.saturating_add(1);
            failing.last = failing.last.max(began);
            failing.no_socket = burst.is_refused();
            if burst.asked >= PROBES_IN_PROOF && began.since(failing.last_large) >= PROOF_INTERVAL {
                failing.large = failing.large.saturating_add(1);
                failing.last_large = began;
            }
        }
    }

    pub(super) fn forgive(&mut self, unobserved: Duration, probes: bool) {
        self.stalled += unobserved;
        if let Some(failing) = &mut self.failing {
            failing.since = failing.since.after(unobserved);
        }
        if !probes {
            self.since = self.since.after(unobserved);
        }
    }
}
