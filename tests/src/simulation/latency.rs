//! How long servers take.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;

use super::Random;

/// A kind of server, by the latency of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LatencyModel {
    /// Knows all it says: log-normal around 0.2 ms.
    Authoritative,
    /// Knows four fifths of it: hits log-normal around 0.3 ms; misses log-normal around 40 ms, and one in eight of them
    /// Pareto from 20 ms with exponent 1.2, up to three seconds.
    Resolver,
}

/// Latencies of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    model: LatencyModel,
    /// Times as long as usual.
    pub(super) scale: f64,
    /// Queries of a resolver that its cache answers.
    pub(super) hit_share: f64,
    /// What isn't in the cache isn't answered at all.
    pub(super) misses_lost: bool,
}

/// The longest that a resolver tries.
const MISS_MOST_MS: f64 = 3000.0;

impl Latency {
    pub(super) fn new(model: LatencyModel) -> Self {
        Self {
            model,
            scale: 1.0,
            hit_share: 0.8,
            misses_lost: false,
        }
    }

    /// Of a client's query, in milliseconds; `None` when it is never answered.
    pub(super) fn of_query(&self, random: &mut Random) -> Option<f64> {
        let miss = self.model == LatencyModel::Resolver && random.random::<f64>() >= self.hit_share;
        if !miss {
            return Some(self.at_hand(random));
        }
        if self.misses_lost {
            return None;
        }
        let latency = if random.random::<f64>() < 0.125 {
            20.0 * (1.0 - random.random::<f64>()).powf(-1.0 / 1.2)
        } else {
            log_normal(40.0, 0.8, random)
        };
        Some(latency.min(MISS_MOST_MS) * self.scale)
    }

    /// Of a query that the server can answer by itself, as a probe is, in milliseconds.
    pub(super) fn at_hand(&self, random: &mut Random) -> f64 {
        let (median, sigma) = match self.model {
            LatencyModel::Authoritative => (0.2, 0.35),
            LatencyModel::Resolver => (0.3, 0.35),
        };
        log_normal(median, sigma, random) * self.scale
    }
}

fn log_normal(median: f64, sigma: f64, random: &mut Random) -> f64 {
    let deviation: f64 = StandardNormal.sample(random);
    median * (sigma * deviation).exp()
}
