//! Metrics, read when somebody scrapes and at no other time.
//!
//! Labels are links, services and service addresses, so that their number is the operator's: never a
//! client's address or a name from a packet.

mod sockets;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::datapath::LatencyReading;
use crate::event::AlertKind;
use crate::latency;
use crate::policy::State;

use super::families::{Families, Labels};
use super::snapshot::{LinkSnapshot, SamplerSnapshot, ServiceSnapshot, Snapshot};

/// Content type of [`Exporter::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Turns a [`Snapshot`] into `OpenMetrics` text.
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
}

impl Exporter {
    /// An exporter of what `snapshot` says at each scrape.
    #[must_use]
    pub fn new(snapshot: Arc<dyn Snapshot>) -> Self {
        let mut registry = Registry::with_prefix("anycast_probe");
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(SnapshotCollector(snapshot)));
        Self { registry }
    }

    /// The text of one scrape, which ends with `# EOF`.
    ///
    /// Fails only when the encoder does, which a `String` gives no cause for.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct SnapshotCollector(Arc<dyn Snapshot>);

impl Collector for SnapshotCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        out.gauge(
            "armed",
            "1 when links may be touched, 0 when the probe only observes.",
            None,
            [([], i64::from(self.0.armed()))],
        )?;
        let services = self.0.services();
        traffic(&mut out, &services)?;
        timing(&mut out, &services)?;
        sockets::sockets(&mut out, &services)?;
        judgement(&mut out, &services)?;
        out.counter(
            "unclassified_packets",
            "Packets on the uplinks that could not be followed to their ports, or to a service and no DNS message, by reason.",
            self.0
                .unclassified()
                .into_iter()
                .map(|(reason, count)| ([("reason", reason)], count)),
        )?;
        links(&mut out, &self.0.links())?;
        sampler(&mut out, self.0.sampler())
    }
}

/// Each service with the three labels that every family of services has, of which it keeps the address as text.
struct Labelled<'a>(Vec<(&'a ServiceSnapshot, String)>);

impl<'a> Labelled<'a> {
    fn new(services: &'a [ServiceSnapshot]) -> Self {
        let text = |service: &'a ServiceSnapshot| (service, service.address.to_string());
        Self(services.iter().map(text).collect())
    }

    fn each(&self) -> impl Iterator<Item = (Labels<'_, 3>, &ServiceSnapshot)> {
        self.0.iter().map(|(service, address)| {
            let labels = [
                ("link", service.link.as_str()),
                ("service", service.service.as_str()),
                ("address", address.as_str()),
            ];
            (labels, *service)
        })
    }
}

fn traffic(out: &mut Families<'_>, services: &[ServiceSnapshot]) -> fmt::Result {
    let labelled = Labelled::new(services);
    let each = || labelled.each();
    out.counter(
        "queries",
        "Queries that arrived for the service address.",
        each().map(|(labels, service)| (labels, service.queries)),
    )?;
    out.counter(
        "answers",
        "Answers that left from the service address.",
        each().map(|(labels, service)| (labels, service.answers)),
    )?;
    out.counter(
        "packets_received",
        "All packets that arrived for the service's address and port.",
        each().map(|(labels, service)| (labels, service.packets_in)),
    )?;
    out.counter(
        "packets_sent",
        "All packets that left from the service's address and port.",
        each().map(|(labels, service)| (labels, service.packets_out)),
    )?;
    out.counter(
        "hints",
        "Signs that nobody listens: ICMP port unreachable for the service, TCP RST from it.",
        each().map(|(labels, service)| (labels, service.hints)),
    )?;
    out.counter(
        "local_packets",
        "Packets that arrived from an address of this host or of a service, which are never queries.",
        each().map(|(labels, service)| (labels, service.local_sources)),
    )?;
    out.counter(
        "truncated_answers",
        "Answers with the TC bit, which send the client to TCP.",
        each().map(|(labels, service)| (labels, service.truncated)),
    )?;
    out.counter(
        "responses",
        "Answers by DNS response code.",
        each().flat_map(|([link, name, address], service)| {
            let rcodes = service.responses_by_rcode.iter();
            rcodes.map(move |(rcode, count)| ([link, name, address, ("rcode", *rcode)], *count))
        }),
    )
}

fn timing(out: &mut Families<'_>, services: &[ServiceSnapshot]) -> fmt::Result {
    let labelled = Labelled::new(services);
    let each = || labelled.each();
    out.histogram(
        "latency",
        "From query to answer, of sampled transactions.",
        &Unit::Seconds,
        each().map(|(labels, service)| (labels, latency::metric(&service.latency))),
    )?;
    out.counter(
        "latency_samples",
        "Sampled transactions, by what became of them: followed ones have an answer or wait for it; the others were lost.",
        each().flat_map(|([link, name, address], service)| {
            let LatencyReading {
                sampled,
                overwritten,
                mismatched,
                not_followed,
                ..
            } = service.latency;
            [
                ("followed", sampled),
                ("overwritten", overwritten),
                ("mismatched", mismatched),
                ("not-followed", not_followed),
            ]
            .map(|(fate, count)| ([link, name, address, ("fate", fate)], count))
        }),
    )
}

fn judgement(out: &mut Families<'_>, services: &[ServiceSnapshot]) -> fmt::Result {
    let labelled = Labelled::new(services);
    let each = || labelled.each();
    out.gauge(
        "service_state",
        "1 for the state that the service is in, 0 for the others.",
        None,
        each().flat_map(|([link, name, address], service)| {
            State::ALL.into_iter().map(move |state| {
                let labels = [link, name, address, ("state", state.name())];
                (labels, i64::from(state == service.state))
            })
        }),
    )?;
    out.gauge(
        "evidence",
        "How unlikely the present silence of the service is while it is healthy.",
        Some(&Unit::Other("nats".into())),
        each().map(|(labels, service)| (labels, service.evidence_nats)),
    )?;
    out.gauge(
        "threshold",
        "Evidence that a withdrawal needs; each burst of probes without an answer adds 8 nats to what is seen.",
        Some(&Unit::Other("nats".into())),
        each().map(|(labels, service)| (labels, service.threshold_nats)),
    )?;
    out.gauge(
        "closest_approach",
        "The most that evidence and failed bursts of probes came to since the start, as a share of the threshold.",
        Some(&Unit::Other("ratio".into())),
        each().map(|(labels, service)| (labels, service.closest_approach)),
    )?;
    out.gauge(
        "floor",
        "For how long probes must fail before a withdrawal.",
        Some(&Unit::Seconds),
        each().map(|(labels, service)| (labels, service.floor.as_secs_f64())),
    )?;
    out.gauge(
        "limit",
        "The least delay with which answers alone could show a death, for the budget of false alarms.",
        Some(&Unit::Seconds),
        each().map(|(labels, service)| (labels, service.limit.as_secs_f64())),
    )?;
    out.gauge(
        "alert",
        "One where an alert about the service is raised.",
        None,
        each().flat_map(|(labels, service)| {
            let [link, of, address] = labels;
            AlertKind::OF_A_SERVICE.into_iter().map(move |kind| {
                (
                    [link, of, address, ("kind", kind.name())],
                    i64::from(service.alerts.contains(kind)),
                )
            })
        }),
    )
}

fn links(out: &mut Families<'_>, links: &[LinkSnapshot]) -> fmt::Result {
    let each = || links.iter().map(|link| ([("link", link.link.as_str())], link));
    out.gauge(
        "link_announced",
        "1 when the link is up, as read back from the kernel, and its addresses are announced.",
        None,
        each().map(|(labels, link)| (labels, i64::from(link.announced))),
    )?;
    out.counter(
        "withdrawals",
        "Times that the probe put the link down.",
        each().map(|(labels, link)| (labels, link.withdrawals)),
    )?;
    out.counter(
        "announcements",
        "Times that the probe brought the link up again.",
        each().map(|(labels, link)| (labels, link.announcements)),
    )?;
    out.counter(
        "withdrawals_suppressed",
        "Withdrawals that a guard held back, by guard.",
        each().flat_map(|([name], link)| {
            let guards = link.suppressed.iter();
            guards.map(move |(guard, count)| ([name, ("guard", *guard)], *count))
        }),
    )
}

fn sampler(out: &mut Families<'_>, sampler: SamplerSnapshot) -> fmt::Result {
    out.counter("ticks", "Ticks of the sampling thread.", [([], sampler.ticks)])?;
    out.counter(
        "late_ticks",
        "Ticks that came too late to be trusted and were discarded.",
        [([], sampler.late_ticks)],
    )?;
    out.counter(
        "events_dropped",
        "Events that were lost because their queue was full.",
        [([], sampler.events_dropped)],
    )
}
