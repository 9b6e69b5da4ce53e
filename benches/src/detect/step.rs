//! What a tick of the engine costs for one service under healthy traffic.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anycast_tests::simulation::healthy_engine;

const SERVICES: usize = 64;
const TICKS_A_ROUND: u32 = 1000;
const ROUNDS: usize = 51;

/// In nanoseconds, the median of rounds.
pub(super) fn run() -> f64 {
    let mut engine = healthy_engine(SERVICES, Duration::from_secs(2));
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..TICKS_A_ROUND {
                black_box(&mut engine).tick();
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(TICKS_A_ROUND) / SERVICES as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
}
