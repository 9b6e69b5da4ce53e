//! What happens to a node, and when.

use std::time::Duration;

use super::traffic::Rhythm;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// A source asks this many times what its set-up says.
    Demand(usize, f64),
    /// A source asks in another rhythm.
    Rhythm(usize, Rhythm),
    /// A firewall drops a source between the counters and the server, or lets it through again.
    Drop(usize, bool),
    /// The server is killed: its sockets are gone, and all it was working on.
    Kill,
    /// The server stops for good: its sockets are there, nobody reads, and what it was working on is gone.
    Hang,
    /// The server stops reading, but what it was working on still gets its answers.
    StopReading,
    /// The server serves again.
    Recover,
    /// The server stops for so long, and goes on with what has waited.
    Pause(Duration),
    /// So many workers are dead.
    DeadWorkers(usize),
    /// The server takes this many times the usual demand; `None`: ample.
    Capacity(Option<f64>),
    /// All takes so many times as long.
    Slow(f64),
    /// A resolver finds this share in its cache.
    HitShare(f64),
    /// A resolver gets no answers from others.
    MissesLost(bool),
    /// This share of the answers says SERVFAIL.
    ServFail(f64),
    /// This share of the queries is answered by somebody else while the server is dead.
    Stray(f64),
    /// Answers leave the server's sockets and get no further, or do again.
    Egress(bool),
    /// So many answers a second that nobody asked for leave the node.
    Forged(f64),
    /// So many hints (ICMP, RST) a second.
    Hints(f64),
    /// A firewall drops local probes.
    ProbesDropped(bool),
    /// Response-rate limiting lets so many local probes through, and a hundredth as many each second.
    ProbeAllowance(u32),
    /// The counters start from zero, as after somebody replaced the maps.
    ResetCounters,
    /// The engine is driven this often from now on.
    Tick(Duration),
}

/// A change and its time after the warm-up.
pub type Step = (Duration, Change);

/// `change` at `from` and every `interval` after it, before `until`.
#[must_use]
pub fn every(interval: Duration, from: Duration, until: Duration, change: Change) -> Vec<Step> {
    let mut at = from;
    let mut steps = Vec::new();
    while at < until && !interval.is_zero() {
        steps.push((at, change));
        at += interval;
    }
    steps
}
