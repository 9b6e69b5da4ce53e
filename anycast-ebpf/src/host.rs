//! The maps as memory of a process, so that packets can be counted on the host as the programs count them: in tests, by
//! fuzzing, and for the few packets of a capture that the kernel doesn't take for a test run.

extern crate alloc;
use alloc::{
    alloc::{Layout, alloc_zeroed, handle_alloc_error},
    boxed::Box,
    vec::Vec,
};

use crate::{
    layout::{
        Counter, Counters, Exchange, Latency, OPEN_EXCHANGES, OPEN_TRANSACTIONS, Services, Settings, Slot, Transaction,
        UnclassifiedCounters,
    },
    packet::View,
    record::{Memory, record, record_sent},
    table::{self, NoPerfectHash},
};

/// Counts on the host, as one CPU.
pub struct Host {
    services: Box<Services>,
    memory: HostMemory,
}

/// What is counted. Services are found by the `bank` of their slots.
#[derive(Debug)]
pub struct HostMemory {
    /// By the slots' `bank`.
    pub counters: Vec<Counters>,
    /// Of packets that could not be classified.
    pub unclassified: UnclassifiedCounters,
    /// By the slots' `service`.
    pub latency: Vec<Latency>,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
    /// Sampled transactions under way, at the places that their hashes give them.
    pub transactions: Vec<Transaction>,
    /// Exchanges over TCP under way, likewise.
    pub exchanges: Vec<Exchange>,
}

impl Host {
    /// Counts for the services in `slots`; `locals` are the addresses that are no clients, `sample_mask` and `secret`
    /// those of [`Settings`].
    pub fn new(slots: &[Slot], locals: &[[u64; 2]], sample_mask: u64, secret: u64) -> Result<Self, NoPerfectHash> {
        let mut services = zeroed();
        let Services {
            settings,
            tables: [active, _],
        } = &mut *services;
        let Settings {
            sample_mask: mask,
            secret: key,
            ..
        } = settings;
        *mask.get_mut() = sample_mask;
        *key.get_mut() = secret | 1;
        table::fill(active, slots, locals)?;
        let places = |of: fn(&Slot) -> usize| slots.iter().map(of).max().map_or(0, |highest| highest + 1);
        Ok(Self {
            services,
            memory: HostMemory {
                counters: (0..places(|slot| slot.bank as usize))
                    .map(|_| Counters::default())
                    .collect(),
                unclassified: UnclassifiedCounters::default(),
                latency: (0..places(|slot| slot.service.into()))
                    .map(|_| Latency::EMPTY)
                    .collect(),
                now: 0,
                transactions: (0..OPEN_TRANSACTIONS).map(|_| Transaction::default()).collect(),
                exchanges: (0..OPEN_EXCHANGES).map(|_| Exchange::default()).collect(),
            },
        })
    }

    /// Counts a packet.
    pub fn record(&self, packet: &[u8], view: View) {
        record(&self.memory, &self.services, &packet, view, || packet);
    }

    /// Counts a packet that leaves a socket of the server, from its IP header on.
    pub fn record_sent(&self, packet: &[u8]) {
        record_sent(&self.memory, &self.services, &packet);
    }

    /// What was counted.
    #[must_use]
    pub const fn memory(&self) -> &HostMemory {
        &self.memory
    }

    /// Sets the time, in nanoseconds.
    pub const fn set_time(&mut self, now: u64) {
        self.memory.now = now;
    }
}

/// Made in place: it is too large for a stack.
fn zeroed() -> Box<Services> {
    let layout = Layout::new::<Services>();
    // SAFETY: the layout is not of size zero.
    #[expect(clippy::cast_ptr_alignment, reason = "the allocator aligns as the layout says")]
    let memory = unsafe { alloc_zeroed(layout) }.cast::<Services>();
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: it was just allocated with the layout of a `Services`, which holds only integers: zero is a value of it.
    unsafe { Box::from_raw(memory) }
}

impl core::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Memory for HostMemory {
    fn counters(&self, bank: u32) -> Option<&Counters> {
        self.counters.get(bank as usize)
    }

    fn unclassified(&self) -> Option<&UnclassifiedCounters> {
        Some(&self.unclassified)
    }

    fn latency(&self, service: u16) -> Option<&Latency> {
        self.latency.get(usize::from(service))
    }

    fn transaction(&self, place: usize) -> Option<&Transaction> {
        self.transactions.get(place)
    }

    fn exchange(&self, place: usize) -> Option<&Exchange> {
        self.exchanges.get(place)
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn increment(&self, counter: &Counter) {
        counter.increment();
    }
}
