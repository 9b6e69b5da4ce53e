//! How unlikely is it that this service is well? Pure: counters and time in, evidence out, O(1) a tick, no allocation.
//!
//! Evidence is *answers that should have come and did not*, in nats: −ln of the probability that a healthy service looks
//! like this. Two channels gather it, see [`Detector`]; what should have come is capped by what is usual for the service
//! (`baseline`), so that a flood that nobody could answer is no evidence, and by the queries that wait, so that an end
//! of demand is none.
//!
//! ```text
//! e₁ = min( μ (now − t_a),  ν n_q ) / φ                            silence
//! e₂ = max(0, S − (1 − ρ) μ W) / φ                                 residual: cumulative sum, for a share ρ = 0.1 left
//!      S ← max(0, S + (1 − ρ) E − ln(1/ρ) ΔA),  E = min(p ΔQ, μ W)   in blocks of W = max(50 ms, 20/μ)
//! h  = ln(1 + max(μ, 1/s) A V)                                     proof: one false alarm in A seconds, V services share it
//! h₁ = ln(1 + max(μ, 1/s) / r)                                     doubt: r = 1 burst of local probes a second
//! ```
//!
//! | | | where |
//! |---|---|---|
//! | μ | usual answers per second, on the low side | `baseline` |
//! | p | share of the queries that are answered | `baseline` |
//! | `t_a`, `n_q` | time of the last answer; queries since then that are older than the lag l | [`Detector`] |
//! | l, F | lag, and the share of answers that come within it | `lag` |
//! | ν | min(1, −ln(1 − p F)): what a query that stays unanswered weighs | `lag` |
//! | φ | dispersion: how much more than Poisson's the answers of a healthy service vary | `dispersion` |
//!
//! The answers of a healthy service are close to a Poisson process of rate μ whatever their latency. The mean time
//! between false alarms of a test that fires after a silence of length T is then (e^(μT) − 1)/μ, from which h follows
//! (Ross, *Stochastic Processes*, 2nd ed., example 1.6(A): the time until a run without events). `T₁ = h/μ` is the least
//! delay that answers alone allow for this budget. The cumulative sum is Page's (Biometrika 41, 1954) with the
//! log-likelihood ratio of two Poisson rates; the block that is taken off again is the one that is under way.

mod baseline;
mod detector;
mod dispersion;
mod lag;
mod overload;
mod partial_loss;
mod quality;
mod residual;
mod tail;

use std::time::Duration;

pub use self::{
    detector::{Detector, Parameters},
    lag::LatencyProfile,
};
use crate::clock::MonotonicTime;

/// Evidence, in nats: −ln of a probability.
pub type Nats = f64;

/// What is counted of a service. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries that came.
    pub queries: u64,
    /// Answers that left by an uplink.
    pub answers: u64,
    /// All packets to the service's address and port, what is no query included.
    pub packets: u64,
    /// Signs that nobody listens: ICMP port unreachable, TCP RST.
    pub hints: u64,
    /// Answers that said SERVFAIL.
    pub servfails: u64,
    /// Answers that left the server's sockets; `None` when nobody counts them.
    pub local_answers: Option<u64>,
}

impl Counts {
    /// Whether none of the counters is behind what it was in `before`: they were not set back.
    #[must_use]
    pub fn follows(&self, before: &Self) -> bool {
        let Self {
            queries,
            answers,
            packets,
            hints,
            servfails,
            local_answers: _, // Begins anew each time that somebody counts.
        } = self;
        *queries >= before.queries
            && *answers >= before.answers
            && *packets >= before.packets
            && *hints >= before.hints
            && *servfails >= before.servfails
    }
}

/// What a tick reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When it was read.
    pub at: MonotonicTime,
    /// What had been counted.
    pub counts: Counts,
}

/// What the detector must know before it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// A: the mean time between false alarms of one node.
    pub time_between_false_alarms: Duration,
    /// V: services that share that budget.
    pub services: u32,
    /// Answers to see before silence means something.
    pub arming_answers: u64,
    /// Time to watch before silence means something.
    pub arming_time: Duration,
    /// What it uses.
    pub parts: Parts,
}

/// The parts of the detector. A daemon uses [all](Self::ALL); experiments leave one out to see what it is worth.
#[expect(clippy::struct_excessive_bools, reason = "each is there or not")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// e₁ is evidence.
    pub silence: bool,
    /// e₂ is evidence.
    pub residual: bool,
    /// What should have come is capped by the usual rate.
    pub baseline_cap: bool,
    /// The usual rate is a low expectile rather than a mean.
    pub low_expectile: bool,
    /// Queries younger than the lag are not missed yet.
    pub lag: bool,
    /// Evidence is divided by the dispersion.
    pub dispersion: bool,
    /// Overload is told from death.
    pub overload: bool,
}

impl Parts {
    /// All of them.
    pub const ALL: Self = Self {
        silence: true,
        residual: true,
        baseline_cap: true,
        low_expectile: true,
        lag: true,
        dispersion: true,
        overload: true,
    };
}

/// From what the detector may learn what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// Nothing is wrong.
    All,
    /// Answers are missing although the server lives: fewer may be the new usual, more may not.
    Downwards,
    /// Something is wrong.
    Nothing,
}

/// What is known after a tick.
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Assessment {
    /// Enough was seen of the service for its silence to mean something.
    pub ready: bool,
    /// It would be ready, but its healthy silences reach so far that silence proves nothing.
    pub tail_too_heavy: bool,
    /// e₁: evidence of silence.
    pub silence_evidence: Nats,
    /// e₂: evidence that next to nothing is answered.
    pub residual_evidence: Nats,
    /// What the residual channel holds against the service that the present silence does not account for: answers were
    /// missing before it, between others that came.
    pub loss_before_silence: Nats,
    /// h: evidence at which silence alone is proof.
    pub threshold: Nats,
    /// h₁: evidence from which local probes are sent.
    pub suspicion_threshold: Nats,
    /// Time since the last answer.
    pub silence: Duration,
    /// When that was.
    pub last_answer: MonotonicTime,
    /// Answers so far.
    pub answers: u64,
    /// Queries have stopped: none for a second, nor for the time of twenty answers at the usual rate.
    pub idle: bool,
    /// More comes than the service is used to.
    pub overload: bool,
    /// How long an overloaded service has to be silent before that is evidence.
    pub overload_silence: Duration,
    /// W: within two of these the residual channel has found what it can find.
    pub block: Duration,
    /// Time since the last query.
    pub unasked: Duration,
    /// Queries since the last answer that are older than the lag.
    pub waiting: u64,
    /// A look at the service's sockets, not long ago, showed one.
    pub has_socket: bool,
    /// Something said since the last tick that nobody listens.
    pub hint: bool,
    /// Answers that left the server's sockets since the last one that left by an uplink, if somebody counts.
    pub local_answers: Option<u64>,
    /// What else is wrong with what is answered.
    pub findings: Findings,
}

impl Assessment {
    /// The evidence of either channel.
    #[must_use]
    pub fn evidence(&self) -> Nats {
        self.silence_evidence.max(self.residual_evidence)
    }
}

/// What may be wrong with a service that answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Fewer answers than usual, for so long that it is no chance.
    pub partial_loss: bool,
    /// Most answers say SERVFAIL.
    pub servfail: bool,
    /// Answers take several times as long as usual.
    pub slow: bool,
}

#[cfg(test)]
mod tests;
