//! The memory that the kernel programs write and user space reads.
//!
//! Both sides are compiled from these definitions; the assertions at the end of each file hold for either target, so a
//! difference in size, offset or alignment fails the build instead of a node.

mod counters;
mod latency;
mod services;

pub(crate) use self::services::{halves, ipv4_mapped, is_loopback};
pub use self::{
    counters::{
        Counter, Counters, RCODE_NAMES, RCODES, SERVFAIL, UNCLASSIFIED_NAMES, UNCLASSIFIED_REASONS, Unclassified,
        UnclassifiedCounters,
    },
    latency::{Exchange, LATENCY_BUCKETS, Latency, OPEN_EXCHANGES, OPEN_TRANSACTIONS, Transaction},
    services::{
        LOCAL_ADDRESSES_MAX, LOCAL_SLOTS, SERVICES_MAX, ServiceKey, Services, Settings, Slot, TABLE_SLOTS, Table,
    },
};

/// Changes whenever a map's layout or meaning does: programs and daemons of different versions must not share maps.
pub const LAYOUT_VERSION: u32 = 3;

/// The most sockets whose answers can be counted as they leave.
pub const SERVER_SOCKETS_MAX: u32 = 4096;
/// The most links by which answers are counted as they leave sockets.
pub const WAYS_OUT_MAX: u32 = 8192;

/// IP protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
