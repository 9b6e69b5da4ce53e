//! What the daemon tells its readers: plain values, copied when somebody asks.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::datapath::LatencyReading;
use crate::event::AlertSet;
use crate::policy::State;

/// What the exporter reads at scrape time; must not disturb the sampling thread.
pub trait Snapshot: Send + Sync + fmt::Debug + 'static {
    /// Whether links may be touched.
    fn armed(&self) -> bool;
    /// Every (link, service, address), each once.
    fn services(&self) -> Vec<ServiceSnapshot>;
    /// Packets that were neither query nor answer, by reason, each reason once.
    fn unclassified(&self) -> Vec<(&'static str, u64)>;
    /// Every link, each once.
    fn links(&self) -> Vec<LinkSnapshot>;
    /// The sampling thread.
    fn sampler(&self) -> SamplerSnapshot;
}

/// One service on one of its addresses. Counts are since the counters were made.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSnapshot {
    /// Name of the link.
    pub link: String,
    /// Name of the service.
    pub service: String,
    /// The service address.
    pub address: IpAddr,
    /// Queries that arrived.
    pub queries: u64,
    /// Answers that left.
    pub answers: u64,
    /// All packets that arrived for the service.
    pub packets_in: u64,
    /// All packets that left from it.
    pub packets_out: u64,
    /// Signs that nobody listens: ICMP port unreachable, TCP RST.
    pub hints: u64,
    /// Packets from an address of this host or of a service.
    pub local_sources: u64,
    /// Of sampled transactions.
    pub latency: LatencyReading,
    /// Answers with the TC bit.
    pub truncated: u64,
    /// Answers by DNS response code, each code once.
    pub responses_by_rcode: Vec<(&'static str, u64)>,
    /// Its state; `anycast_probe_service_state` is 1 for this one and 0 for the others.
    pub state: State,
    /// Evidence of silence, in nats.
    pub evidence_nats: f64,
    /// Evidence that a withdrawal needs, in nats.
    pub threshold_nats: f64,
    /// The most that evidence and failed bursts came to since the start, as a share of the threshold.
    pub closest_approach: f64,
    /// For how long probes must fail.
    pub floor: Duration,
    /// The least delay that answers alone allow.
    pub limit: Duration,
    /// What is wrong with it now.
    pub alerts: AlertSet,
    /// Its server's sockets; `None` before they were seen, and for a service over TCP.
    pub sockets: Option<SocketsSnapshot>,
}

/// The sockets from which the server of a service reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketsSnapshot {
    /// How many there are.
    pub sockets: u32,
    /// Packets that found no room in them since they were looked at first.
    pub receive_drops: u64,
    /// How many are full.
    pub full: u32,
    /// How many are full and not read any more, while one beside them is.
    pub hung: u32,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSnapshot {
    /// Name of the link.
    pub link: String,
    /// Whether it is up, as read back from the kernel.
    pub announced: bool,
    /// Times it was put down.
    pub withdrawals: u64,
    /// Times it was brought up again.
    pub announcements: u64,
    /// Withdrawals that a guard held back, by guard, each guard once.
    pub suppressed: Vec<(&'static str, u64)>,
}

/// The sampling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplerSnapshot {
    /// Ticks that were taken.
    pub ticks: u64,
    /// Ticks that came too late and were discarded.
    pub late_ticks: u64,
    /// Events that found their queue full.
    pub events_dropped: u64,
}
