//! What is counted, as small as it can be. All transactions and all exchanges share a slot, so that they get into each
//! other's way.

use std::{
    cell::Cell,
    mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anycast_ebpf::{
    layout::{Counter, Counters, Exchange, Latency, Transaction, UnclassifiedCounters},
    record::Memory,
};

use crate::services;

/// The maps, for one packet after the other.
pub(crate) struct OneCpu {
    pub(crate) now: u64,
    /// Whose counters the packet was given.
    bank: Cell<Option<u32>>,
    counters: Counters,
    unclassified: UnclassifiedCounters,
    latency: Latency,
    transaction: Transaction,
    exchange: Exchange,
    /// Of all packets.
    queries: u64,
    answers: u64,
}

/// What one packet has added.
#[derive(Debug)]
pub(crate) struct Counted {
    /// To whose counters.
    pub(crate) bank: Option<u32>,
    pub(crate) queries: u64,
    pub(crate) answers: u64,
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) truncated: u64,
    /// For all rcodes.
    pub(crate) responses: u64,
    pub(crate) hints: u64,
    pub(crate) local_sources: u64,
    pub(crate) local_answers: u64,
    /// For all reasons.
    pub(crate) unclassified: u64,
}

impl OneCpu {
    pub(crate) fn new() -> Self {
        Self {
            now: 1,
            bank: Cell::new(None),
            counters: Counters::default(),
            unclassified: UnclassifiedCounters::default(),
            latency: Latency::EMPTY,
            transaction: Transaction::default(),
            exchange: Exchange::default(),
            queries: 0,
            answers: 0,
        }
    }

    /// What the packet has added that came since the last call.
    pub(crate) fn take(&mut self) -> Counted {
        let counters = mem::take(&mut self.counters);
        let unclassified = mem::take(&mut self.unclassified);
        let counted = Counted {
            bank: self.bank.take(),
            queries: counters.queries.get(),
            answers: counters.answers.get(),
            packets_in: counters.packets_in.get(),
            packets_out: counters.packets_out.get(),
            truncated: counters.truncated.get(),
            responses: counters.responses.iter().map(Counter::get).sum(),
            hints: counters.hints.get(),
            local_sources: counters.local_sources.get(),
            local_answers: counters.local_answers.get(),
            unclassified: unclassified.by_reason.iter().map(Counter::get).sum(),
        };
        self.queries += counted.queries;
        self.answers += counted.answers;
        counted
    }

    /// A query is one transaction, however often it comes.
    pub(crate) fn check_repeated(&self) {
        let Latency {
            sampled, overwritten, ..
        } = &self.latency;
        assert!(read(sampled) <= 1 && read(overwritten) == 0, "sampled twice");
    }

    /// What was measured goes with what was counted.
    pub(crate) fn check_latency(&self) {
        let Latency {
            buckets,
            sampled,
            overwritten,
            mismatched,
            ..
        } = &self.latency;
        let measured: u64 = buckets.iter().map(read).sum();
        assert!(read(sampled) <= self.queries, "sampled without a query");
        assert!(
            measured + read(mismatched) <= self.answers,
            "measured without an answer"
        );
        assert!(
            measured + read(overwritten) <= read(sampled),
            "measured without a sample"
        );
    }
}

fn read(number: &AtomicU64) -> u64 {
    number.load(Relaxed)
}

impl Memory for OneCpu {
    fn counters(&self, bank: u32) -> Option<&Counters> {
        let before = self.bank.replace(Some(bank));
        assert!(before.is_none_or(|before| before == bank), "one packet, two services");
        Some(&self.counters)
    }

    fn unclassified(&self) -> Option<&UnclassifiedCounters> {
        Some(&self.unclassified)
    }

    fn latency(&self, service: u16) -> Option<&Latency> {
        assert!(usize::from(service) < services::COUNT, "a service that there isn't");
        Some(&self.latency)
    }

    fn transaction(&self, _: usize) -> Option<&Transaction> {
        Some(&self.transaction)
    }

    fn exchange(&self, _: usize) -> Option<&Exchange> {
        Some(&self.exchange)
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn increment(&self, counter: &Counter) {
        counter.increment();
    }
}
