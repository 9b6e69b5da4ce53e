//! The maps, and the only code that touches their memory.

use anycast_ebpf::{
    layout::{
        Counter, Counters, Exchange, Latency, OPEN_EXCHANGES, OPEN_TRANSACTIONS, SERVER_SOCKETS_MAX, Services,
        Transaction, UnclassifiedCounters, WAYS_OUT_MAX,
    },
    packet::Tunnels,
    record::Memory,
};
use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, HashMap},
};

/// The services, written by user space through a mapping.
#[map]
static SERVICES: Array<Services> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Counters by service and CPU; user space sets the number of entries and maps the memory.
#[map]
static BANK: Array<Counters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Unclassified packets by CPU; user space sets the number of entries and maps the memory.
#[map]
static UNCLASSIFIED: Array<UnclassifiedCounters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Latency by service; user space sets the number of entries and maps the memory.
#[map]
static LATENCY: Array<Latency> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Sampled transactions under way.
#[map]
static TRANSACTIONS: Array<Transaction> = Array::with_max_entries(OPEN_TRANSACTIONS as u32, 0);

/// Exchanges over TCP under way.
#[map]
static EXCHANGES: Array<Exchange> = Array::with_max_entries(OPEN_EXCHANGES as u32, 0);

/// The server's sockets, by cookie: what others send is no evidence that the server lives. Of another network namespace
/// on this host, for one, where another server may have the same address. User space keeps it up to date while answers
/// are counted as they leave sockets.
#[map]
static SERVER_SOCKETS: HashMap<u64, u8> = HashMap::with_max_entries(SERVER_SOCKETS_MAX, 0);

/// The links, by index, by which answers leave for an uplink that is watched. What leaves by another was not lost: it is
/// only not seen.
#[map]
static WAYS_OUT: HashMap<u32, u8> = HashMap::with_max_entries(WAYS_OUT_MAX, 0);

// Read-only for the programs and frozen before they are verified: the kernel removes the branches that aren't taken.

/// Not zero: counters are added to atomically. User space sets it where bottom halves don't keep other programs off a
/// CPU, on `PREEMPT_RT`.
#[unsafe(no_mangle)]
static ATOMIC_COUNTERS: Global<u8> = Global::new(0);

/// Not zero: every socket is the server's, as for test runs, in which the kernel makes one for each packet.
#[unsafe(no_mangle)]
static ANY_SOCKET: Global<u8> = Global::new(0);

/// Not zero: IP in IP is looked through.
#[unsafe(no_mangle)]
static LOOK_THROUGH_IP_IN_IP: Global<u8> = Global::new(0);

/// UDP port of GUE to look through, in host order; zero: none.
#[unsafe(no_mangle)]
static GUE_PORT: Global<u16> = Global::new(0);

pub(crate) fn tunnels() -> Tunnels {
    Tunnels {
        ip_in_ip: LOOK_THROUGH_IP_IN_IP.load() != 0,
        gue_port: GUE_PORT.load(),
    }
}

#[inline(always)]
pub(crate) fn services() -> Option<&'static Services> {
    let services = SERVICES.get_ptr(0)?;
    // SAFETY: the map's memory lives as long as the program. User space writes only the header, of atomics, and the
    // table that isn't active; it makes a table active after it has written it, and waits before it writes to the other.
    Some(unsafe { &*services })
}

/// Whether this is one of the server's sockets.
#[inline(always)]
pub(crate) fn is_server_socket(cookie: u64) -> bool {
    SERVER_SOCKETS.get_ptr(cookie).is_some() || ANY_SOCKET.load() != 0
}

/// Whether what leaves by the link of this index should be seen at an uplink.
#[inline(always)]
pub(crate) fn is_way_out(link: u32) -> bool {
    WAYS_OUT.get_ptr(link).is_some()
}

/// What the maps hold, for the CPU that the program runs on.
pub(crate) struct Maps;

impl Memory for Maps {
    #[inline(always)]
    fn counters(&self, bank: u32) -> Option<&Counters> {
        let counters = BANK.get_ptr(bank.wrapping_add(cpu()))?;
        // SAFETY: the map's memory lives as long as the program, and all access to it is atomic.
        Some(unsafe { &*counters })
    }

    #[inline(always)]
    fn unclassified(&self) -> Option<&UnclassifiedCounters> {
        let counters = UNCLASSIFIED.get_ptr(cpu())?;
        // SAFETY: as for `counters`.
        Some(unsafe { &*counters })
    }

    #[inline(always)]
    fn latency(&self, service: u16) -> Option<&Latency> {
        let latency = LATENCY.get_ptr(u32::from(service))?;
        // SAFETY: as for `counters`.
        Some(unsafe { &*latency })
    }

    #[inline(always)]
    fn transaction(&self, place: usize) -> Option<&Transaction> {
        let transaction = TRANSACTIONS.get_ptr(place as u32)?;
        // SAFETY: as for `counters`.
        Some(unsafe { &*transaction })
    }

    #[inline(always)]
    fn exchange(&self, place: usize) -> Option<&Exchange> {
        let exchange = EXCHANGES.get_ptr(place as u32)?;
        // SAFETY: as for `counters`.
        Some(unsafe { &*exchange })
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper takes nothing and is allowed in every type of program.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn increment(&self, counter: &Counter) {
        if ATOMIC_COUNTERS.load() == 0 {
            // The element is this CPU's, on which bottom halves stay disabled while a program of ours runs.
            counter.increment();
        } else {
            counter.increment_shared();
        }
    }
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: the helper takes nothing and is allowed in every type of program.
    unsafe { bpf_get_smp_processor_id() }
}
