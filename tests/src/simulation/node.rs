//! A simulated node: sources, a server, counters.

use anycast_user::detect::Counts;
use rand::RngExt;
use rand_distr::{Binomial, Distribution, Poisson};

use super::{
    Random,
    histogram::Latencies,
    latency::LatencyModel,
    script::Change,
    server::{Condition, Fate, Server, ServerSetup},
    traffic::{Shape, Source, SourceSetup},
    wheel::Wheel,
};

/// Hints for closed sockets that the kernel sends at most, per second (`net.ipv4.icmp_msgs_per_sec`).
const HINTS_PER_SECOND: f64 = 1000.0;

/// Everything but the engine.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) random: Random,
    pub(super) counts: Counts,
    pub(super) server: Server,
    pub(super) latencies: Latencies,
    usual_per_second: f64,
    sources: Vec<Source>,
    answers: Wheel,
    egress_broken: bool,
    servfail_share: f64,
    forged_per_ms: f64,
    hints_per_ms: f64,
    probes_dropped: bool,
    /// Probes that response-rate limiting still lets through, and what it gains in a millisecond.
    allowance: Option<(f64, f64)>,
    allowance_at: f64,
}

impl Node {
    pub(super) fn new(
        random: Random,
        sources: &[SourceSetup],
        server: ServerSetup,
        model: LatencyModel,
        usual_per_second: f64,
    ) -> Self {
        Self {
            random,
            counts: Counts::default(),
            server: Server::new(server, model, usual_per_second),
            latencies: Latencies::default(),
            usual_per_second,
            sources: sources
                .iter()
                .map(|setup| Source::new(*setup, usual_per_second))
                .collect(),
            answers: Wheel::new(),
            egress_broken: false,
            servfail_share: 0.0,
            forged_per_ms: 0.0,
            hints_per_ms: 0.0,
            probes_dropped: false,
            allowance: None,
            allowance_at: 0.0,
        }
    }

    /// Lives for `milliseconds` from `now` on.
    pub(super) fn live(&mut self, now: u64, milliseconds: u32) {
        let until = now + u64::from(milliseconds);
        for index in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(index) else {
                break;
            };
            let count = source.arrivals(now, milliseconds, &mut self.random);
            let attempts = source.attempts();
            self.ask(index, 0, count, (now, milliseconds));
            for attempt in 1..=attempts {
                let Some(source) = self.sources.get_mut(index) else {
                    break;
                };
                let count = source.asked_again(attempt, until);
                self.ask(index, attempt, count, (now, milliseconds));
            }
        }
        let left = self.answers.take(until - 1);
        self.leave(left, until);
        if self.forged_per_ms > 0.0 {
            self.counts.answers += self.poisson(self.forged_per_ms * f64::from(milliseconds));
        }
        if self.hints_per_ms > 0.0 {
            self.counts.hints += self.poisson(self.hints_per_ms * f64::from(milliseconds));
        }
    }

    fn ask(&mut self, index: usize, attempt: usize, count: u32, (now, milliseconds): (u64, u32)) {
        let Some(source) = self.sources.get_mut(index).filter(|_| count > 0) else {
            return;
        };
        self.counts.packets += u64::from(count);
        match source.shape() {
            Shape::Shapeless => {}
            Shape::Unanswerable => {
                self.counts.queries += u64::from(count);
                source.unanswered(attempt, now as f64, None, count);
            }
            Shape::Answerable => {
                self.counts.queries += u64::from(count);
                for number in 0..count {
                    let at = Source::moment(now, milliseconds, number, count, &mut self.random);
                    let answered = match self.server.ask(at, &mut self.random) {
                        Fate::Answered(when) => {
                            self.answers.add(when as u64, 1);
                            self.latencies.note(when - at);
                            Some(when)
                        }
                        Fate::Refused => {
                            self.counts.hints +=
                                u64::from(self.random.random::<f64>() * self.usual_per_second < HINTS_PER_SECOND);
                            None
                        }
                        Fate::Lost => None,
                    };
                    source.unanswered(attempt, at, answered, 1);
                }
            }
        }
    }

    /// Answers that leave the server's sockets are counted from now on, from zero, or not any more.
    pub(super) fn count_local_answers(&mut self, wanted: bool) {
        self.counts.local_answers = wanted.then(|| self.counts.local_answers.unwrap_or_default());
    }

    /// `count` answers leave the server's sockets.
    fn leave(&mut self, count: u32, now: u64) {
        if let Some(local) = &mut self.counts.local_answers {
            *local += u64::from(count);
        }
        if self.egress_broken {
            self.lost(count, now);
            return;
        }
        self.counts.answers += u64::from(count);
        if self.servfail_share > 0.0 && count > 0 {
            self.counts.servfails += self.binomial(count, self.servfail_share);
        }
    }

    /// `count` answers that clients wait for never come: they ask again.
    fn lost(&mut self, count: u32, now: u64) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.retries()) {
            source.unanswered(0, now as f64, None, count);
        }
    }

    /// When a local probe that is sent now comes back.
    pub(super) fn probe(&mut self, at: f64) -> Fate {
        if self.probes_dropped {
            return Fate::Lost;
        }
        if let Some((left, per_ms)) = &mut self.allowance {
            *left += *per_ms * (at - self.allowance_at);
            self.allowance_at = at;
            if *left < 1.0 {
                return Fate::Lost;
            }
            *left -= 1.0;
        }
        self.server.probe(at, &mut self.random)
    }

    /// Lets `change` happen.
    pub(super) fn change(&mut self, now: u64, change: Change) {
        match change {
            Change::Demand(source, scale) => self.source(source, |source| source.scale = scale),
            Change::Rhythm(source, rhythm) => self.source(source, |source| source.rhythm = rhythm),
            Change::Drop(source, dropped) => self.source(source, |source| source.dropped = dropped),
            Change::Kill => self.stop(Condition::Closed, now),
            Change::Hang => self.stop(Condition::Hangs, now),
            Change::StopReading => self.server.condition = Condition::Hangs,
            Change::Recover => self.server.condition = Condition::Serves,
            Change::Pause(length) => {
                let until = now as f64 + length.as_secs_f64() * 1e3;
                self.server.pause(now as f64, until);
                self.answers.hold_until(until as u64);
            }
            Change::DeadWorkers(count) => {
                let before = self.server.dead_share();
                self.server.set_dead_workers(count);
                let died = ((self.server.dead_share() - before) / (1.0 - before)).clamp(0.0, 1.0);
                self.lose_pending(died, now);
            }
            Change::Capacity(times) => self.server.set_capacity(times, self.usual_per_second),
            Change::Slow(times) => self.server.latency.scale = times,
            Change::HitShare(share) => self.server.latency.hit_share = share,
            Change::MissesLost(lost) => self.server.latency.misses_lost = lost,
            Change::ServFail(share) => self.servfail_share = share,
            Change::Stray(share) => self.server.stray_share = share,
            Change::Egress(works) => self.egress_broken = !works,
            Change::Forged(per_second) => self.forged_per_ms = per_second / 1e3,
            Change::Hints(per_second) => self.hints_per_ms = per_second / 1e3,
            Change::ProbesDropped(dropped) => self.probes_dropped = dropped,
            Change::ProbeAllowance(probes) => {
                self.allowance = Some((f64::from(probes), f64::from(probes) / 1e5));
                self.allowance_at = now as f64;
            }
            Change::ResetCounters => {
                self.counts = Counts::default();
            }
            // Who drives the engine sees to that.
            Change::Tick(_) => {}
        }
    }

    fn source(&mut self, index: usize, change: impl FnOnce(&mut Source)) {
        if let Some(source) = self.sources.get_mut(index) {
            change(source);
        }
    }

    fn stop(&mut self, condition: Condition, now: u64) {
        self.server.condition = condition;
        self.lose_pending(1.0, now);
    }

    fn lose_pending(&mut self, share: f64, now: u64) {
        let random = &mut self.random;
        let lost = self.answers.thin(|count| {
            let kept = Binomial::new(u64::from(count), 1.0 - share).map(|kept| kept.sample(random));
            kept.unwrap_or(0) as u32
        });
        self.lost(lost, now);
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        Poisson::new(mean).map_or(0, |distribution| distribution.sample(&mut self.random) as u64)
    }

    fn binomial(&mut self, count: u32, share: f64) -> u64 {
        Binomial::new(count.into(), share.clamp(0.0, 1.0))
            .map_or(0, |distribution| distribution.sample(&mut self.random))
    }
}
