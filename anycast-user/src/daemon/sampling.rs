//! Sampled transactions: how many there are, within what they may cost, and what they say about latency.

use std::time::Duration;

use anycast_ebpf::latency::bucket_start;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock::MonotonicTime,
    datapath::{Bank, LatencyReading, SampleRate},
    detect::LatencyProfile,
    latency::sample_exponent,
    status::Status,
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

/// How often the latency of the last while is made known.
const PROFILE_INTERVAL: Duration = Duration::from_secs(10);

/// Makes known how long the answers of each of `sampled` took, for ever. Where too few were sampled, what was known before
/// holds.
pub(super) async fn tell_latency(status: &Status, sampled: &[usize]) {
    let mut ticks = interval(PROFILE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await; // The first is immediate.
    let read = || sampled.iter().map(|&service| status.bank().latency(service));
    let mut before: Vec<LatencyReading> = read().collect();
    loop {
        ticks.tick().await;
        for ((&service, before), after) in sampled.iter().zip(&mut before).zip(read()) {
            let times = before.buckets.iter().zip(after.buckets).enumerate();
            let added = times.map(|(bucket, (before, after))| {
                let longest = Duration::from_nanos(bucket_start(bucket + 1));
                (longest, after.saturating_sub(*before))
            });
            if let Some(profile) = LatencyProfile::new(added) {
                status.show_latency(service, &profile);
            }
            *before = after;
        }
    }
}

fn queries(bank: &Bank, services: &[usize]) -> u64 {
    services
        .iter()
        .filter_map(|&service| Some(bank.counts(service)?.queries))
        .sum()
}
