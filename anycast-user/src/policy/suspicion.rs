//! From doubt to verdict, for one service.
//!
//! Suspicion starts when the evidence reaches h₁ and ends below h₁/2. While it lasts, bursts of local probes ask the
//! service itself: one answer clears it (the silence is somewhere else), a burst without any adds [`BURST_NATS`].
//! The service is blackholed when the suspicion is older than the floor, at least one burst failed, and
//!
//! ```text
//! e + 8 · bursts ≥ h        or a burst found no socket (a definite sign skips the statistics, not the floor)
//! ```

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Nats},
    policy::Burst,
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
const BURST_INTERVALS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(5),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(100),
];
/// The same for a service that is known to be dead and was not withdrawn.
const BURST_INTERVAL_BLACKHOLED: Duration = Duration::from_secs(1);
/// Silence on the wire while probes are answered: after this, the way out is called broken.
const EGRESS_BROKEN_AFTER: Duration = Duration::from_secs(2);

/// What the policy for a service must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspicionSettings {
    /// Least age of a suspicion before it may withdraw.
    pub floor: Duration,
}

/// What is thought of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Clear,
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
    doubt: Option<Doubt>,
}

/// A suspicion that lasts.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Since when nothing spoke for the service: its start, or the last answered probe.
    since: MonotonicTime,
    bursts_sent: usize,
    next_burst: MonotonicTime,
    bursts_failed: u32,
    no_socket: bool,
    probes_answered: bool,
    blackholed: bool,
}

impl Suspicion {
    /// No suspicion yet.
    #[must_use]
    pub fn new(settings: SuspicionSettings) -> Self {
        Self { settings, doubt: None }
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
            // Without a baseline both are zero, and zero is no evidence.
            None => assessment.evidence > 0.0 && assessment.evidence >= assessment.suspicion_threshold,
        };
        if !suspicious {
            self.doubt = None;
            return Verdict::Clear;
        }
        let floor = self.settings.floor;
        let doubt = self.doubt.get_or_insert(Doubt {
            since: now,
            bursts_sent: 0,
            next_burst: now,
            bursts_failed: 0,
            no_socket: false,
            probes_answered: false,
            blackholed: false,
        });
        let evidence = assessment.evidence + BURST_NATS * f64::from(doubt.bursts_failed);
        let proven = evidence >= assessment.threshold || doubt.no_socket;
        doubt.blackholed = doubt.bursts_failed >= 1 && proven && now.since(doubt.since) >= floor;
        if doubt.blackholed {
            Verdict::Blackholed {
                no_socket: doubt.no_socket,
            }
        } else if doubt.probes_answered
            && assessment.silence >= EGRESS_BROKEN_AFTER
            && assessment.evidence >= assessment.threshold
        {
            Verdict::EgressBroken
        } else {
            Verdict::Suspect
        }
    }

    /// Whether a burst is due; the caller then sends one and says so by [`burst_sent`](Self::burst_sent).
    #[must_use]
    pub fn wants_burst(&self, now: MonotonicTime) -> bool {
        self.doubt.is_some_and(|doubt| now >= doubt.next_burst)
    }

    /// A burst was sent.
    pub fn burst_sent(&mut self, now: MonotonicTime) {
        if let Some(doubt) = &mut self.doubt {
            let interval = if doubt.blackholed {
                BURST_INTERVAL_BLACKHOLED
            } else {
                let last = BURST_INTERVALS.len() - 1;
                BURST_INTERVALS
                    .get(doubt.bursts_sent.min(last))
                    .copied()
                    .unwrap_or(BURST_INTERVAL_BLACKHOLED)
            };
            doubt.bursts_sent = doubt.bursts_sent.saturating_add(1);
            doubt.next_burst = now.after(interval);
        }
    }

    /// Takes the result of a burst.
    pub fn burst(&mut self, burst: &Burst) {
        let Some(doubt) = &mut self.doubt else { return };
        if burst.answered > 0 {
            doubt.since = burst.finished_at;
            doubt.bursts_failed = 0;
            doubt.no_socket = false;
            doubt.probes_answered = true;
        } else if burst.is_failed() && burst.started_at >= doubt.since {
            doubt.bursts_failed = doubt.bursts_failed.saturating_add(1);
            doubt.no_socket = burst.refused >= REFUSED_PROOF;
            doubt.probes_answered = false;
        }
    }

    /// The daemon did not run for `unobserved`: the suspicion is not older for it.
    pub fn forgive(&mut self, unobserved: Duration) {
        if let Some(doubt) = &mut self.doubt {
            doubt.since = doubt.since.after(unobserved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(30);
    const HEALTHY: Assessment = Assessment {
        ready: true,
        evidence: 0.0,
        threshold: 28.0,
        suspicion_threshold: 9.0,
        silence: Duration::ZERO,
        idle: false,
    };

    fn evidence(nats: Nats) -> Assessment {
        Assessment {
            evidence: nats,
            silence: Duration::from_millis(10),
            ..HEALTHY
        }
    }

    fn at(milliseconds: u64) -> MonotonicTime {
        MonotonicTime(milliseconds * 1_000_000)
    }

    fn burst(started: u64, answered: u8, refused: u8) -> Burst {
        Burst {
            started_at: at(started),
            finished_at: at(started + 5),
            sent: PROBES_IN_BURST,
            answered,
            refused,
        }
    }

    fn suspicion(floor: Duration) -> Suspicion {
        Suspicion::new(SuspicionSettings { floor })
    }

    #[test]
    fn suspicion_starts_at_its_threshold_and_ends_below_half_of_it() {
        let mut suspicion = suspicion(FLOOR);
        assert_eq!(suspicion.tick(at(0), &evidence(8.9)), Verdict::Clear);
        assert_eq!(suspicion.tick(at(1), &evidence(9.0)), Verdict::Suspect);
        assert_eq!(suspicion.tick(at(2), &evidence(4.6)), Verdict::Suspect);
        assert_eq!(suspicion.tick(at(3), &evidence(4.4)), Verdict::Clear);
    }

    #[test]
    fn no_baseline_is_no_evidence() {
        let unknown = Assessment {
            threshold: 0.0,
            suspicion_threshold: 0.0,
            ..HEALTHY
        };
        assert_eq!(suspicion(FLOOR).tick(at(0), &unknown), Verdict::Clear);
    }

    #[test]
    fn evidence_without_a_failed_burst_is_never_enough() {
        let mut suspicion = suspicion(Duration::ZERO);
        for time in 0..10_000 {
            assert_eq!(suspicion.tick(at(time), &evidence(1e9)), Verdict::Suspect);
        }
    }

    #[test]
    fn a_failed_burst_counts_eight_nats() {
        let mut suspicion = suspicion(Duration::ZERO);
        suspicion.tick(at(0), &evidence(19.9));
        suspicion.burst(&burst(0, 0, 0));
        assert_eq!(suspicion.tick(at(5), &evidence(19.9)), Verdict::Suspect);
        assert_eq!(
            suspicion.tick(at(6), &evidence(20.0)),
            Verdict::Blackholed { no_socket: false }
        );
    }

    #[test]
    fn a_closed_socket_skips_the_statistics_and_not_the_floor() {
        let mut suspicion = suspicion(FLOOR);
        suspicion.tick(at(0), &evidence(9.0));
        suspicion.burst(&burst(0, 0, 12));
        assert_eq!(suspicion.tick(at(29), &evidence(9.0)), Verdict::Suspect);
        assert_eq!(
            suspicion.tick(at(30), &evidence(9.0)),
            Verdict::Blackholed { no_socket: true }
        );
    }

    #[test]
    fn eleven_refusals_are_no_proof() {
        let mut suspicion = suspicion(Duration::ZERO);
        suspicion.tick(at(0), &evidence(9.0));
        suspicion.burst(&burst(0, 0, 11));
        assert_eq!(suspicion.tick(at(30), &evidence(9.0)), Verdict::Suspect);
    }

    #[test]
    fn one_answered_probe_starts_the_floor_and_the_bursts_anew() {
        let mut suspicion = suspicion(FLOOR);
        suspicion.tick(at(0), &evidence(100.0));
        suspicion.burst(&burst(0, 0, 16));
        suspicion.burst(&burst(10, 1, 0));
        assert_eq!(
            suspicion.tick(at(40), &evidence(100.0)),
            Verdict::Suspect,
            "the failed burst is forgotten"
        );
        suspicion.burst(&burst(40, 0, 0));
        assert_eq!(
            suspicion.tick(at(44), &evidence(100.0)),
            Verdict::Suspect,
            "29 ms after the answer"
        );
        assert_eq!(
            suspicion.tick(at(45), &evidence(100.0)),
            Verdict::Blackholed { no_socket: false }
        );
    }

    #[test]
    fn a_burst_from_before_the_suspicion_or_not_wholly_sent_proves_nothing() {
        let mut suspicion = suspicion(Duration::ZERO);
        suspicion.tick(at(10), &evidence(100.0));
        suspicion.burst(&burst(9, 0, 16));
        suspicion.burst(&Burst {
            sent: 15,
            ..burst(11, 0, 0)
        });
        assert_eq!(suspicion.tick(at(20), &evidence(100.0)), Verdict::Suspect);
    }

    #[test]
    fn probes_answered_while_nothing_leaves_call_the_egress_broken() {
        let mut suspicion = suspicion(FLOOR);
        suspicion.tick(at(0), &evidence(100.0));
        suspicion.burst(&burst(0, 16, 0));
        let silent = |milliseconds| Assessment {
            silence: Duration::from_millis(milliseconds),
            ..evidence(100.0)
        };
        assert_eq!(suspicion.tick(at(1999), &silent(1999)), Verdict::Suspect);
        assert_eq!(suspicion.tick(at(2000), &silent(2000)), Verdict::EgressBroken);
    }

    #[test]
    fn bursts_come_quickly_and_then_slower() {
        let mut suspicion = suspicion(Duration::from_secs(10));
        let mut sent = Vec::new();
        for time in 0..400 {
            suspicion.tick(at(time), &evidence(100.0));
            if suspicion.wants_burst(at(time)) {
                suspicion.burst_sent(at(time));
                sent.push(time);
            }
        }
        assert_eq!(sent, [0, 5, 10, 60, 160, 260, 360]);
    }

    #[test]
    fn time_that_was_not_observed_does_not_age_a_suspicion() {
        let mut suspicion = suspicion(FLOOR);
        suspicion.tick(at(0), &evidence(100.0));
        suspicion.burst(&burst(0, 0, 0));
        suspicion.forgive(Duration::from_millis(500));
        assert_eq!(suspicion.tick(at(529), &evidence(100.0)), Verdict::Suspect);
        assert_eq!(
            suspicion.tick(at(530), &evidence(100.0)),
            Verdict::Blackholed { no_socket: false }
        );
    }
}
