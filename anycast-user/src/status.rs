//! What the sampling thread lets others see, and what they let it see: the last word of each in places of its own, which
//! it never waits for. A queue would make it wait for whoever is putting something into it, and for ever on a processor
//! that it does not leave to them.

mod latency;
mod sent;
mod sockets;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anycast_ebpf::layout::{RCODE_NAMES, UNCLASSIFIED_NAMES};

use self::{
    latency::LatencyStatus,
    sent::{Sent, SentAnswers},
    sockets::SocketsStatus,
};
use crate::{
    clock::MonotonicTime,
    datapath::Bank,
    detect::Counts,
    engine::View,
    event::{AlertSet, Names},
    export::{LinkSnapshot, SamplerSnapshot, ServiceSnapshot, Snapshot},
    policy::{Guard, State},
};

/// The state of the daemon, as far as its readers see it. Each number is right by itself; two of them may be a tick apart.
#[derive(Debug)]
pub struct Status {
    armed: bool,
    names: Arc<Names>,
    bank: Bank,
    services: Vec<ServiceStatus>,
    links: Vec<LinkStatus>,
    /// Whether there is a reason in the next; the sampling thread reads this one only.
    bypassed: AtomicBool,
    bypass: Mutex<Option<String>>,
    sent: Sent,
    /// Ticks taken.
    pub ticks: AtomicU64,
    /// Ticks that came too late and were discarded.
    pub late_ticks: AtomicU64,
    /// Events that found their queue full.
    pub events_dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct ServiceStatus {
    state: AtomicU8,
    /// Bits of an `f64`, like the next two.
    evidence: AtomicU64,
    threshold: AtomicU64,
    closest_approach: AtomicU64,
    /// Nanoseconds, like the next.
    floor: AtomicU64,
    limit: AtomicU64,
    alerts: AtomicU32,
    wants_second_proof: AtomicBool,
    sockets: SocketsStatus,
    latency: LatencyStatus,
    sent: SentAnswers,
}

/// What is counted of a link.
#[derive(Debug, Default)]
pub struct LinkStatus {
    /// Whether it is up, as read back.
    pub announced: AtomicBool,
    /// Times it was put down.
    pub withdrawals: AtomicU64,
    /// Times it was put up again.
    pub announcements: AtomicU64,
    /// Withdrawals that were not carried out because the daemon only observes.
    pub observed: AtomicU64,
}

impl Status {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(armed: bool, names: Arc<Names>, bank: Bank) -> Self {
        Self {
            armed,
            services: names.services.iter().map(|_| ServiceStatus::default()).collect(),
            links: names.links.iter().map(|_| LinkStatus::default()).collect(),
            names,
            bank,
            bypassed: AtomicBool::new(false),
            bypass: Mutex::new(None),
            sent: Sent::default(),
            ticks: AtomicU64::new(0),
            late_ticks: AtomicU64::new(0),
            events_dropped: AtomicU64::new(0),
        }
    }

    /// A link by index.
    #[must_use]
    pub fn link(&self, index: usize) -> Option<&LinkStatus> {
        self.links.get(index)
    }

    /// The link of a service by index.
    #[must_use]
    pub fn link_of(&self, service: usize) -> Option<&LinkStatus> {
        self.link(self.names.services.get(service)?.link)
    }

    /// Says why answers may leave past the counters, or that they may not. From the next tick on every service is only
    /// watched, or is watched from zero.
    pub fn set_bypass(&self, reason: Option<String>) {
        self.bypassed.store(reason.is_some(), Relaxed);
        *self.bypass.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Why answers may leave past the counters, if they may. Waits for whoever sets it.
    #[must_use]
    pub fn bypass(&self) -> Option<String> {
        self.bypass.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether answers may leave past the counters.
    #[must_use]
    pub fn is_bypassed(&self) -> bool {
        self.bypassed.load(Relaxed)
    }

    /// Whether some service answers local probes and yet no answer of it leaves by an uplink: whether its answers leave its
    /// sockets decides then what is wrong.
    #[must_use]
    pub fn wants_second_proof(&self) -> bool {
        let mut services = self.services.iter();
        services.any(|status| status.wants_second_proof.load(Relaxed))
    }

    /// What a tick reads of a service; `None` of one that doesn't exist. Its local answers are there as long as they may be
    /// believed.
    #[must_use]
    pub fn counts(&self, service: usize) -> Option<Counts> {
        let status = self.services.get(service)?;
        let counts = self.bank.counts(service)?;
        let local_answers = self.sent.is_believed();
        let local_answers = local_answers.then(|| status.sent.proven(counts.answers, self.bank.local_answers(service)));
        Some(Counts {
            local_answers,
            ..counts
        })
    }

    /// Publishes what the engine shows.
    pub fn publish(&self, views: impl Iterator<Item = View>) {
        for (
            status,
            View {
                state,
                evidence,
                threshold,
                closest_approach,
                floor,
                limit,
                alerts,
                wants_second_proof,
            },
        ) in self.services.iter().zip(views)
        {
            let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            status.state.store(state as u8, Relaxed);
            status.evidence.store(evidence.to_bits(), Relaxed);
            status.threshold.store(threshold.to_bits(), Relaxed);
            status.closest_approach.store(closest_approach.to_bits(), Relaxed);
            status.floor.store(nanoseconds(floor), Relaxed);
            status.limit.store(nanoseconds(limit), Relaxed);
            status.alerts.store(alerts.bits(), Relaxed);
            status.wants_second_proof.store(wants_second_proof, Relaxed);
        }
    }

    /// What was published last.
    pub fn views(&self) -> impl Iterator<Item = View> {
        self.services.iter().map(|status| View {
            state: State::ALL
                .get(usize::from(status.state.load(Relaxed)))
                .copied()
                .unwrap_or_default(),
            evidence: f64::from_bits(status.evidence.load(Relaxed)),
            threshold: f64::from_bits(status.threshold.load(Relaxed)),
            closest_approach: f64::from_bits(status.closest_approach.load(Relaxed)),
            floor: Duration::from_nanos(status.floor.load(Relaxed)),
            limit: Duration::from_nanos(status.limit.load(Relaxed)),
            alerts: AlertSet::from_bits(status.alerts.load(Relaxed)),
            wants_second_proof: status.wants_second_proof.load(Relaxed),
        })
    }

    /// The kernel's counters.
    #[must_use]
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The names behind the indices.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }
}

impl Snapshot for Status {
    fn armed(&self) -> bool {
        self.armed
    }

    fn services(&self) -> Vec<ServiceSnapshot> {
        self.names
            .services
            .iter()
            .zip(self.views().zip(&self.services))
            .enumerate()
            .map(|(index, (name, (view, status)))| {
                let reading = self.bank.read(index);
                ServiceSnapshot {
                    link: self.names.link(name.link).to_owned(),
                    service: name.service.clone(),
                    address: name.address,
                    queries: reading.queries,
                    packets_in: reading.packets_in,
                    packets_out: reading.packets_out,
                    hints: reading.hints,
                    local_sources: reading.local_sources,
                    latency: self.bank.latency(index),
                    answers: reading.answers,
                    truncated: reading.truncated,
                    responses_by_rcode: RCODE_NAMES.into_iter().zip(reading.responses).collect(),
                    state: view.state,
                    evidence_nats: view.evidence,
                    threshold_nats: view.threshold,
                    closest_approach: view.closest_approach,
                    floor: view.floor,
                    limit: view.limit,
                    alerts: view.alerts,
                    sockets: status.sockets.snapshot(MonotonicTime::now()),
                }
            })
            .collect()
    }

    fn unclassified(&self) -> Vec<(&'static str, u64)> {
        UNCLASSIFIED_NAMES.into_iter().zip(self.bank.unclassified()).collect()
    }

    fn links(&self) -> Vec<LinkSnapshot> {
        self.names
            .links
            .iter()
            .zip(&self.links)
            .map(|(name, link)| LinkSnapshot {
                link: name.clone(),
                announced: link.announced.load(Relaxed),
                withdrawals: link.withdrawals.load(Relaxed),
                announcements: link.announcements.load(Relaxed),
                suppressed: vec![(Guard::Observing.name(), link.observed.load(Relaxed))],
            })
            .collect()
    }

    fn sampler(&self) -> SamplerSnapshot {
        SamplerSnapshot {
            ticks: self.ticks.load(Relaxed),
            late_ticks: self.late_ticks.load(Relaxed),
            events_dropped: self.events_dropped.load(Relaxed),
        }
    }
}
