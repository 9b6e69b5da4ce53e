//! Who asks, and when.

use std::{f64::consts::TAU, time::Duration};

use rand::RngExt;
use rand_distr::{Distribution, Exp1, Poisson};

use super::{Random, wheel::Wheel};

/// What a query is to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A query that reaches the server and is answered.
    Answerable,
    /// Counted as a query; nothing ever answers it, and it costs the server nothing: spoofed and filtered, or malformed
    /// behind its header.
    Unanswerable,
    /// To the address and port, and no DNS.
    Shapeless,
}

/// What a client does about a query that was not answered: it asks again, up to `times` times, first after `after` and
/// then after twice as long each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first wait.
    pub after: Duration,
    /// How often.
    pub times: u8,
}

impl Retry {
    /// As resolvers do.
    pub const RESOLVER: Self = Self {
        after: Duration::from_millis(376),
        times: 3,
    };
    /// As the C library's stub resolver does.
    pub const STUB: Self = Self {
        after: Duration::from_secs(5),
        times: 1,
    };
    const MOST: usize = 3;

    fn wait_ms(self, attempt: usize) -> f64 {
        self.after.as_secs_f64() * 1e3 * f64::from(1_u32 << attempt.min(Self::MOST))
    }
}

/// How demand moves around its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rhythm {
    /// Poisson.
    Steady,
    /// On for a share of the time, off for the rest, each for an exponential time: a Markov-modulated Poisson process with
    /// two states.
    Bursty {
        /// Share of the time.
        duty: f64,
        /// Mean length of a burst.
        burst: Duration,
    },
    /// A sine: between nothing and twice the mean at `depth` 1.
    Diurnal {
        /// Length of the day.
        day: Duration,
        /// Amplitude over mean.
        depth: f64,
    },
    /// A share of the queries comes in the first 20 ms of each second, as those of clients with synchronised clocks do.
    Pulse {
        /// Which share.
        share: f64,
    },
    /// So many queries at once, this often; the mean is ignored.
    Volleys {
        /// How often.
        every: Duration,
        /// How many, in milliseconds of the usual demand.
        size: f64,
    },
}

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceSetup {
    /// Mean rate, in multiples of the usual demand.
    pub demand: f64,
    /// What its queries are.
    pub shape: Shape,
    /// How they come.
    pub rhythm: Rhythm,
    /// What becomes of those that are not answered.
    pub retry: Option<Retry>,
}

impl SourceSetup {
    /// Resolvers with the whole usual demand.
    pub const CLIENTS: Self = Self {
        demand: 1.0,
        shape: Shape::Answerable,
        rhythm: Rhythm::Steady,
        retry: Some(Retry::RESOLVER),
    };

    /// The same with this share of the demand.
    #[must_use]
    pub const fn with_demand(self, demand: f64) -> Self {
        Self { demand, ..self }
    }

    /// Somebody who never asks again, at `times` the usual demand.
    #[must_use]
    pub const fn flood(shape: Shape, times: f64) -> Self {
        Self {
            demand: times,
            shape,
            rhythm: Rhythm::Steady,
            retry: None,
        }
    }
}

/// Arrivals of a Poisson process in one step.
#[derive(Clone, Copy, Debug, Default)]
struct Arrivals {
    mean: f64,
    distribution: Option<Poisson<f64>>,
}

impl Arrivals {
    fn sample(&mut self, mean: f64, random: &mut Random) -> u32 {
        if (mean - self.mean).abs() > f64::EPSILON {
            // Setting it up costs more than a draw; most of the time the mean stays.
            *self = Self {
                mean,
                distribution: Poisson::new(mean).ok(),
            };
        }
        self.distribution
            .map_or(0, |distribution| distribution.sample(random) as u32)
    }
}

/// A source at work.
#[derive(Clone, Debug)]
pub(super) struct Source {
    setup: SourceSetup,
    per_ms: f64,
    /// Times the demand of its set-up.
    pub(super) scale: f64,
    /// A firewall in front of the server drops it; the counters before that see it.
    pub(super) dropped: bool,
    pub(super) rhythm: Rhythm,
    arrivals: Arrivals,
    /// Of a bursty one: whether it is on, and until when.
    burst: (bool, f64),
    /// Queries to ask again, by how often they were asked.
    again: Vec<Wheel>,
}

impl Source {
    pub(super) fn new(setup: SourceSetup, usual_per_second: f64) -> Self {
        let attempts = setup.retry.map_or(0, |retry| usize::from(retry.times).min(Retry::MOST));
        Self {
            setup,
            per_ms: setup.demand * usual_per_second / 1e3,
            scale: 1.0,
            dropped: false,
            rhythm: setup.rhythm,
            arrivals: Arrivals::default(),
            burst: (false, 0.0),
            again: vec![Wheel::new(); attempts],
        }
    }

    /// What its queries are to the node as it is now.
    pub(super) fn shape(&self) -> Shape {
        if self.dropped && self.setup.shape == Shape::Answerable {
            Shape::Unanswerable
        } else {
            self.setup.shape
        }
    }

    pub(super) fn retries(&self) -> bool {
        !self.again.is_empty()
    }

    /// New queries in the `milliseconds` from `now` on.
    pub(super) fn arrivals(&mut self, now: u64, milliseconds: u32, random: &mut Random) -> u32 {
        let mean = self.per_ms * self.scale;
        if mean <= 0.0 {
            return 0;
        }
        let now_ms = now as f64;
        let factor = match self.rhythm {
            Rhythm::Steady => 1.0,
            Rhythm::Bursty { duty, burst } => {
                while self.burst.1 <= now_ms {
                    let on = !self.burst.0;
                    let usual = burst.as_secs_f64() * 1e3 * if on { 1.0 } else { (1.0 - duty) / duty };
                    let length: f64 = Exp1.sample(random);
                    self.burst = (on, self.burst.1.max(now_ms) + usual * length);
                }
                if self.burst.0 { duty.recip() } else { 0.0 }
            }
            // The rate is looked up ten times a second, so that the distribution need not be set up every time.
            Rhythm::Diurnal { day, depth } => {
                let phase = (now / 100) as f64 * 0.1 / day.as_secs_f64();
                1.0 + depth * (TAU * phase).sin()
            }
            Rhythm::Pulse { share } if now % 1000 < 20 => 1.0 - share + share * 50.0,
            Rhythm::Pulse { share } => 1.0 - share,
            Rhythm::Volleys { every, size } => {
                let due = now % (every.as_millis() as u64).max(1) < u64::from(milliseconds);
                return if due { (size * mean) as u32 } else { 0 };
            }
        };
        self.arrivals.sample(mean * factor * f64::from(milliseconds), random)
    }

    /// Queries that are asked again before millisecond `until`; `attempt` counts from 1.
    pub(super) fn asked_again(&mut self, attempt: usize, until: u64) -> u32 {
        let wheel = attempt.checked_sub(1).and_then(|index| self.again.get_mut(index));
        wheel.map_or(0, |wheel| until.checked_sub(1).map_or(0, |last| wheel.take(last)))
    }

    /// How often a query can be asked again.
    pub(super) fn attempts(&self) -> usize {
        self.again.len()
    }

    /// Queries that were asked at `at` the `attempt`th time (0: the first) and were not answered by `answered`.
    pub(super) fn unanswered(&mut self, attempt: usize, at: f64, answered: Option<f64>, count: u32) {
        let Some(retry) = self.setup.retry else { return };
        let gives_up = at + retry.wait_ms(attempt);
        if answered.is_none_or(|answered| answered > gives_up)
            && let Some(wheel) = self.again.get_mut(attempt)
        {
            wheel.add(gives_up as u64, count);
        }
    }

    /// When each of `count` queries of a step comes: one somewhere in each of as many parts of the step.
    pub(super) fn moment(now: u64, milliseconds: u32, index: u32, count: u32, random: &mut Random) -> f64 {
        let place = (f64::from(index) + random.random::<f64>()) / f64::from(count);
        now as f64 + place * f64::from(milliseconds)
    }
}
