//! The loaded programs with a service of each kind, and what they count.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use anycast_ebpf::{classify::Classifier, layout::UNCLASSIFIED_REASONS};
use anycast_tests::prerequisite;
use anycast_user::datapath::{Bank, Datapath, LatencyReading, LoadSettings, Reading, Service};
use anycast_user::net::LinkIndex;

use crate::{
    frames::{ANSWER, Egress, FAMILIES, Family, SERVICE, SERVICE_V6, client, client_v6},
    hooks::{Hook, Programs},
};

/// The port of GUE where it is looked through, and of a service besides.
pub(crate) const GUE_PORT: u16 = 6080;

/// The index of the loopback device in any network namespace.
const LOOPBACK: LinkIndex = LinkIndex(1);

/// The last number of an address of the host that is no service's.
pub(crate) const LOCAL: u8 = 99;

/// What there is at the service address of either family.
pub(crate) const KINDS: [(Classifier, u16); 14] = [
    (Classifier::DnsUdp, 53),
    (Classifier::DnsUdp, 5353),
    (Classifier::Ntp, 123),
    (Classifier::Quic, 443),
    (Classifier::WireGuard, 51_820),
    (Classifier::Ike, 500),
    (Classifier::IkeNatTraversal, 4500),
    (Classifier::Udp, 5060),
    (Classifier::Udp, GUE_PORT),
    (Classifier::UdpOneWay, 514),
    (Classifier::Tcp, 53),
    (Classifier::Tcp, 853),
    (Classifier::Tcp, 389),
    (Classifier::TcpServerFirst, 25),
];

/// The services: those of [`KINDS`], IPv4 before IPv6, and one at an address of its own.
pub(crate) fn services() -> Vec<Service> {
    let at = |family| {
        KINDS.map(|(classifier, port)| match family {
            Family::V4 => Service::new(SERVICE, port, classifier),
            Family::V6 => Service::new(SERVICE_V6, port, classifier),
        })
    };
    let mut services: Vec<Service> = FAMILIES.into_iter().flat_map(at).collect();
    services.push(Service::new([192, 0, 2, 54], 53, Classifier::DnsUdp));
    services
}

/// The place in [`services`] of the one with this classifier and port.
pub(crate) fn place(family: Family, classifier: Classifier, port: u16) -> usize {
    let kind = KINDS.iter().position(|kind| *kind == (classifier, port));
    kind.expect("a service of the node") + if family == Family::V6 { KINDS.len() } else { 0 }
}

/// The place in [`services`] of the DNS service on port 53.
pub(crate) fn dns(family: Family) -> usize {
    place(family, Classifier::DnsUdp, 53)
}

/// Settings with which packets from the addresses that end in [`LOCAL`] are no client's.
pub(crate) fn settings() -> LoadSettings {
    LoadSettings {
        local_addresses: vec![client(LOCAL).into(), client_v6(LOCAL).into()],
        ..LoadSettings::default()
    }
}

/// Loaded programs.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) datapath: Datapath,
    pub(crate) programs: Programs,
}

impl Node {
    /// Programs of a test's own, or `None` where they can't be loaded: said on stderr, a failure where everything is
    /// required.
    pub(crate) fn load(services: &[Service], settings: &LoadSettings) -> Option<Self> {
        // In a test run a packet leaves a socket that the kernel makes for it, by loopback.
        let settings = LoadSettings {
            any_socket: true,
            ..settings.clone()
        };
        let mut datapath = prerequisite("programs", Datapath::load(services, &settings))?;
        datapath.set_ways_out([LOOPBACK]).expect("there is room");
        let programs = Programs::of(datapath.ebpf_mut());
        Some(Self { datapath, programs })
    }

    /// The programs with [`services`] and [`settings`], of all tests: each may count on what it adds, and on no more.
    pub(crate) fn shared() -> Option<MutexGuard<'static, Self>> {
        static SHARED: LazyLock<Option<Mutex<Node>>> =
            LazyLock::new(|| Node::load(&services(), &settings()).map(Mutex::new));
        let shared = SHARED.as_ref()?;
        // A test that failed has left nothing that another one relies on.
        Some(shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this kernel shows a packet to the program of a cgroup in a test run. Older ones, of Linux 6.1 for one, run it
    /// all the same, on a packet that looks empty.
    pub(crate) fn shows_sent() -> bool {
        static SHOWS: LazyLock<bool> = LazyLock::new(|| {
            let dns = [Service::new(SERVICE, 53, Classifier::DnsUdp)];
            let answer = Family::V4.udp(Egress, 53, &ANSWER);
            let node = Node::load(&dns, &LoadSettings::default());
            node.is_some_and(|mut node| node.counted(Hook::CgroupEgress, 0, &answer).local_answers == 1)
        });
        *SHOWS
    }

    /// What a frame adds to the counters of a service.
    pub(crate) fn counted(&mut self, hook: Hook, service: usize, frame: &[u8]) -> Reading {
        let bank = self.datapath.bank();
        let before = bank.read(service);
        self.programs.pass(hook, frame);
        difference(&before, &bank.read(service))
    }

    /// All that was counted.
    pub(crate) fn everything(&self) -> Counted {
        Counted::of(&self.datapath.bank())
    }
}

/// What was added between two readings.
pub(crate) fn difference(before: &Reading, after: &Reading) -> Reading {
    let mut responses = after.responses;
    for (response, before) in responses.iter_mut().zip(before.responses) {
        *response -= before;
    }
    Reading {
        queries: after.queries - before.queries,
        answers: after.answers - before.answers,
        packets_in: after.packets_in - before.packets_in,
        packets_out: after.packets_out - before.packets_out,
        truncated: after.truncated - before.truncated,
        responses,
        hints: after.hints - before.hints,
        local_sources: after.local_sources - before.local_sources,
        local_answers: after.local_answers - before.local_answers,
    }
}

/// How many transactions were sampled and what became of them, without how long they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Samples {
    pub(crate) answered: u64,
    pub(crate) sampled: u64,
    pub(crate) overwritten: u64,
    pub(crate) mismatched: u64,
    pub(crate) not_followed: u64,
}

impl From<&LatencyReading> for Samples {
    fn from(reading: &LatencyReading) -> Self {
        Self {
            answered: reading.buckets.iter().sum(),
            sampled: reading.sampled,
            overwritten: reading.overwritten,
            mismatched: reading.mismatched,
            not_followed: reading.not_followed,
        }
    }
}

/// All that is counted: of each service, and by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) services: Vec<(Reading, Samples)>,
    pub(crate) unclassified: [u64; UNCLASSIFIED_REASONS],
}

impl Counted {
    pub(crate) fn of(bank: &Bank) -> Self {
        let service = |service| (bank.read(service), Samples::from(&bank.latency(service)));
        Self {
            services: (0..bank.services()).map(service).collect(),
            unclassified: bank.unclassified(),
        }
    }
}

/// A query, and nothing else.
pub(crate) fn query() -> Reading {
    Reading {
        queries: 1,
        ..packet_in()
    }
}

/// A DNS answer.
pub(crate) fn answer(rcode: usize, truncated: bool) -> Reading {
    let mut reading = Reading {
        answers: 1,
        truncated: truncated.into(),
        ..packet_out()
    };
    reading.responses[rcode] = 1;
    reading
}

/// A packet that came in and says nothing.
pub(crate) fn packet_in() -> Reading {
    Reading {
        packets_in: 1,
        ..Reading::default()
    }
}

/// A packet that left and says nothing.
pub(crate) fn packet_out() -> Reading {
    Reading {
        packets_out: 1,
        ..Reading::default()
    }
}
