//! How unlikely is this silence? Pure: counters and time in, evidence out, O(1) a tick and no allocation.
//!
//! The answers of a healthy service are close to a Poisson process of rate μ whatever their latency, so a silence of
//! length t has probability e^(−μt). The *evidence* is −ln of that, in nats. It is capped by the queries that went
//! unanswered, so that an end of demand is no evidence, and the threshold follows from a budget of false alarms:
//!
//! ```text
//! e  = min( μ (now − t_a),  ν n_q )          evidence of silence
//! h  = ln(1 + max(μ, 1/s) A V)               withdraw at: one false alarm in A seconds, V services share the budget
//! h₁ = ln(1 + max(μ, 1/s) / r)               suspect at: r = 1 burst of local probes a second
//! ```
//!
//! `t_a` is the time of the last answer, `n_q` the queries since then that are older than the lag `l`, and
//! ν = min(1, −ln(1 − p)) what one unanswered query weighs when a share p of them is answered at all.
//! The mean time between false alarms of a test that fires after a silence T of a Poisson process is
//! (e^(μT) − 1)/μ, from which h follows; T₁ = h/μ is the least delay that answers alone allow for this budget.
//!
//! This is the silence channel. It assumes answers without clusters (dispersion 1) and a latency within the lag of 1 ms;
//! services that are slower or burstier raise suspicions that a probe clears.

mod rate;

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    detect::rate::{LowExpectile, Rate, Share},
};

/// Evidence, in nats: −ln of a probability.
pub type Nats = f64;

/// What a tick reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was read.
    pub at: MonotonicTime,
    /// Queries so far.
    pub queries: u64,
    /// Answers so far.
    pub answers: u64,
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
}

/// What is known after a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Assessment {
    /// Enough was seen of the service for its silence to mean something.
    pub ready: bool,
    /// Evidence that answers should have come and did not.
    pub evidence: Nats,
    /// h: evidence at which silence alone is proof.
    pub threshold: Nats,
    /// h₁: evidence from which local probes are sent.
    pub suspicion_threshold: Nats,
    /// Time since the last answer.
    pub silence: Duration,
    /// Queries have stopped: none for a second, nor for the time of twenty answers at the usual rate.
    pub idle: bool,
}

/// The rate that the thresholds take at least: of a service that is hardly used too little is known for a low one.
const RATE_MIN_PER_SECOND: f64 = 1.0;
/// r: bursts of local probes that a healthy service may cause, per second.
const PROBE_BURSTS_PER_SECOND: f64 = 1.0;
/// l: queries younger than this are not missed yet.
const LAG: Duration = Duration::from_millis(1);
/// Time constant of the mean rate of answers.
const RATE_TIME_CONSTANT: Duration = Duration::from_secs(10);
/// Time constant of the share answered.
const SHARE_TIME_CONSTANT: Duration = Duration::from_secs(60);
/// A service without queries for this long may be idle.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// So many answers at the usual rate must be missing as well: a trickle is not idle between two queries.
const IDLE_AFTER_ANSWERS: f64 = 20.0;
/// Samples that are kept to look back by the lag: several lags at the fastest tick of 1 ms.
const RING: usize = 8;

/// The detector of one service.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    started: MonotonicTime,
    previous: Sample,
    first: Sample,
    last_query: MonotonicTime,
    /// How long after the last query the service is called idle.
    idle_after: Duration,
    last_answer: MonotonicTime,
    queries_at_last_answer: u64,
    answer_rate: Rate,
    low_rate: LowExpectile,
    share_answered: Share,
    ring: [Sample; RING],
    next: usize,
    queries_older_than_lag: u64,
}

impl Detector {
    /// Starts from `sample`: nothing before it counts.
    #[must_use]
    pub fn new(settings: Settings, sample: Sample) -> Self {
        Self {
            settings,
            started: sample.at,
            previous: sample,
            first: sample,
            last_query: sample.at,
            idle_after: IDLE_AFTER,
            last_answer: sample.at,
            queries_at_last_answer: sample.queries,
            answer_rate: Rate::new(RATE_TIME_CONSTANT),
            low_rate: LowExpectile::default(),
            share_answered: Share::new(SHARE_TIME_CONSTANT),
            ring: [sample; RING],
            next: 0,
            queries_older_than_lag: sample.queries,
        }
    }

    /// Takes a sample. While `suspicious`, and while no query comes, the baselines stay as they were.
    ///
    /// Counters that run backwards (somebody else's map) are taken as standing still.
    pub fn tick(&mut self, sample: Sample, suspicious: bool) -> Assessment {
        let elapsed = sample.at.since(self.previous.at);
        let queries = sample.queries.saturating_sub(self.previous.queries);
        let answers = sample.answers.saturating_sub(self.previous.answers);
        if queries > 0 {
            self.last_query = sample.at;
            // By the rate of now: it fades while no query comes.
            let many_answers = IDLE_AFTER_ANSWERS / self.answer_rate.per_second();
            self.idle_after = Duration::try_from_secs_f64(many_answers)
                .unwrap_or(IDLE_AFTER)
                .max(IDLE_AFTER);
        }
        if answers > 0 {
            // The answer left somewhere within the tick: taking its end is the cautious side.
            self.last_answer = sample.at;
            self.queries_at_last_answer = sample.queries;
        }
        let ready = self.is_ready(sample);
        let idle = self.is_idle(sample.at);
        if !suspicious && !idle {
            self.answer_rate.add(answers, elapsed);
            self.share_answered.add(queries, answers, elapsed);
            if ready {
                self.low_rate.follow(self.answer_rate.per_second(), elapsed);
            }
        }
        self.previous = sample;
        self.look_back(sample);
        self.assess(sample.at, ready, idle)
    }

    /// The service was seen to be alive while nobody asks: the queries that were left unanswered are of the past.
    pub fn settle(&mut self) {
        self.queries_at_last_answer = self.previous.queries;
    }

    /// Forgets `unobserved` of the present silence: the daemon did not run then, so it has not seen that nothing came.
    pub fn forgive(&mut self, unobserved: Duration) {
        self.last_answer = self
            .last_answer
            .after(unobserved)
            .min(self.previous.at.after(unobserved));
    }

    fn is_ready(&self, sample: Sample) -> bool {
        sample.answers.saturating_sub(self.first.answers) >= self.settings.arming_answers
            && sample.at.since(self.started) >= self.settings.arming_time
    }

    fn is_idle(&self, now: MonotonicTime) -> bool {
        now.since(self.last_query) >= self.idle_after
    }

    /// Puts `sample` in the ring and finds the queries up to the youngest sample that is at least a lag old. After a stall
    /// there may be none in the ring: then what was found before still holds.
    fn look_back(&mut self, sample: Sample) {
        if let Some(slot) = self.ring.get_mut(self.next) {
            *slot = sample;
        }
        self.next = (self.next + 1) % RING;
        let found = self
            .ring
            .iter()
            .filter(|old| sample.at.since(old.at) >= LAG)
            .map(|old| old.queries);
        self.queries_older_than_lag = found.fold(self.queries_older_than_lag, u64::max);
    }

    fn assess(&self, now: MonotonicTime, ready: bool, idle: bool) -> Assessment {
        let rate = self.low_rate.capped(self.answer_rate.per_second());
        let silence = now.since(self.last_answer);
        let unanswered = self.queries_older_than_lag.saturating_sub(self.queries_at_last_answer);
        let budget = self.settings.time_between_false_alarms.as_secs_f64() * f64::from(self.settings.services);
        let threshold_rate = rate.max(RATE_MIN_PER_SECOND);
        Assessment {
            ready,
            evidence: (rate * silence.as_secs_f64()).min(self.share_answered.nats_per_query() * unanswered as f64),
            threshold: (threshold_rate * budget).ln_1p(),
            suspicion_threshold: (threshold_rate / PROBE_BURSTS_PER_SECOND).ln_1p(),
            silence,
            idle,
        }
    }
}

#[cfg(test)]
mod tests;
