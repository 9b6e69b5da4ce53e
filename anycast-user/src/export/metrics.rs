//! Metrics, read when somebody scrapes and at no other time.
//!
//! Labels are links, services and service addresses, so that their number is the operator's: never a
//! client's address or a name from a packet.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::policy::State;

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
        services(&mut out, &self.0.services())?;
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

fn services(out: &mut Families<'_>, services: &[ServiceSnapshot]) -> fmt::Result {
    let labelled: Vec<_> = services
        .iter()
        .map(|service| (service, service.address.to_string()))
        .collect();
    // Every family names the same three labels; only what stands beside them differs.
    let each = || {
        labelled.iter().map(|(service, address)| {
            let labels = [
                ("link", service.link.as_str()),
                ("service", service.service.as_str()),
                ("address", address.as_str()),
            ];
            (labels, *service)
        })
    };
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
    )?;
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
        "Evidence that a withdrawal needs.",
        Some(&Unit::Other("nats".into())),
        each().map(|(labels, service)| (labels, service.threshold_nats)),
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

/// Writes metric families; the encoder adds the prefix, the unit and `_total`.
struct Families<'a>(DescriptorEncoder<'a>);

/// A sample's labels, keys and values.
type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Families<'_> {
    fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let (encoder, kind) = (&mut self.0, MetricType::Counter);
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        samples.into_iter().try_for_each(|(labels, count)| {
            labelled(&mut family, &labels, |sample| {
                sample.encode_counter::<NoLabelSet, _, u64>(&count, None)
            })
        })
    }

    fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let (encoder, kind) = (&mut self.0, MetricType::Gauge);
        let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
        samples
            .into_iter()
            .try_for_each(|(labels, value)| labelled(&mut family, &labels, |sample| sample.encode_gauge(&value)))
    }
}

/// Encodes one sample, without the `{}` that the encoder writes for an empty set of labels.
fn labelled<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if N == 0 {
        encode(family)
    } else {
        encode(&mut family.encode_family(labels)?)
    }
}
