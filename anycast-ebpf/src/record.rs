//! From a packet to the counters that it changes: the one place where the programs and the host decide what counts.

use crate::{
    atomic,
    classify::{self, Classifier, Message, rcode},
    exchange::{self, Event},
    latency::{self, Hash},
    layout::{
        Counter, Counters, Exchange, Latency, OPEN_EXCHANGES, PROTOCOL_TCP, PROTOCOL_UDP, Services, Slot, Table,
        Transaction, Unclassified, UnclassifiedCounters, is_loopback,
    },
    packet::{self, Direction, Flow, Followed, Framing, Packet, Segment, Take, Tunnels, View},
    table,
};

/// Where packets are counted: the maps of the programs, or the host's own memory.
pub trait Memory {
    /// The counters of the service at this place in the bank, of this CPU.
    fn counters(&self, bank: u32) -> Option<&Counters>;
    /// The counters of unclassified packets, of this CPU.
    fn unclassified(&self) -> Option<&UnclassifiedCounters>;
    /// The latency of the service of this number.
    fn latency(&self, service: u16) -> Option<&Latency>;
    /// The slot of a sampled transaction; `place` is less than
    /// [`OPEN_TRANSACTIONS`](crate::layout::OPEN_TRANSACTIONS).
    fn transaction(&self, place: usize) -> Option<&Transaction>;
    /// The slot of an exchange over TCP; `place` is less than [`OPEN_EXCHANGES`].
    fn exchange(&self, place: usize) -> Option<&Exchange>;
    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn now(&self) -> u64;
    /// Adds one to a counter.
    fn increment(&self, counter: &Counter);
}

/// The table that is to be looked in.
#[inline(always)]
#[must_use]
pub fn active_table(services: &Services) -> Option<&Table> {
    services
        .tables
        .get(atomic::load(&services.settings.active) as usize & 1)
}

/// The service in `table` that a packet belongs to; an error when its ports can't be reached.
#[inline(always)]
pub fn recognise<'table, P: Packet>(
    table: &'table Table,
    packet: &P,
    view: View,
) -> Result<Option<&'table Slot>, Unclassified> {
    Ok(match packet::follow(packet, view)? {
        Followed::Flow(flow) => table::find(table, &flow.service),
        Followed::Unreachable(_) | Followed::Other => None,
    })
}

/// Counts a packet. Where the common shapes don't fit, `whole` may say where more of the packet is to be had.
#[inline(always)]
pub fn record<M: Memory, P: Packet>(
    memory: &M,
    services: &Services,
    packet: &P,
    view: View,
    whole: impl FnOnce() -> P,
) {
    let Some(table) = active_table(services) else { return };
    let recorder = Recorder {
        memory,
        services,
        table,
        packet,
        direction: view.direction,
    };
    if packet::fast(packet, view, recorder).is_some() {
        return;
    }
    let packet = &whole();
    match packet::follow(packet, view) {
        Ok(Followed::Flow(flow)) => Recorder { packet, ..recorder }.take(&flow),
        Ok(Followed::Unreachable(service)) => {
            if let Some(counters) = table::find(table, &service).and_then(|slot| memory.counters(slot.bank)) {
                memory.increment(&counters.hints);
            }
        }
        Ok(Followed::Other) => {}
        Err(reason) => record_unclassified(memory, reason),
    }
}

/// Whether a packet that starts with its IP header is one of UDP, which follows at once: by a byte or two, for those who see
/// all that a host sends.
#[inline(always)]
#[must_use]
pub fn is_udp<P: Packet>(packet: &P) -> bool {
    // One bounds check; a header of either version is longer.
    packet.bytes::<10>(0).is_some_and(|start| {
        let &[version, _, _, _, _, _, next_header, _, _, protocol] = start;
        match version >> 4 {
            4 => protocol == PROTOCOL_UDP,
            6 => next_header == PROTOCOL_UDP,
            _ => false,
        }
    })
}

/// Counts an answer that leaves a socket of this host, as a cgroup's program sees it: a packet that starts with its IP
/// header, for which [`is_udp`] holds. What goes to this host is none: those who probe the service from here are answered over loopback, whatever is
/// wrong with the way out.
///
/// Of UDP only: an answer over TCP is told from a retransmission by its exchange, which is followed at the uplink.
#[inline(always)]
pub fn record_sent<M: Memory, P: Packet>(memory: &M, services: &Services, packet: &P) {
    let view = View {
        direction: Direction::Egress,
        framing: Framing::Ip,
        // This host wraps nothing.
        tunnels: Tunnels::default(),
    };
    if !is_udp(packet) {
        return;
    }
    let (Some(table), Ok(Followed::Flow(flow))) = (active_table(services), packet::follow(packet, view)) else {
        return;
    };
    if is_this_host(table, flow.client) {
        return;
    }
    let Some(slot) = table::find(table, &flow.service) else {
        return;
    };
    if let Ok(Message::Answer { .. }) = classify::message(slot.classifier, packet, &flow, Direction::Egress)
        && let Some(counters) = memory.counters(slot.bank)
    {
        // Not `Memory::increment`: whoever sends may be interrupted here by another who does.
        counters.local_answers.increment_shared();
    }
}

/// Whether an address is one of this host. Of loopback all are, and not only those that somebody has listed.
#[inline(always)]
fn is_this_host(table: &Table, address: [u64; 2]) -> bool {
    is_loopback(address) || table::is_local(table, address)
}

/// Counts what turns out to be a flow.
struct Recorder<'a, M, P> {
    memory: &'a M,
    services: &'a Services,
    table: &'a Table,
    packet: &'a P,
    direction: Direction,
}

impl<M, P> Clone for Recorder<'_, M, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, P> Copy for Recorder<'_, M, P> {}

impl<M: Memory, P: Packet> Take for Recorder<'_, M, P> {
    /// A packet of a service is counted as one whatever it carries.
    #[inline(always)]
    fn take(self, flow: &Flow) {
        let Self {
            memory,
            services,
            table,
            packet,
            direction,
        } = self;
        let Some(slot) = table::find(table, &flow.service) else {
            return;
        };
        let Some(counters) = memory.counters(slot.bank) else {
            return;
        };
        match direction {
            Direction::Ingress => {
                memory.increment(&counters.packets_in);
                if table::is_local(table, flow.client) {
                    memory.increment(&counters.local_sources);
                    return;
                }
            }
            Direction::Egress => memory.increment(&counters.packets_out),
        }
        if flow.service.protocol() == PROTOCOL_TCP {
            match packet::tcp(packet, flow) {
                Ok(segment) => record_segment(memory, services, (slot, counters), flow, direction, segment),
                Err(reason) => record_unclassified(memory, reason),
            }
        } else {
            match classify::message(slot.classifier, packet, flow, direction) {
                Ok(message) => record_message(memory, services, (slot, counters), flow, direction, message),
                Err(reason) => record_unclassified(memory, reason),
            }
        }
    }
}

/// A query on its way out or an answer on its way in is a packet and nothing else: it is no evidence of demand or life.
#[inline(always)]
fn record_message<M: Memory>(
    memory: &M,
    services: &Services,
    (slot, counters): (&Slot, &Counters),
    flow: &Flow,
    direction: Direction,
    message: Message,
) {
    let id = match (direction, message) {
        (Direction::Ingress, Message::Query { id }) => {
            memory.increment(&counters.queries);
            id
        }
        (Direction::Egress, Message::Answer { id, truncated, codes }) => {
            memory.increment(&counters.answers);
            if truncated {
                memory.increment(&counters.truncated);
            }
            if slot.classifier == Classifier::DnsUdp as u16
                && let Some(responses) = counters.responses.get(rcode(codes))
            {
                memory.increment(responses);
            }
            id
        }
        _ => return,
    };
    let secret = atomic::load(&services.settings.secret);
    if !latency::is_sampled(secret, atomic::load(&services.settings.sample_mask), flow, id)
        || slot.classifier == Classifier::UdpOneWay as u16
    {
        return;
    }
    let hash = Hash::new(secret, slot, flow, id);
    if let (Some(transaction), Some(latency)) = (memory.transaction(hash.transaction()), memory.latency(slot.service)) {
        let now = || memory.now();
        match direction {
            Direction::Ingress => latency::open(transaction, latency, hash, now),
            // Without an ID there may be any number of answers to a query.
            Direction::Egress => latency::close(transaction, latency, hash, id != 0, now),
        }
    }
}

#[inline(always)]
fn record_segment<M: Memory>(
    memory: &M,
    services: &Services,
    (slot, counters): (&Slot, &Counters),
    flow: &Flow,
    direction: Direction,
    segment: Segment,
) {
    if direction == Direction::Egress && segment.flags & Segment::RST != 0 {
        memory.increment(&counters.hints);
    }
    let hash = Hash::new(atomic::load(&services.settings.secret), slot, flow, 0);
    let (Some(exchange), Some(latency)) = (
        memory.exchange(hash.place(OPEN_EXCHANGES)),
        memory.latency(slot.service),
    ) else {
        return;
    };
    let segment = (direction, segment, classify::server_speaks_first(slot.classifier));
    match exchange::follow(exchange, latency, hash, segment, || memory.now()) {
        Some(Event::Query) => memory.increment(&counters.queries),
        Some(Event::Answer) => memory.increment(&counters.answers),
        None => {}
    }
}

#[inline(always)]
fn record_unclassified<M: Memory>(memory: &M, reason: Unclassified) {
    if let Some(counter) = memory
        .unclassified()
        .and_then(|counters| counters.by_reason.get(reason as usize))
    {
        memory.increment(counter);
    }
}

#[cfg(test)]
mod tests;
