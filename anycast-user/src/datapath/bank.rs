//! The kernel's counters, mapped into memory.

use std::{
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anycast_ebpf::layout::{
    Counter, Counters, LATENCY_BUCKETS, Latency, RCODES, SERVFAIL, SERVICES_MAX, UNCLASSIFIED_REASONS,
    UnclassifiedCounters,
};
use aya::Ebpf;

use super::{DatapathError, SimulatedPrograms, mapping::Counted};
use crate::detect::Counts;

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
    /// Signs that nobody listens: ICMP port unreachable, TCP RST.
    pub hints: u64,
    /// Packets that arrived from an address of this host or of a service.
    pub local_sources: u64,
    /// Answers that left the server's sockets for another host, while they were counted there.
    pub local_answers: u64,
}

/// How long the sampled transactions of a service took, and how many samples were lost. All of it only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyReading {
    /// Transactions by the time they took; what a bucket spans says
    /// [`bucket_start`](anycast_ebpf::latency::bucket_start).
    pub buckets: [u64; LATENCY_BUCKETS],
    /// Queries that were sampled.
    pub sampled: u64,
    /// Samples lost because another one needed their slot.
    pub overwritten: u64,
    /// Answers to sampled queries that were not under way any more.
    pub mismatched: u64,
    /// Exchanges over TCP that were not followed because their slot was taken.
    pub not_followed: u64,
}

impl LatencyReading {
    /// Nothing was sampled.
    pub const NOTHING: Self = Self {
        buckets: [0; LATENCY_BUCKETS],
        sampled: 0,
        overwritten: 0,
        mismatched: 0,
        not_followed: 0,
    };
}

/// The counters of all services. Clones share the mapping, which goes when the last is dropped.
#[derive(Clone, Debug)]
pub struct Bank {
    counters: Arc<Counted>,
    unclassified: Arc<Counted>,
    latency: Arc<Counted>,
    /// The places of the services, in the order in which the daemon knows them.
    numbers: Arc<[u16]>,
    cpus: usize,
}

pub(super) const COUNTERS_WORDS: usize = size_of::<Counters>() / size_of::<u64>();
const UNCLASSIFIED_WORDS: usize = size_of::<UnclassifiedCounters>() / size_of::<u64>();
const LATENCY_WORDS: usize = size_of::<Latency>() / size_of::<u64>();

impl Bank {
    pub(super) fn map(ebpf: &Ebpf, numbers: Vec<u16>, cpus: usize) -> Result<Self, DatapathError> {
        Ok(Self {
            counters: Arc::new(Counted::of(ebpf, "BANK", SERVICES_MAX * cpus * COUNTERS_WORDS)?),
            unclassified: Arc::new(Counted::of(ebpf, "UNCLASSIFIED", cpus * UNCLASSIFIED_WORDS)?),
            latency: Arc::new(Counted::of(ebpf, "LATENCY", SERVICES_MAX * LATENCY_WORDS)?),
            numbers: numbers.into(),
            cpus,
        })
    }

    /// The bank in the maps that `descriptor` gives by their names.
    pub(super) fn of_descriptors<'map>(
        descriptor: impl Fn(&'static str) -> BorrowedFd<'map>,
        numbers: Vec<u16>,
        cpus: usize,
    ) -> Result<Self, DatapathError> {
        let counted = |name, words| Counted::of_descriptor(descriptor(name), name, words).map(Arc::new);
        Ok(Self {
            counters: counted("BANK", SERVICES_MAX * cpus * COUNTERS_WORDS)?,
            unclassified: counted("UNCLASSIFIED", cpus * UNCLASSIFIED_WORDS)?,
            latency: counted("LATENCY", SERVICES_MAX * LATENCY_WORDS)?,
            numbers: numbers.into(),
            cpus,
        })
    }

    /// A bank of the same layout in the process's own memory, for this many services and CPUs, at most
    /// [`SERVICES_MAX`] services, and what counts in it instead of the programs.
    pub fn without_programs(services: u16, cpus: usize) -> Result<(Self, SimulatedPrograms), DatapathError> {
        let places = usize::from(services);
        let (programs, counters) = SimulatedPrograms::new(places * cpus * COUNTERS_WORDS)?;
        let bank = Self {
            counters,
            unclassified: Arc::new(Counted::anonymous(cpus * UNCLASSIFIED_WORDS)?),
            latency: Arc::new(Counted::anonymous(places * LATENCY_WORDS)?),
            numbers: (0..services).collect(),
            cpus,
        };
        Ok((bank, programs))
    }

    /// The same memory, read as that of other services.
    pub(super) fn with_numbers(&self, numbers: Vec<u16>) -> Self {
        Self {
            numbers: numbers.into(),
            ..self.clone()
        }
    }

    pub(super) fn numbers(&self) -> &[u16] {
        &self.numbers
    }

    /// Number of services.
    #[must_use]
    pub fn services(&self) -> usize {
        self.numbers.len()
    }

    /// Number of places that a service has in it: one more than the highest number of a CPU.
    #[must_use]
    pub const fn cpus(&self) -> usize {
        self.cpus
    }

    /// Reads what every tick needs of the `service`th service, a cache line for each CPU. The answers that left its sockets
    /// are not among it, see [`Bank::local_answers`].
    ///
    /// Memory reads only. `None` of a service that doesn't exist.
    #[must_use]
    pub fn counts(&self, service: usize) -> Option<Counts> {
        self.numbers.get(service)?;
        let (places, _) = self.of_service(service).as_chunks::<COUNTERS_WORDS>();
        let mut counts = Counts::default();
        for [queries, answers, packets, _, hints, responses @ ..] in places {
            counts.queries += queries.load(Ordering::Relaxed);
            counts.answers += answers.load(Ordering::Relaxed);
            counts.packets += packets.load(Ordering::Relaxed);
            counts.hints += hints.load(Ordering::Relaxed);
            counts.servfails += word(responses, SERVFAIL);
        }
        Some(counts)
    }

    /// Reads how many answers left the sockets of the `service`th service for another host, as long as they were counted
    /// there. Memory reads only.
    #[must_use]
    pub fn local_answers(&self, service: usize) -> u64 {
        let (places, _) = self.of_service(service).as_chunks::<COUNTERS_WORDS>();
        places
            .iter()
            .map(|[.., local_answers]| local_answers.load(Ordering::Relaxed))
            .sum()
    }

    /// Reads all counters of the `service`th service.
    #[must_use]
    pub fn read(&self, service: usize) -> Reading {
        let mut sum = [0_u64; COUNTERS_WORDS];
        for counters in self.of_service(service).chunks_exact(COUNTERS_WORDS) {
            for (sum, word) in sum.iter_mut().zip(counters) {
                *sum += word.load(Ordering::Relaxed);
            }
        }
        let [
            queries,
            answers,
            packets_in,
            packets_out,
            hints,
            responses @ ..,
            truncated,
            local_sources,
            local_answers,
        ] = sum;
        Reading {
            queries,
            answers,
            packets_in,
            packets_out,
            truncated,
            responses,
            hints,
            local_sources,
            local_answers,
        }
    }

    /// Reads the latency of the `service`th service. A service that doesn't exist has none.
    #[must_use]
    pub fn latency(&self, service: usize) -> LatencyReading {
        let words = self.place(service, &self.latency, LATENCY_WORDS);
        LatencyReading {
            buckets: std::array::from_fn(|bucket| word(words, bucket)),
            sampled: word(words, LATENCY_BUCKETS),
            overwritten: word(words, LATENCY_BUCKETS + 1),
            mismatched: word(words, LATENCY_BUCKETS + 2),
            not_followed: word(words, LATENCY_BUCKETS + 3),
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

    /// The counters of one service, of one CPU after the other.
    fn of_service(&self, service: usize) -> &[AtomicU64] {
        self.place(service, &self.counters, self.cpus * COUNTERS_WORDS)
    }

    /// The `words` of one service.
    fn place<'mapping>(&self, service: usize, counted: &'mapping Counted, words: usize) -> &'mapping [AtomicU64] {
        // Not by `chunks_exact`, which divides: that would be most of what a tick costs.
        let place = |&number: &u16| counted.words().get(usize::from(number) * words..)?.get(..words);
        self.numbers.get(service).and_then(place).unwrap_or_default()
    }
}

impl From<&Counters> for Reading {
    fn from(counters: &Counters) -> Self {
        let Counters {
            queries,
            answers,
            packets_in,
            packets_out,
            truncated,
            responses,
            hints,
            local_sources,
            local_answers,
        } = counters;
        Self {
            queries: queries.get(),
            answers: answers.get(),
            packets_in: packets_in.get(),
            packets_out: packets_out.get(),
            truncated: truncated.get(),
            responses: responses.each_ref().map(Counter::get),
            hints: hints.get(),
            local_sources: local_sources.get(),
            local_answers: local_answers.get(),
        }
    }
}

fn word(words: &[AtomicU64], index: usize) -> u64 {
    words.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
}

const _: () = {
    // `Bank` takes the fields in this order.
    use std::mem::offset_of;
    assert!(offset_of!(Counters, queries) == 0 && offset_of!(Counters, answers) == 8);
    assert!(offset_of!(Counters, packets_in) == 16 && offset_of!(Counters, packets_out) == 24);
    assert!(offset_of!(Counters, hints) == 32 && offset_of!(Counters, responses) == 40);
    assert!(offset_of!(Counters, truncated) == 168 && offset_of!(Counters, local_sources) == 176);
    assert!(offset_of!(Counters, local_answers) == 184 && size_of::<Counters>() == 192);
    assert!(offset_of!(UnclassifiedCounters, by_reason) == 0);
    assert!(offset_of!(Latency, buckets) == 0 && offset_of!(Latency, sampled) == 8 * LATENCY_BUCKETS);
    assert!(offset_of!(Latency, overwritten) == 8 * (LATENCY_BUCKETS + 1));
    assert!(offset_of!(Latency, mismatched) == 8 * (LATENCY_BUCKETS + 2));
    assert!(offset_of!(Latency, not_followed) == 8 * (LATENCY_BUCKETS + 3));
};
