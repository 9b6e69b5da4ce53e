//! Sampled transactions under way, and how long they took.

use core::sync::atomic::AtomicU64;

/// Buckets of a [`Latency`]: see [`latency::bucket`](crate::latency::bucket).
pub const LATENCY_BUCKETS: usize = 400;

/// How long the sampled transactions of one service took, from query to answer. All CPUs add to it atomically, as only
/// samples pay for that; one histogram per CPU would be 128 times the memory.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Latency {
    /// Transactions by the time they took.
    pub buckets: [AtomicU64; LATENCY_BUCKETS],
    /// Queries that were sampled. Those that aren't in a bucket, overwritten or under way were not answered.
    pub sampled: AtomicU64,
    /// Samples that were lost because another one needed their slot before their answer came.
    pub overwritten: AtomicU64,
    /// Answers to sampled transactions that were not under way: late, repeated, or overwritten before. Not counted where
    /// messages have no ID, as a query may have any number of answers then.
    pub mismatched: AtomicU64,
    /// Exchanges of a TCP service that were not followed because their slot was taken.
    pub not_followed: AtomicU64,
    /// Fills the last cache line; always zero.
    pub reserved: [u64; 4],
}

impl Latency {
    /// Nothing measured yet.
    #[expect(clippy::declare_interior_mutable_const, reason = "it is copied to make one")]
    pub const EMPTY: Self = Self {
        buckets: [const { AtomicU64::new(0) }; LATENCY_BUCKETS],
        sampled: AtomicU64::new(0),
        overwritten: AtomicU64::new(0),
        mismatched: AtomicU64::new(0),
        not_followed: AtomicU64::new(0),
        reserved: [0; 4],
    };
}

/// Slots for sampled transactions under way, a power of two. At the budget of samples, a few thousand a second, that is
/// seconds' worth.
pub const OPEN_TRANSACTIONS: usize = 1 << 14;

/// A sampled transaction under way. Its place is given by its hash; another one that needs the place takes it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Transaction {
    /// The whole hash; zero: nothing is under way here.
    pub tag: AtomicU64,
    /// `CLOCK_MONOTONIC` at the query, in nanoseconds.
    pub since: AtomicU64,
}

/// Slots for exchanges over TCP under way, a power of two.
pub const OPEN_EXCHANGES: usize = 1 << 16;

/// An exchange over TCP under way: what the client sent last has not been answered yet. Its place is given by the hash of
/// its connection; another one that needs the place while this one is fresh is not followed.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Exchange {
    /// The whole hash of the connection; zero: nothing is under way here.
    pub tag: AtomicU64,
    /// `CLOCK_MONOTONIC` at its start, in nanoseconds, but for the lowest bit: set while the handshake of a connection
    /// on which the server speaks first is under way.
    pub since: AtomicU64,
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Latency>() == 3264 && align_of::<Latency>() == 64);
    assert!(offset_of!(Latency, sampled) == 3200 && offset_of!(Latency, not_followed) == 3224);
    assert!(size_of::<Transaction>() == 16 && offset_of!(Transaction, since) == 8);
    assert!(size_of::<Exchange>() == 16 && offset_of!(Exchange, since) == 8);
    assert!(OPEN_TRANSACTIONS.is_power_of_two() && OPEN_EXCHANGES.is_power_of_two());
};
