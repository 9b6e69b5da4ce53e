//! The memory that the kernel programs write and user space reads.
//!
//! Both sides are compiled from these definitions; the assertions at the end hold for either target, so a difference in
//! size, offset or alignment fails the build instead of a node.

/// Slots of the service table, a power of two: [`table`](crate::table) finds a hash without collisions for a few hundred
/// services in this many.
pub const TABLE_SLOTS: usize = 4096;

/// The most services (address, protocol, port) that one daemon can count.
pub const MAX_SERVICES: usize = 512;

/// What a service is known by. All fields are in the byte order of the wire, so that the programs compare what they
/// loaded without swapping bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// The service address: IPv6, or IPv4 as `::ffff:a.b.c.d`; the two halves of
    /// its sixteen bytes, loaded as one native number.
    pub address: [u64; 2],
    /// Port, as two bytes of the wire.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Keeps the size a multiple of the alignment; always zero.
    pub reserved: [u8; 5],
}

/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

impl ServiceKey {
    /// The key of a service at an IPv4 address.
    ///
    /// `port` is in host order.
    #[inline(always)]
    #[must_use]
    pub const fn ipv4(address: [u8; 4], protocol: u8, port: u16) -> Self {
        let [a, b, c, d] = address;
        Self::ipv6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d], protocol, port)
    }

    /// The key of a service at an IPv6 address.
    ///
    /// `port` is in host order.
    #[inline(always)]
    #[must_use]
    pub const fn ipv6(address: [u8; 16], protocol: u8, port: u16) -> Self {
        let address = u128::from_ne_bytes(address);
        Self {
            address: [address as u64, (address >> 64) as u64],
            port: port.to_be(),
            protocol,
            reserved: [0; 5],
        }
    }
}

/// How the packets of a service are told into queries and answers.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// DNS over UDP: QR=0 in is a query, QR=1 out an answer.
    DnsUdp = 1,
}

/// One slot of the service table. All zeros: nobody lives here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The service that lives here.
    pub key: ServiceKey,
    /// A [`Classifier`], or zero in an empty slot.
    pub classifier: u32,
    /// Index of the service's [`Counters`] of CPU 0 in the bank; those of the other CPUs follow.
    pub bank: u32,
}

impl Slot {
    /// A slot in which nobody lives.
    pub const EMPTY: Self = Self {
        key: ServiceKey {
            address: [0; 2],
            port: 0,
            protocol: 0,
            reserved: [0; 5],
        },
        classifier: 0,
        bank: 0,
    };
}

/// The service table: user space finds a multiplier under which no two services share a slot, so a look-up is one
/// multiplication, one load and one comparison.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Table {
    /// Multiplier of [`table::slot_of`](crate::table::slot_of).
    pub multiplier: u64,
    /// The slots.
    pub slots: [Slot; TABLE_SLOTS],
}

impl Table {
    /// A table without a service. It is large: keep it in a box.
    #[expect(clippy::large_stack_arrays, reason = "a constant; who uses it boxes it")]
    pub const EMPTY: Self = Self {
        multiplier: 1,
        slots: [Slot::EMPTY; TABLE_SLOTS],
    };
}

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

/// Counters of one service on one CPU. They only grow, and wrap after 2⁶⁴.
///
/// One CPU writes them with plain increments: XDP, tc ingress and tc egress run with bottom halves disabled, so nothing
/// else on that CPU comes between. They fill whole cache lines, so CPUs don't share one.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries that arrived.
    pub queries: u64,
    /// Answers that left and that this host sent.
    pub answers: u64,
    /// All packets that arrived for the service's address and port.
    pub packets_in: u64,
    /// All packets that this host sent from the service's address and port.
    pub packets_out: u64,
    /// Answers with the TC flag (truncated: the client asks again over TCP).
    pub truncated: u64,
    /// Answers by rcode, see [`RCODE_NAMES`].
    pub responses: [u64; RCODES],
    /// Fills the last cache line; always zero.
    pub reserved: [u64; 3],
}

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnclassifiedCounters {
    /// By the value of [`Unclassified`].
    pub by_reason: [u64; UNCLASSIFIED_REASONS],
    /// Fills the cache line; always zero.
    pub reserved: [u64; 4],
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(TABLE_SLOTS.is_power_of_two());
    assert!(size_of::<ServiceKey>() == 24 && align_of::<ServiceKey>() == 8);
    assert!(offset_of!(ServiceKey, port) == 16 && offset_of!(ServiceKey, protocol) == 18);
    assert!(size_of::<Slot>() == 32 && align_of::<Slot>() == 8);
    assert!(offset_of!(Slot, classifier) == 24 && offset_of!(Slot, bank) == 28);
    assert!(size_of::<Table>() == 8 + 32 * TABLE_SLOTS && offset_of!(Table, slots) == 8);
    assert!(size_of::<Counters>() == 192 && align_of::<Counters>() == 64);
    assert!(offset_of!(Counters, answers) == 8 && offset_of!(Counters, responses) == 40);
    assert!(size_of::<UnclassifiedCounters>() == 64 && align_of::<UnclassifiedCounters>() == 64);
};
