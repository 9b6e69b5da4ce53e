//! Local probes: bursts of real queries to a service address, from this host.
//!
//! They go from `127.0.0.1` or `::1` to the service address itself. Such a source can't be spoofed from the wire, the
//! packets stay off the uplinks (and out of the counters there), and they pass through the same sockets as the
//! clients' queries. Each of a burst has its own random source port, since servers with several workers spread queries
//! by it: one that is alive among sixteen answers one in sixteen.
//!
//! The query is `id.server. CH TXT`, not recursive: cheap, needs no zone, and any answer to it, a refusal too, shows a
//! server that reads and answers. A server's response-rate limiting must exempt the loopback addresses.

mod burst;
mod open_files;
mod prober;
mod query;
#[cfg(test)]
pub(crate) mod testing;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use prober::{Prober, RequestError};

use crate::clock::MonotonicTime;

/// Why there can be no prober.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Its thread or the socket that wakes it could not be made.
    #[error("cannot start the prober: {0}; raise the limits on tasks and open files (TasksMax=, LimitNOFILE=)")]
    Start(#[source] io::Error),
    /// The query could not be composed.
    #[error("cannot compose the probe query ({0}); this is a bug, please report it")]
    Query(String),
}

/// A burst to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstRequest {
    /// The asker's name for it; comes back in the result.
    pub id: u64,
    /// Where to: the service address and port.
    pub service_address: SocketAddr,
    /// How many probes, 16 as a rule.
    pub count: u8,
    /// How long to wait for answers, from sending the last probe. An answer that is there to be read when the window
    /// has passed counts, however late the prober comes to read it.
    pub window: Duration,
}

/// What came of a burst. A burst has one result; and one more, which is [late](Self::late), when it was judged with
/// probes unanswered and one of them is answered after all, within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstResult {
    /// What was asked for.
    pub request: BurstRequest,
    /// Probes that left. Fewer than asked for when this host is short of something (ports, memory, a route): what
    /// wasn't sent is no evidence about the server.
    pub sent: u8,
    /// Probes of which a true answer came back, with whatever response code.
    pub answered: u8,
    /// Probes that the kernel refused with "port unreachable": no socket is there (or a firewall says so).
    pub refused: u8,
    /// From sending a probe to reading its answer, the longest of the burst.
    pub slowest_round_trip: Option<Duration>,
    /// Just before the first probe was sent.
    pub started_at: MonotonicTime,
    /// When the last probe was answered or refused, or the window had passed.
    pub finished_at: MonotonicTime,
    /// Whether this is the second result of a burst, made by an answer that came after the first: the server is slow,
    /// not dead. The counts are of all that came, in time or not: `answered` is at least 1.
    pub late: bool,
}

impl BurstResult {
    /// Probes that were sent and neither answered nor refused.
    #[must_use]
    pub fn unanswered(&self) -> u8 {
        self.sent.saturating_sub(self.answered).saturating_sub(self.refused)
    }
}
