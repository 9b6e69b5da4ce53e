//! Keeps the number of sampled transactions within what they may cost.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock::MonotonicTime,
    datapath::{Bank, SampleRate},
    latency::sample_exponent,
};

/// How often the rate of queries is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sets how many transactions are sampled by how many queries there were in the last second, for ever. `sampled` says of
/// which services, by index.
pub(super) async fn keep_to_budget(bank: &Bank, sampled: &[usize], rate: &SampleRate) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await; // The first is immediate.
    let (mut before, mut at) = (queries(bank, sampled), MonotonicTime::now());
    let mut exponent = SampleRate::AT_START;
    loop {
        ticks.tick().await;
        let (queries, now) = (queries(bank, sampled), MonotonicTime::now());
        let seconds = now.since(at).as_secs_f64().max(1e-3);
        let wanted = sample_exponent(queries.saturating_sub(before) as f64 / seconds, exponent);
        if wanted != exponent {
            rate.set(wanted);
            tracing::debug!("one in {} transactions is sampled for its latency", 1_u64 << wanted);
        }
        (before, at, exponent) = (queries, now, wanted);
    }
}

fn queries(bank: &Bank, services: &[usize]) -> u64 {
    services
        .iter()
        .map(|&service| bank.queries_and_answers(service).0)
        .sum()
}
