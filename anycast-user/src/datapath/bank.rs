//! The kernel's counters, mapped into memory.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anycast_ebpf::layout::{Counters, RCODES, UNCLASSIFIED_REASONS, UnclassifiedCounters};
use aya::{Ebpf, maps::Map};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::DatapathError;

/// The counters of one service, summed over the CPUs. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Queries that arrived.
    pub queries: u64,
    /// Answers that left.
    pub answers: u64,
    /// All packets that arrived for the service.
    pub packets_in: u64,
    /// All packets that left from it.
    pub packets_out: u64,
    /// Answers with the TC flag.
    pub truncated: u64,
    /// Answers by rcode, in the order of [`RCODE_NAMES`](anycast_ebpf::layout::RCODE_NAMES).
    pub responses: [u64; RCODES],
}

/// The counters of all services. Clones share the mapping, which goes when the last is dropped.
#[derive(Clone, Debug)]
pub struct Bank {
    counters: Arc<Mapping>,
    unclassified: Arc<Mapping>,
    services: usize,
    cpus: usize,
}

const COUNTERS_WORDS: usize = size_of::<Counters>() / size_of::<u64>();
const UNCLASSIFIED_WORDS: usize = size_of::<UnclassifiedCounters>() / size_of::<u64>();

impl Bank {
    pub(super) fn map(ebpf: &Ebpf, services: usize, cpus: usize) -> Result<Self, DatapathError> {
        Ok(Self {
            counters: Arc::new(Mapping::of(ebpf, "BANK", services.max(1) * cpus * COUNTERS_WORDS)?),
            unclassified: Arc::new(Mapping::of(ebpf, "UNCLASSIFIED", cpus * UNCLASSIFIED_WORDS)?),
            services,
            cpus,
        })
    }

    pub(super) fn cpus(&self) -> usize {
        self.cpus
    }

    /// Number of services.
    #[must_use]
    pub fn services(&self) -> usize {
        self.services
    }

    /// Reads the queries and answers of the `service`th service, the two that every tick needs.
    ///
    /// Memory reads only. A service that doesn't exist has none.
    #[must_use]
    pub fn queries_and_answers(&self, service: usize) -> (u64, u64) {
        self.of_service(service).fold((0, 0), |(queries, answers), counters| {
            (queries + word(counters, 0), answers + word(counters, 1))
        })
    }

    /// Reads all counters of the `service`th service.
    #[must_use]
    pub fn read(&self, service: usize) -> Reading {
        let mut sum = [0_u64; COUNTERS_WORDS];
        for counters in self.of_service(service) {
            for (sum, word) in sum.iter_mut().zip(counters) {
                *sum += word.load(Ordering::Relaxed);
            }
        }
        let [queries, answers, packets_in, packets_out, truncated, rest @ ..] = sum;
        let mut responses = [0; RCODES];
        for (response, word) in responses.iter_mut().zip(rest) {
            *response = word;
        }
        Reading {
            queries,
            answers,
            packets_in,
            packets_out,
            truncated,
            responses,
        }
    }

    /// Packets that could not be classified, by the value of
    /// [`Unclassified`](anycast_ebpf::layout::Unclassified).
    #[must_use]
    pub fn unclassified(&self) -> [u64; UNCLASSIFIED_REASONS] {
        let mut sum = [0; UNCLASSIFIED_REASONS];
        for counters in self.unclassified.words().chunks_exact(UNCLASSIFIED_WORDS) {
            for (sum, word) in sum.iter_mut().zip(counters) {
                *sum += word.load(Ordering::Relaxed);
            }
        }
        sum
    }

    /// The counters of one service, an item a CPU.
    fn of_service(&self, service: usize) -> impl Iterator<Item = &[AtomicU64]> {
        let words = self.cpus * COUNTERS_WORDS;
        self.counters
            .words()
            .get(service * words..(service + 1) * words)
            .unwrap_or_default()
            .chunks_exact(COUNTERS_WORDS)
    }
}

fn word(counters: &[AtomicU64], index: usize) -> u64 {
    counters.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
}

/// The memory of a `BPF_F_MMAPABLE` array, read-only.
#[derive(Debug)]
struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to no thread, and all access is by atomic loads.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn of(ebpf: &Ebpf, name: &'static str, words: usize) -> Result<Self, DatapathError> {
        let Some(Map::Array(map)) = ebpf.map(name) else {
            return Err(DatapathError::Missing(name));
        };
        let length = NonZeroUsize::new(words * size_of::<u64>()).ok_or(DatapathError::Missing(name))?;
        // SAFETY: a new mapping, at an address of the kernel's choice; nothing else refers to it.
        let start = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE,
                map.fd().as_fd(),
                0,
            )
        }
        .map_err(|errno| DatapathError::Mmap(errno.into()))?;
        Ok(Self {
            start: start.cast(),
            words,
        })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is the page-aligned start of a mapping of `words` words that lives as long as `self`. The kernel
        // writes them as whole words; we only load, which is sound for read-only memory where, as on all 64-bit
        // targets, a relaxed atomic load is a plain one.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of `mmap`, and no reference outlives `self`.
        let unmapped = unsafe { munmap(self.start.cast(), self.words * size_of::<u64>()) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping of our own");
    }
}

const _: () = {
    // `Bank::read` takes the fields in this order.
    use std::mem::offset_of;
    assert!(offset_of!(Counters, queries) == 0 && offset_of!(Counters, answers) == 8);
    assert!(offset_of!(Counters, packets_in) == 16 && offset_of!(Counters, packets_out) == 24);
    assert!(offset_of!(Counters, truncated) == 32 && offset_of!(Counters, responses) == 40);
    assert!(offset_of!(UnclassifiedCounters, by_reason) == 0);
};
