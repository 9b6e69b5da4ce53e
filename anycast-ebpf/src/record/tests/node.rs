//! A node with a service of each kind, and what it has counted.

use super::*;
use crate::{
    host::Host,
    testing::{CLIENT_PORT, ethernet, tcp, udp},
};

/// A service of the node, at the address of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) classifier: Classifier,
    pub(super) port: u16,
}

pub(super) const DNS: Kind = Kind {
    classifier: Classifier::DnsUdp,
    port: 53,
};
pub(super) const NTP: Kind = Kind {
    classifier: Classifier::Ntp,
    port: 123,
};
pub(super) const ONE_WAY: Kind = Kind {
    classifier: Classifier::UdpOneWay,
    port: 514,
};
pub(super) const TCP_DNS: Kind = Kind {
    classifier: Classifier::Tcp,
    port: 53,
};
pub(super) const SMTP: Kind = Kind {
    classifier: Classifier::TcpServerFirst,
    port: 25,
};
/// Of a protocol without an ID.
pub(super) const SIP: Kind = Kind {
    classifier: Classifier::Udp,
    port: 5060,
};
const KINDS: [Kind; 6] = [DNS, NTP, ONE_WAY, TCP_DNS, SMTP, SIP];

pub(super) const SECRET: u64 = 0x5eed_5eed_5eed_5eed;

/// The last number of an address of the host that is no service's.
pub(super) const LOCAL: u8 = 99;

/// The counters of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) queries: u64,
    pub(super) answers: u64,
    pub(super) packets_in: u64,
    pub(super) packets_out: u64,
    pub(super) truncated: u64,
    pub(super) responses: [u64; RCODES],
    pub(super) hints: u64,
    pub(super) local_sources: u64,
    pub(super) local_answers: u64,
}

/// The latency of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timed {
    /// A bucket for each transaction.
    pub(super) buckets: Vec<usize>,
    pub(super) sampled: u64,
    pub(super) overwritten: u64,
    pub(super) mismatched: u64,
    pub(super) not_followed: u64,
}

pub(super) struct Node {
    host: Host,
}

impl Node {
    /// One that samples every transaction.
    pub(super) fn new() -> Self {
        Self::sampling(0)
    }

    /// One that samples the transactions whose hash has none of the bits of `mask`.
    pub(super) fn sampling(mask: u64) -> Self {
        let locals: Vec<_> = Family::ALL
            .into_iter()
            .flat_map(|family| [family.service(0, 0).address, family.client(LOCAL)])
            .collect();
        Self {
            host: Host::new(&slots(), &locals, mask, SECRET).expect("a perfect hash"),
        }
    }

    /// Sets the clock.
    pub(super) fn at(&mut self, now: u64) -> &mut Self {
        self.host.set_time(now);
        self
    }

    /// An Ethernet frame comes or goes.
    pub(super) fn frame(&self, direction: Direction, frame: &[u8]) {
        self.host.record(frame, ethernet(direction));
    }

    /// A packet is seen in another way.
    pub(super) fn framed(&self, view: View, packet: &[u8]) {
        self.host.record(packet, view);
    }

    /// An IP packet leaves a socket of the server.
    pub(super) fn sent(&self, packet: &[u8]) {
        self.host.record_sent(packet);
    }

    /// An IP packet comes or goes.
    pub(super) fn packet(&self, family: Family, direction: Direction, packet: &[u8]) {
        self.frame(direction, &family.frame(packet));
    }

    /// A datagram between a client and a service comes or goes.
    pub(super) fn datagram(&self, family: Family, kind: Kind, direction: Direction, payload: &[u8]) {
        self.packet(family, direction, &family.udp(direction, kind.port, payload));
    }

    /// A segment between the client at `port` and a service comes or goes.
    pub(super) fn segment(&self, kind: Kind, port: u16, direction: Direction, flags: u8, payload: &[u8]) {
        for family in Family::ALL {
            self.packet(
                family,
                direction,
                &segment(family, kind, port, direction, flags, payload),
            );
        }
    }

    pub(super) fn counts(&self, family: Family, kind: Kind) -> Counts {
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
        } = &self.host.memory().counters[bank(number(family, kind)) as usize];
        Counts {
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

    /// The counters of a service to which the same was done at either address.
    pub(super) fn counts_of_both(&self, kind: Kind) -> Counts {
        let [v4, v6] = Family::ALL.map(|family| self.counts(family, kind));
        assert_eq!(v4, v6);
        v4
    }

    pub(super) fn timed(&self, family: Family, kind: Kind) -> Timed {
        let Latency {
            buckets,
            sampled,
            overwritten,
            mismatched,
            not_followed,
            reserved: _,
        } = &self.host.memory().latency[usize::from(number(family, kind))];
        let times = |(bucket, count)| (0..atomic::load(count)).map(move |_| bucket);
        Timed {
            buckets: buckets.iter().enumerate().flat_map(times).collect(),
            sampled: atomic::load(sampled),
            overwritten: atomic::load(overwritten),
            mismatched: atomic::load(mismatched),
            not_followed: atomic::load(not_followed),
        }
    }

    /// As [`Node::counts_of_both`].
    pub(super) fn timed_of_both(&self, kind: Kind) -> Timed {
        let [v4, v6] = Family::ALL.map(|family| self.timed(family, kind));
        assert_eq!(v4, v6);
        v4
    }

    pub(super) fn unclassified(&self) -> [u64; UNCLASSIFIED_REASONS] {
        self.host.memory().unclassified.by_reason.each_ref().map(Counter::get)
    }

    /// Everything that was counted.
    pub(super) fn everything(&self) -> (Vec<(Counts, Timed)>, [u64; UNCLASSIFIED_REASONS]) {
        let services = Family::ALL
            .into_iter()
            .flat_map(|family| KINDS.map(|kind| (self.counts(family, kind), self.timed(family, kind))));
        (services.collect(), self.unclassified())
    }
}

/// A segment between the client at `port` and a service.
pub(super) fn segment(
    family: Family,
    kind: Kind,
    port: u16,
    direction: Direction,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = tcp(direction, kind.port, flags, payload);
    set_client_port(&mut segment, direction, port);
    family.ip(direction, PROTOCOL_TCP, &segment)
}

/// A datagram between the client at `port` and a service.
pub(super) fn datagram(family: Family, kind: Kind, port: u16, direction: Direction, payload: &[u8]) -> Vec<u8> {
    let mut datagram = udp(direction, kind.port, payload);
    set_client_port(&mut datagram, direction, port);
    family.ip(direction, PROTOCOL_UDP, &datagram)
}

fn set_client_port(transport: &mut [u8], direction: Direction, port: u16) {
    let place = match direction {
        Ingress => 0,
        Egress => 2,
    };
    assert_eq!(transport[place..place + 2], CLIENT_PORT.to_be_bytes());
    transport[place..place + 2].copy_from_slice(&port.to_be_bytes());
}

/// The entry of a service in the table.
pub(super) fn slot(family: Family, kind: Kind) -> Slot {
    let number = number(family, kind);
    Slot {
        key: family.service(kind.classifier.protocol(), kind.port),
        classifier: kind.classifier as u16,
        service: number,
        bank: bank(number),
    }
}

fn slots() -> Vec<Slot> {
    Family::ALL
        .into_iter()
        .flat_map(|family| KINDS.map(|kind| slot(family, kind)))
        .collect()
}

fn number(family: Family, kind: Kind) -> u16 {
    let place = KINDS.iter().position(|&other| other == kind).expect("a service");
    (place * 2) as u16 + u16::from(family == Family::V6)
}

/// Not the service's number, so that one isn't taken for the other.
fn bank(service: u16) -> u32 {
    u32::from(service) * 3 + 1
}
