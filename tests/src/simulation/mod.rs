//! Simulated nodes that drive the real engine: traffic, servers and probes are made up, what is decided is not.
//!
//! Pure: a [`Scenario`], an [`Environment`] and a seed go in, an [`Outcome`] comes out, the same on every machine. A
//! simulated millisecond is one tick: queries arrive, the server reads, answers and loses them, clients ask again, bursts
//! of probes go through the same sockets and buffers, and then the engine sees counters and results as the daemon would
//! show them. [`catalogue`] has the scenarios.

pub mod catalogue;
mod effects;
mod healthy;
mod histogram;
mod latency;
mod node;
mod outcome;
mod probes;
mod run;
mod scenario;
mod script;
mod server;
mod trace;
mod traffic;
mod watch;
mod wheel;

use anycast_user::clock::MonotonicTime;

pub use self::{
    healthy::{Healthy, healthy_engine},
    latency::LatencyModel,
    outcome::{Outcome, Summary, quantile},
    run::{Environment, Experiment, play, run},
    scenario::{Kind, Scenario},
    script::{Change, Step, every},
    server::ServerSetup,
    trace::{Trace, trace},
    traffic::{Retry, Rhythm, Shape, SourceSetup},
    watch::{Watched, watch},
};

/// The one source of chance: small, fast, and the same on every machine for a seed.
type Random = rand_pcg::Pcg64Mcg;

/// A simulated time as the engine sees it. No clock starts at zero.
fn time(milliseconds: f64) -> MonotonicTime {
    const START_NS: f64 = 1e9;
    MonotonicTime((START_NS + milliseconds * 1e6) as u64)
}
