//! What is counted, for each CPU apart.

use core::sync::atomic::AtomicU64;

use crate::atomic;

/// Values of the four-bit rcode in a DNS header.
pub const RCODES: usize = 16;

/// Names of the rcodes (IANA DNS parameters), in the order of [`Counters::responses`].
pub const RCODE_NAMES: [&str; RCODES] = [
    "noerror",
    "formerr",
    "servfail",
    "nxdomain",
    "notimp",
    "refused",
    "yxdomain",
    "yxrrset",
    "nxrrset",
    "notauth",
    "notzone",
    "dsotypeni",
    "rcode12",
    "rcode13",
    "rcode14",
    "rcode15",
];

/// A number that only grows, and wraps after 2⁶⁴.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> u64 {
        atomic::load(&self.0)
    }

    /// Adds one, where nobody else writes to it meanwhile: a load and a store, as cheap as they get.
    #[inline(always)]
    pub fn increment(&self) {
        atomic::store(&self.0, self.get().wrapping_add(1));
    }

    /// Adds one, where somebody else may.
    #[inline(always)]
    pub fn increment_shared(&self) {
        atomic::add(&self.0, 1);
    }
}

/// Counters of one service on one CPU.
///
/// One CPU writes them with plain increments: XDP, tc ingress and tc egress run with bottom halves disabled, so nothing
/// else on that CPU comes between; where that does not hold (`PREEMPT_RT`), with atomic ones. They fill whole cache
/// lines, so CPUs don't share one. What every tick reads is in the first line, up to the answers that say SERVFAIL.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Counters {
    /// Queries that arrived.
    pub queries: Counter,
    /// Answers that left and that this host sent.
    pub answers: Counter,
    /// All packets that arrived for the service's address and port, as the hook sees them: at tc, segments of TCP are put
    /// together.
    pub packets_in: Counter,
    /// All packets that this host sent from the service's address and port.
    pub packets_out: Counter,
    /// Signs that nobody listens: ICMP port unreachable that quotes the service, TCP RST from it.
    pub hints: Counter,
    /// Answers by rcode, see [`RCODE_NAMES`].
    pub responses: [Counter; RCODES],
    /// Answers with the TC flag (truncated: the client asks again over TCP).
    pub truncated: Counter,
    /// Packets that arrived from an address of this host or of a service: never queries.
    pub local_sources: Counter,
    /// Answers that left the server's sockets for another host, counted only while somebody doubts that they leave the
    /// host. Always added to atomically: sockets send with bottom halves enabled.
    pub local_answers: Counter,
}

/// The rcode of a server that could not find an answer, by its place in [`RCODE_NAMES`].
pub const SERVFAIL: usize = 2;

/// Why a packet could not be classified.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclassified {
    /// The packet ends before the header it announces.
    Truncated = 0,
    /// A header contradicts itself: a length, a version.
    Malformed = 1,
    /// A fragment that is not the first: its ports are elsewhere.
    LaterFragment = 2,
    /// More VLAN tags or IPv6 extension headers than are followed.
    TooDeep = 3,
}

/// Number of reasons in [`Unclassified`].
pub const UNCLASSIFIED_REASONS: usize = 4;

/// Names of the reasons, by the value of [`Unclassified`].
pub const UNCLASSIFIED_NAMES: [&str; UNCLASSIFIED_REASONS] = ["truncated", "malformed", "later-fragment", "too-deep"];

/// Packets that could not be classified, on one CPU.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct UnclassifiedCounters {
    /// By the value of [`Unclassified`].
    pub by_reason: [Counter; UNCLASSIFIED_REASONS],
    /// Fills the cache line; always zero.
    pub reserved: [u64; 4],
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Counters>() == 192 && align_of::<Counters>() == 64);
    assert!(offset_of!(Counters, queries) == 0 && offset_of!(Counters, answers) == 8);
    assert!(offset_of!(Counters, packets_in) == 16 && offset_of!(Counters, packets_out) == 24);
    assert!(offset_of!(Counters, hints) == 32 && offset_of!(Counters, responses) == 40);
    // What a tick reads is one cache line.
    assert!(offset_of!(Counters, responses) + 8 * (SERVFAIL + 1) == 64);
    assert!(offset_of!(Counters, truncated) == 168 && offset_of!(Counters, local_sources) == 176);
    assert!(offset_of!(Counters, local_answers) == 184);
    assert!(size_of::<UnclassifiedCounters>() == 64 && align_of::<UnclassifiedCounters>() == 64);
};
