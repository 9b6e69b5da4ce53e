//! The detector of one service: what is read in a tick goes to the parts, and their findings become an assessment.

use std::time::Duration;

use super::{
    Assessment, Findings, LatencyProfile, Learning, Nats, Sample, Settings,
    baseline::Baseline,
    dispersion::Dispersion,
    lag::{History, Lag},
    overload::Overload,
    partial_loss::PartialLoss,
    quality::{Servfails, Slowness},
    residual::{GAIN, Residual},
    tail::Tail,
};
use crate::clock::MonotonicTime;

/// The rate that the thresholds take at least: of a service that is hardly used too little is known for a low one.
const RATE_MIN_PER_SECOND: f64 = 1.0;
/// r: bursts of local probes that a healthy service may cause, per second.
const PROBE_BURSTS_PER_SECOND: f64 = 1.0;
/// Baselines learn in steps of this, so that a tick needs no exponential function.
const STEP: Duration = Duration::from_millis(100);
/// W at least, and at least this many answers at the usual rate.
const BLOCK_MIN: Duration = Duration::from_millis(50);
const BLOCK_ANSWERS: f64 = 20.0;
/// W at most: of a service that is hardly used.
const BLOCK_MAX: Duration = Duration::from_secs(20);
/// A service without queries for this long may be idle.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// So many answers at the usual rate must be missing as well: a trickle is not idle between two queries.
const IDLE_AFTER_ANSWERS: f64 = 20.0;
/// An overloaded service has to be silent for this long, and until a tenth of its usual rate would be silence enough.
const OVERLOAD_SILENCE: Duration = Duration::from_millis(250);
const OVERLOAD_SHARE: f64 = 0.1;
/// Clients who are not answered ask again after this long, or later.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// What is expected of a block for partial loss may be above the mean by this factor: chance makes it lower otherwise.
const EXPECTED_HEADROOM: f64 = 1.1;

/// The detector of one service.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    first: Sample,
    previous: Sample,
    last_query: MonotonicTime,
    /// When the service is called idle if no query comes until then.
    idle_at: MonotonicTime,
    /// How long after a query that is, in nanoseconds.
    idle_after_ns: u64,
    last_answer: MonotonicTime,
    queries_at_last_answer: u64,
    packets_at_last_answer: u64,
    local_answers_at_last_answer: Option<u64>,
    silence_evidence: Nats,
    history: History,
    profile: Option<LatencyProfile>,
    parameters: Parameters,
    baseline: Baseline,
    step: Sample,
    step_due: MonotonicTime,
    block: Block,
    residual: Residual,
    dispersion: Dispersion,
    overload: Overload,
    partial_loss: PartialLoss,
    servfails: Servfails,
    slowness: Slowness,
    findings: Findings,
    tail: Tail,
    ready: bool,
}

/// What the formulas take from the baselines. It changes with them, every tenth of a second, and not in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parameters {
    /// μ: usual answers per second, on the low side.
    pub usual_rate: f64,
    /// Mean answers per second over ten seconds.
    pub mean_rate: f64,
    /// p: share of the queries that are answered.
    pub share_answered: f64,
    /// l: queries younger than this are not missed yet.
    pub lag: Duration,
    /// F(l): share of the answers that come within the lag.
    pub share_within_lag: f64,
    /// ν: what an unanswered query weighs.
    pub nats_per_query: Nats,
    /// φ.
    pub dispersion: f64,
    /// h.
    pub threshold: Nats,
    /// h₁.
    pub suspicion_threshold: Nats,
    /// W.
    pub block: Duration,
    /// How long an overloaded service has to be silent before that is evidence.
    pub overload_silence: Duration,
    /// T₁ = h/μ: the least delay that answers alone allow; zero as long as nothing is known.
    pub limit: Duration,
}

/// Where the present block began.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    at: MonotonicTime,
    /// Queries that were older than the lag.
    queries: u64,
    answers: u64,
}

impl Detector {
    /// Starts from `sample`: nothing before it counts.
    #[must_use]
    pub fn new(settings: Settings, sample: Sample) -> Self {
        let counts = sample.counts;
        let mut detector = Self {
            settings,
            first: sample,
            previous: sample,
            last_query: sample.at,
            // Until the first query.
            idle_at: sample.at,
            idle_after_ns: IDLE_AFTER.as_nanos() as u64,
            last_answer: sample.at,
            queries_at_last_answer: counts.queries,
            packets_at_last_answer: counts.packets,
            local_answers_at_last_answer: counts.local_answers,
            silence_evidence: 0.0,
            history: History::new(counts.queries),
            profile: None,
            parameters: Parameters::default(),
            baseline: Baseline::new(),
            step: sample,
            step_due: sample.at.after(STEP),
            block: Block {
                at: sample.at,
                queries: counts.queries,
                answers: counts.answers,
            },
            residual: Residual::default(),
            dispersion: Dispersion::default(),
            overload: Overload::default(),
            partial_loss: PartialLoss::default(),
            servfails: Servfails::default(),
            slowness: Slowness::default(),
            findings: Findings::default(),
            tail: Tail::new(),
            ready: false,
        };
        detector.parameters = detector.parameters(sample.at);
        detector
    }

    /// Takes a sample. What is usual is learned from it as far as `learning` says, and while queries come.
    ///
    /// Counters that run backwards are taken as standing still; [`Counts::follows`](super::Counts::follows) tells them.
    pub fn tick(&mut self, sample: Sample, learning: Learning) -> Assessment {
        let now = sample.at;
        let elapsed = now.seconds_since(self.previous.at);
        let more = |of: fn(&Sample) -> u64| of(&sample).saturating_sub(of(&self.previous));
        let queries = more(|sample| sample.counts.queries);
        let answers = more(|sample| sample.counts.answers);
        let packets = more(|sample| sample.counts.packets);
        let hint = more(|sample| sample.counts.hints) > 0;
        if queries > 0 {
            if self.previous.at >= self.idle_at {
                self.begin_anew();
            }
            // By the rate of now: it fades while no query comes.
            self.last_query = now;
            self.idle_at = now.after_nanoseconds(self.idle_after_ns);
        }
        if answers > 0 {
            if !self.ready {
                self.tail.silence_ended(self.silence_evidence);
            }
            // The answer left somewhere within the tick: taking its end is the cautious side.
            self.last_answer = now;
            self.queries_at_last_answer = sample.counts.queries;
            self.packets_at_last_answer = sample.counts.packets;
            self.local_answers_at_last_answer = sample.counts.local_answers;
        }
        // Whoever counts may have begun since the last answer, or anew.
        let local_answers = sample.counts.local_answers;
        self.local_answers_at_last_answer = match self.local_answers_at_last_answer {
            Some(then) => local_answers.map(|now| now.min(then)),
            None => local_answers,
        };
        let idle = now >= self.idle_at;
        if idle {
            self.partial_loss = PartialLoss::default();
            self.findings.partial_loss = false;
        }
        let learning = if idle { Learning::Nothing } else { learning };
        let frozen = learning == Learning::Nothing;
        let long_silence = now.seconds_since(self.last_answer) >= ASKED_AGAIN_AFTER.as_secs_f64();
        let overload = self.overload.tick(now, packets, elapsed, frozen, long_silence) && self.settings.parts.overload;
        self.previous = sample;
        let settled = self.history.settled(now, sample.counts.queries, self.parameters.lag);
        if now >= self.step_due {
            self.end_step(sample, learning);
        }
        self.assess(sample, settled, learning, (idle, overload, hint))
    }

    /// Demand begins at the last sample. The time before it, in which nobody asked, is part of no step and no block: a mean
    /// over it would be too low, and what comes after a cluster by comparison.
    fn begin_anew(&mut self) {
        self.step = self.previous;
        self.step_due = self.previous.at.after(STEP);
        self.block = Block {
            at: self.previous.at,
            queries: self.previous.counts.queries,
            answers: self.previous.counts.answers,
        };
    }

    /// Takes how long answers took in the last while.
    pub fn latency(&mut self, profile: &LatencyProfile) {
        self.profile = Some(*profile);
        self.slowness.learn(profile.median());
        self.findings.slow = self.slowness.is_slow();
    }

    /// Nobody has measured how long answers take for a while.
    pub fn forget_slowness(&mut self) {
        self.findings.slow = false;
    }

    /// Packets were dropped before the server read them, or wait in a queue that is full.
    pub fn note_overload(&mut self, now: MonotonicTime) {
        self.overload.note(now);
    }

    /// The service was seen to be alive while nobody asks: the queries that were left unanswered are of the past.
    pub fn settle(&mut self) {
        self.queries_at_last_answer = self.previous.counts.queries;
        self.residual = Residual::default();
    }

    /// Forgets `unobserved` of the present silence: the daemon did not run then, so it has not seen that nothing came.
    pub fn forgive(&mut self, unobserved: Duration) {
        let latest = self.previous.at.after(unobserved);
        self.last_answer = self.last_answer.after(unobserved).min(latest);
        self.block.at = self.block.at.after(unobserved).min(latest);
    }

    /// What the formulas take from the baselines now.
    #[must_use]
    pub fn in_use(&self) -> &Parameters {
        &self.parameters
    }

    /// Queries after the last answer that are older than the lag, as of the last tick.
    #[must_use]
    pub fn unanswered_now(&self) -> u64 {
        self.unanswered(self.history.settled_before())
    }

    fn packets_in_silence(&self, packets: u64) -> u64 {
        packets.saturating_sub(self.packets_at_last_answer)
    }

    fn unanswered(&self, settled: u64) -> u64 {
        settled.saturating_sub(self.queries_at_last_answer)
    }

    fn assess(
        &mut self,
        sample: Sample,
        settled: u64,
        learning: Learning,
        (idle, mut overload, hint): (bool, bool, bool),
    ) -> Assessment {
        let Sample { at: now, counts } = sample;
        let Parameters {
            usual_rate,
            share_answered,
            nats_per_query,
            dispersion,
            threshold,
            suspicion_threshold,
            overload_silence,
            block,
            ..
        } = self.parameters;
        let parts = self.settings.parts;
        let silence = now.since(self.last_answer);
        let by_queries = nats_per_query * self.unanswered(settled) as f64;
        let by_time = if parts.baseline_cap {
            usual_rate * now.seconds_since(self.last_answer)
        } else {
            f64::INFINITY
        };
        self.silence_evidence = by_time.min(by_queries) / dispersion;
        if self.silence_evidence >= suspicion_threshold
            && silence < ASKED_AGAIN_AFTER
            && self.overload.is_rush(
                self.packets_in_silence(counts.packets),
                now.seconds_since(self.last_answer),
            )
        {
            self.overload.note(now);
            overload = parts.overload;
        }
        let residual = self.residual(now, settled, counts.answers, learning, overload);
        let in_silence = GAIN * by_time.min(share_answered * self.unanswered(settled) as f64);
        Assessment {
            ready: self.ready,
            tail_too_heavy: !self.ready && self.was_watched(sample) && self.is_tail_too_heavy(),
            loss_before_silence: ((self.residual.sum() - in_silence) / dispersion).max(0.0),
            silence_evidence: if parts.silence { self.silence_evidence } else { 0.0 },
            residual_evidence: if parts.residual && self.ready {
                residual / dispersion
            } else {
                0.0
            },
            threshold,
            suspicion_threshold,
            silence,
            last_answer: self.last_answer,
            answers: counts.answers,
            idle,
            overload,
            overload_silence,
            block,
            unasked: now.since(self.last_query),
            waiting: self.unanswered(settled),
            has_socket: false, // Others know.
            hint,
            local_answers: counts
                .local_answers
                .zip(self.local_answers_at_last_answer)
                .map(|(now, then)| now.saturating_sub(then)),
            findings: self.findings,
        }
    }

    /// e₂ φ; ends the block when it is time.
    fn residual(&mut self, now: MonotonicTime, settled: u64, answers: u64, learning: Learning, overload: bool) -> Nats {
        let Parameters {
            usual_rate,
            mean_rate,
            share_answered,
            dispersion,
            block,
            ..
        } = self.parameters;
        let elapsed = now.seconds_since(self.block.at);
        let asked = settled.saturating_sub(self.block.queries) as f64;
        let answered = answers.saturating_sub(self.block.answers);
        let cap = |rate: f64| {
            if self.settings.parts.baseline_cap {
                rate * elapsed
            } else {
                f64::INFINITY
            }
        };
        let expected = (share_answered * asked).min(cap(usual_rate));
        let block = block.as_secs_f64();
        if elapsed < block {
            return self.residual.evidence(expected, answered, usual_rate * block);
        }
        self.residual.end_block(expected, answered);
        if learning == Learning::All {
            self.dispersion
                .learn((share_answered * asked).min(cap(mean_rate)), answered);
        }
        if self.ready {
            // In a flood what comes is no measure of what should be answered.
            let headroom = if overload { 1.0 } else { EXPECTED_HEADROOM };
            let most = headroom * self.baseline.slow_rate() * elapsed;
            let expected = (self.baseline.share_slow() * asked).min(most);
            let services = self.settings.services;
            self.findings.partial_loss = self
                .partial_loss
                .end_block(expected, answered, dispersion, elapsed, services);
        }
        self.block = Block {
            at: now,
            queries: settled,
            answers,
        };
        self.residual.evidence(0.0, 0, usual_rate * block)
    }

    /// Lets the baselines learn, and takes over what follows from them.
    fn end_step(&mut self, sample: Sample, learning: Learning) {
        let Sample { at: now, counts } = sample;
        let elapsed = now.since(self.step.at);
        let before = self.step.counts;
        let queries = counts.queries.saturating_sub(before.queries);
        let answers = counts.answers.saturating_sub(before.answers);
        let servfails = counts.servfails.saturating_sub(before.servfails);
        if !self.ready {
            self.tail.fade(elapsed);
        }
        self.baseline
            .learn(now, (queries, answers), elapsed, learning, self.was_watched(sample));
        self.findings.servfail = self.servfails.add(answers, servfails, elapsed);
        self.parameters = self.parameters(now);
        let many_answers = seconds(IDLE_AFTER_ANSWERS / self.parameters.mean_rate).unwrap_or(IDLE_AFTER);
        self.idle_after_ns = u64::try_from(many_answers.max(IDLE_AFTER).as_nanos()).unwrap_or(u64::MAX);
        if !self.ready && learning == Learning::All {
            self.ready = self.was_watched(sample) && self.baseline.is_stable() && !self.is_tail_too_heavy();
        }
        self.step = sample;
        self.step_due = now.after(STEP);
    }

    fn was_watched(&self, sample: Sample) -> bool {
        sample.counts.answers.saturating_sub(self.first.counts.answers) >= self.settings.arming_answers
            && sample.at.since(self.first.at) >= self.settings.arming_time
    }

    fn is_tail_too_heavy(&self) -> bool {
        self.tail.is_too_heavy(self.parameters.threshold, self.budget())
    }

    /// A V, in seconds.
    fn budget(&self) -> f64 {
        self.settings.time_between_false_alarms.as_secs_f64() * f64::from(self.settings.services)
    }

    fn parameters(&self, now: MonotonicTime) -> Parameters {
        let parts = self.settings.parts;
        let usual_rate = self.baseline.usual_rate(now, parts.low_expectile);
        let share_answered = self.baseline.share();
        let threshold_rate = usual_rate.max(RATE_MIN_PER_SECOND);
        let threshold = (threshold_rate * self.budget()).ln_1p();
        let suspicion_threshold = (threshold_rate / PROBE_BURSTS_PER_SECOND).ln_1p();
        let lag = match &self.profile {
            _ if !parts.lag => Lag {
                time: Duration::ZERO,
                share: 1.0,
            },
            Some(profile) => Lag::best(profile, suspicion_threshold, self.baseline.rate()),
            None => Lag::UNKNOWN,
        };
        let block = seconds(BLOCK_ANSWERS / usual_rate).map_or(BLOCK_MAX, |block| block.clamp(BLOCK_MIN, BLOCK_MAX));
        let overload_silence = seconds(threshold / (OVERLOAD_SHARE * threshold_rate)).unwrap_or(Duration::MAX);
        Parameters {
            usual_rate,
            mean_rate: self.baseline.rate(),
            share_answered,
            lag: lag.time,
            share_within_lag: lag.share,
            nats_per_query: lag.nats_per_query(share_answered),
            dispersion: if parts.dispersion { self.dispersion.value() } else { 1.0 },
            threshold,
            suspicion_threshold,
            block,
            overload_silence: overload_silence.max(OVERLOAD_SILENCE),
            limit: seconds(threshold / usual_rate).unwrap_or_default(),
        }
    }
}

/// A duration of so many seconds, if it is one.
fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}
