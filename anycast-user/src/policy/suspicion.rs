//! From doubt to verdict, for one service.
//!
//! Suspicion starts when the evidence reaches h₁ and ends below h₁/2. While it lasts, bursts of local probes ask the
//! service itself: one answer clears it (the silence is somewhere else), a burst without any adds [`BURST_NATS`].
//! The service is blackholed when probes have failed for the length of the floor, the last of them towards its end, and
//!
//! ```text
//! e + 8 · bursts ≥ h        or a burst found no socket (a definite sign skips the statistics, not the floor)
//! ```
//!
//! Of a service that can't be probed silence is all there is: it is blackholed when e alone has reached h and the
//! suspicion has lasted for the floor. Nobody acts on that; it is told.

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Nats},
    policy::{Burst, bucket::Bucket},
};

/// Probes of a burst, each from a port of its own.
pub const PROBES_IN_BURST: u8 = 16;

/// What a burst without an answer adds to the evidence. Sixteen probes that fail by chance together would weigh more;
/// they don't fail independently.
const BURST_NATS: Nats = 8.0;
/// Refused probes of a burst that prove that no socket is there.
const REFUSED_PROOF: u8 = 12;
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
/// Bursts after which a service that answers them is asked more slowly.
const BURSTS_UNTIL_SETTLED: usize = 50;
/// The verdict needs a burst that failed at most this long before the end of the floor: what failed at its beginning
/// may have been a pause.
const DECISIVE: Duration = Duration::from_millis(10);
/// Silence on the wire while probes are answered: after this, the way out is called broken.
const EGRESS_BROKEN_AFTER: Duration = Duration::from_secs(2);
/// The least floor from then on: whoever answered probes all the time that nothing was seen to leave may be answering
/// its clients where nobody counts, and a pause of a reload must not be its death.
const EGRESS_BROKEN_FLOOR: Duration = Duration::from_secs(3);
/// Suspicions that may start at once, and per second: h₁ promises about one a second of a service whose answers come
/// without clusters, and one that is burstier must not be probed and told of hundreds of times a second.
const SUSPICIONS: (f64, f64) = (10.0, 1.0);

/// What the policy for a service must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspicionSettings {
    /// For how long probes must fail before a withdrawal.
    pub floor: Duration,
}

/// What is thought of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Clear,
    /// Nothing is wrong with it any more: an answer left while local probes were failing. Either it was a pause, or
    /// probes don't reach it as its clients do, and can't be believed.
    Contradicted,
    /// Answers are missing.
    Suspect,
    /// Answers are missing on the wire, but probes are answered: they are lost on their way out.
    EgressBroken,
    /// It does not answer.
    Blackholed {
        /// Found by a closed socket rather than by statistics.
        no_socket: bool,
    },
}

/// The suspicion against one service.
#[derive(Clone, Debug)]
pub struct Suspicion {
    settings: SuspicionSettings,
    /// Whether probes can be sent.
    probes: bool,
    /// Suspicions that may still start.
    credit: Bucket,
    doubt: Option<Doubt>,
}

/// A suspicion that lasts.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: MonotonicTime,
    next_burst: MonotonicTime,
    /// Bursts since the probes began to fail, or to be answered.
    bursts_sent: usize,
    last_sent: MonotonicTime,
    /// For how long the daemon did not run since then.
    stalled: Duration,
    failing: Option<Failing>,
    probes_answered: bool,
    /// Answers were called lost on their way out.
    egress_broken: bool,
    blackholed: bool,
}

/// Bursts that failed, one after the other.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// Start of the first.
    since: MonotonicTime,
    /// Start of the last.
    last: MonotonicTime,
    bursts: u32,
    no_socket: bool,
}

impl Suspicion {
    /// No suspicion yet.
    #[must_use]
    pub fn new(settings: SuspicionSettings, now: MonotonicTime) -> Self {
        let (most, per_second) = SUSPICIONS;
        Self {
            settings,
            probes: true,
            credit: Bucket::new(most, per_second, now),
            doubt: None,
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

    /// Whether the baselines must not learn from what is seen now.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.doubt.is_some()
    }

    /// Takes an assessment of a service that is armed.
    pub fn tick(&mut self, now: MonotonicTime, assessment: &Assessment) -> Verdict {
        let suspicious = match self.doubt {
            Some(_) => assessment.evidence >= assessment.suspicion_threshold / 2.0,
            None => assessment.evidence >= assessment.suspicion_threshold && self.credit.take(now),
        };
        if !suspicious {
            let doubt = self.doubt.take();
            let contradicted = doubt.is_some_and(|doubt| doubt.failing.is_some());
            return if contradicted {
                Verdict::Contradicted
            } else {
                Verdict::Clear
            };
        }
        let doubt = self.doubt.get_or_insert(Doubt {
            since: now,
            next_burst: now,
            bursts_sent: 0,
            last_sent: now,
            stalled: Duration::ZERO,
            failing: None,
            probes_answered: false,
            egress_broken: false,
            blackholed: false,
        });
        let floor = doubt.floor(self.settings.floor);
        let proof = doubt.failing.filter(|failing| {
            let evidence = assessment.evidence + BURST_NATS * f64::from(failing.bursts);
            (evidence >= assessment.threshold || failing.no_socket)
                && now.since(failing.since) >= floor
                && failing.last >= failing.decisive(floor)
        });
        let silent = !self.probes && assessment.evidence >= assessment.threshold && now.since(doubt.since) >= floor;
        doubt.blackholed = proof.is_some() || silent;
        if silent {
            Verdict::Blackholed { no_socket: false }
        } else if let Some(Failing { no_socket, .. }) = proof {
            Verdict::Blackholed { no_socket }
        } else if doubt.probes_answered
            && assessment.silence >= EGRESS_BROKEN_AFTER
            && assessment.evidence >= assessment.threshold
        {
            doubt.egress_broken = true;
            Verdict::EgressBroken
        } else {
            Verdict::Suspect
        }
    }

    /// Whether a burst is due; the caller then sends one and says so by [`burst_sent`](Self::burst_sent).
    #[must_use]
    pub fn wants_burst(&self, now: MonotonicTime) -> bool {
        self.doubt.filter(|_| self.probes).is_some_and(|doubt| {
            let floor = doubt.floor(self.settings.floor);
            let decisive = doubt.failing.map(|failing| failing.decisive(floor));
            now >= doubt.next_burst || decisive.is_some_and(|due| now >= due && doubt.last_sent < due)
        })
    }

    /// A burst was sent.
    pub fn burst_sent(&mut self, now: MonotonicTime) {
        let Some(doubt) = &mut self.doubt else { return };
        let settled = doubt.blackholed || doubt.probes_answered && doubt.bursts_sent >= BURSTS_UNTIL_SETTLED;
        let interval = if settled {
            BURST_INTERVAL_SETTLED
        } else {
            BURST_INTERVALS
                .get(doubt.bursts_sent)
                .copied()
                .unwrap_or(BURST_INTERVAL)
        };
        doubt.bursts_sent = doubt.bursts_sent.saturating_add(1);
        doubt.last_sent = now;
        doubt.stalled = Duration::ZERO;
        doubt.next_burst = now.after(interval);
    }

    /// Takes the result of a burst; also a late one, when an answer came after the window had closed.
    pub fn burst(&mut self, burst: &Burst) {
        let Some(doubt) = &mut self.doubt else { return };
        if burst.answered > 0 {
            doubt.failing = None;
            doubt.probes_answered = true;
        } else if burst.is_failed()
            && burst.started_at >= doubt.since
            // A server that was stalled with the whole machine for most of the time had none to answer in.
            && doubt.stalled * 2 <= burst.finished_at.since(burst.started_at)
        {
            if doubt.probes_answered {
                // It answered so far: ask again quickly.
                doubt.probes_answered = false;
                doubt.bursts_sent = 0;
                doubt.next_burst = burst.finished_at;
            }
            let first = Failing {
                since: burst.started_at,
                last: burst.started_at,
                bursts: 0,
                no_socket: false,
            };
            let failing = doubt.failing.get_or_insert(first);
            failing.bursts = failing.bursts.saturating_add(1);
            failing.last = failing.last.max(burst.started_at);
            failing.no_socket = burst.refused >= REFUSED_PROOF;
        }
    }

    /// The daemon did not run for `unobserved`: probes have not failed for longer, nor has silence lasted.
    pub fn forgive(&mut self, unobserved: Duration) {
        if let Some(doubt) = &mut self.doubt {
            doubt.stalled += unobserved;
            if let Some(failing) = &mut doubt.failing {
                failing.since = failing.since.after(unobserved);
            }
            if !self.probes {
                doubt.since = doubt.since.after(unobserved);
            }
        }
    }
}

impl Doubt {
    /// For how long probes have to fail, when the settings say `floor`.
    fn floor(&self, floor: Duration) -> Duration {
        if self.egress_broken {
            floor.max(EGRESS_BROKEN_FLOOR)
        } else {
            floor
        }
    }
}

impl Failing {
    /// A burst that starts from here on is late enough to decide.
    fn decisive(&self, floor: Duration) -> MonotonicTime {
        self.since.after(floor.saturating_sub(DECISIVE))
    }
}

#[cfg(test)]
mod tests;
