//! Which services there are: written by user space, looked up by the programs.

use core::sync::atomic::AtomicU64;

/// Slots of the service table, a power of two: [`table`](crate::table) finds a hash without collisions for
/// [`SERVICES_MAX`] services in this many.
pub const TABLE_SLOTS: usize = 8192;
/// The most services (address, protocol, port) that one daemon can count.
pub const SERVICES_MAX: usize = 384;
/// Slots for addresses that are no clients, a power of two.
pub const LOCAL_SLOTS: usize = 16384;
/// The most addresses that are no clients.
pub const LOCAL_ADDRESSES_MAX: usize = 512;

/// What a service is known by: 24 bytes that are compared as three numbers. What comes from the wire stays in its byte
/// order, so that the programs compare what they loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// The service address: IPv6, or IPv4 as `::ffff:a.b.c.d`; the two halves of its sixteen bytes, loaded as one
    /// native number each.
    pub address: [u64; 2],
    /// Port, two bytes of the wire loaded as a native number, and above it the IP protocol number.
    pub endpoint: u64,
}

impl ServiceKey {
    /// The key of a service; `wire_port` is the port's two bytes of the wire, loaded as a native number.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: [u64; 2], protocol: u8, wire_port: u16) -> Self {
        Self {
            address,
            endpoint: (protocol as u64) << 16 | wire_port as u64,
        }
    }

    /// The key of a service at an IPv4 address.
    ///
    /// `port` is in host order.
    #[must_use]
    pub const fn ipv4(address: [u8; 4], protocol: u8, port: u16) -> Self {
        Self::new(ipv4_mapped(u32::from_ne_bytes(address)), protocol, port.to_be())
    }

    /// The key of a service at an IPv6 address.
    ///
    /// `port` is in host order.
    #[must_use]
    pub const fn ipv6(address: [u8; 16], protocol: u8, port: u16) -> Self {
        Self::new(halves(address), protocol, port.to_be())
    }

    /// IP protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.endpoint >> 16) as u8
    }

    /// The port, two bytes of the wire loaded as a native number.
    #[inline(always)]
    #[must_use]
    pub const fn wire_port(&self) -> u16 {
        self.endpoint as u16
    }
}

/// The halves of `::ffff:a.b.c.d`, from the four bytes of the address loaded as a native number.
#[inline(always)]
#[must_use]
pub(crate) const fn ipv4_mapped(wire_address: u32) -> [u64; 2] {
    [
        0,
        if cfg!(target_endian = "little") {
            (wire_address as u64) << 32 | 0xffff_0000
        } else {
            0xffff_0000_0000 | wire_address as u64
        },
    ]
}

/// The halves of an address, each loaded as a native number.
#[inline(always)]
#[must_use]
pub(crate) const fn halves(address: [u8; 16]) -> [u64; 2] {
    let address = u128::from_ne_bytes(address);
    if cfg!(target_endian = "little") {
        [address as u64, (address >> 64) as u64]
    } else {
        [(address >> 64) as u64, address as u64]
    }
}

/// Whether the halves are those of an address of loopback: `127.0.0.0/8` or `::1`.
#[inline(always)]
#[must_use]
pub(crate) const fn is_loopback(address: [u64; 2]) -> bool {
    const IPV6: [u64; 2] = halves([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let [high, low] = address;
    let is_ipv4 = high == 0 && matches!(low.to_ne_bytes(), [0, 0, 0xff, 0xff, 127, ..]);
    is_ipv4 || high == IPV6[0] && low == IPV6[1]
}

/// One slot of the service table. All zeros: nobody lives here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The service that lives here.
    pub key: ServiceKey,
    /// A [`Classifier`](crate::classify::Classifier), or zero in an empty slot.
    pub classifier: u16,
    /// The service's number: the index of its [`Latency`](super::Latency).
    pub service: u16,
    /// Index of the service's [`Counters`](super::Counters) of CPU 0 in the bank; those of the other CPUs follow.
    pub bank: u32,
}

impl Slot {
    /// A slot in which nobody lives.
    pub const EMPTY: Self = Self {
        key: ServiceKey {
            address: [0; 2],
            endpoint: 0,
        },
        classifier: 0,
        service: 0,
        bank: 0,
    };
}

/// The services, and the addresses that are no clients. User space finds a multiplier for each under which no two share
/// a slot, so a look-up is a few multiplications, one load and one comparison.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Table {
    /// Multiplier of [`table::slot_of`](crate::table::slot_of).
    pub multiplier: u64,
    /// Multiplier of the addresses below.
    pub local_multiplier: u64,
    /// Fills the cache line, so that no slot lies in two; always zero.
    pub reserved: [u64; 6],
    /// The services.
    pub slots: [Slot; TABLE_SLOTS],
    /// A bit for each of `locals` that is taken: so few cache lines that all of them stay close, and clients are told
    /// from others by them alone but for one in thirty.
    pub locals_taken: [u64; LOCAL_SLOTS / 64],
    /// Addresses of this host and of its services, like [`ServiceKey::address`].
    pub locals: [[u64; 2]; LOCAL_SLOTS],
}

impl Table {
    /// A table without a service. It is large: keep it in a box.
    #[expect(clippy::large_stack_arrays, reason = "a constant; who uses it boxes it")]
    pub const EMPTY: Self = Self {
        multiplier: 1,
        local_multiplier: 1,
        reserved: [0; 6],
        slots: [Slot::EMPTY; TABLE_SLOTS],
        locals_taken: [0; LOCAL_SLOTS / 64],
        locals: [[0; 2]; LOCAL_SLOTS],
    };
}

/// What stands before the tables, in a cache line of its own.
#[repr(C, align(64))]
pub struct Settings {
    /// Index of the table to look in.
    pub active: AtomicU64,
    /// A transaction is sampled when its hash has none of these bits, which are in the upper half, where a product mixes
    /// best.
    pub sample_mask: AtomicU64,
    /// Keys the hash of transactions, so that nobody outside can choose which are sampled. Odd, and never zero.
    pub secret: AtomicU64,
    /// No number from this one on has ever been given to a service.
    pub numbers_given: AtomicU64,
    /// Fills the cache line; always zero.
    pub reserved: [u64; 4],
}

/// All that user space tells the programs. It fills the table that isn't active and then makes it the active one, so the
/// programs never see half of a change.
#[repr(C)]
pub struct Services {
    /// Written at any time.
    pub settings: Settings,
    /// The tables.
    pub tables: [Table; 2],
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(TABLE_SLOTS.is_power_of_two() && LOCAL_SLOTS.is_power_of_two());
    assert!(size_of::<ServiceKey>() == 24 && align_of::<ServiceKey>() == 8);
    assert!(size_of::<Slot>() == 32 && align_of::<Slot>() == 8);
    assert!(offset_of!(Slot, classifier) == 24 && offset_of!(Slot, service) == 26 && offset_of!(Slot, bank) == 28);
    assert!(
        size_of::<Table>() == 64 + 32 * TABLE_SLOTS + LOCAL_SLOTS / 8 + 16 * LOCAL_SLOTS
            && offset_of!(Table, slots) == 64
    );
    assert!(
        size_of::<Services>() == (64 + 2 * size_of::<Table>()).next_multiple_of(64)
            && offset_of!(Services, tables) == 64
    );
    assert!(size_of::<Settings>() == 64 && align_of::<Settings>() == 64);
    assert!(offset_of!(Settings, sample_mask) == 8 && offset_of!(Settings, secret) == 16);
};
