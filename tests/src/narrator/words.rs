//! Every observation in words.

use super::{Look, Narrator};
use crate::event::{Event, EventKind, Verdict};
use crate::node::Node;
use crate::timeline::{Throughput, What};
// Writing to a string can't fail, so the results of `write!` are dropped here.
use std::fmt::Write as _;

impl Narrator {
    /// The lines for an observation, none for one that isn't worth any.
    pub(super) fn words(&self, what: &What) -> Vec<(Look, String)> {
        let line = |look, words: String| vec![(look, words)];
        match what {
            What::Note(words) => line(Look::Plain, words.clone()),
            What::Fault(words) => line(Look::Bad, format!("FAULT {words}")),
            What::AnsweredBy(node) => line(Look::Good, format!("client  answers come from {node}")),
            What::Bgp { node, update } => {
                let announced = update.announced.iter().map(|prefix| ("announces", prefix, Look::Plain));
                let withdrawn = update
                    .withdrawn
                    .iter()
                    .map(|prefix| ("WITHDRAWS", prefix, Look::Strong));
                announced
                    .chain(withdrawn)
                    .map(|(verb, (address, length), look)| {
                        (look, format!("router  UPDATE: {node} {verb} {address}/{length}"))
                    })
                    .collect()
            }
            What::Throughput(throughput) => line(Look::Dim, rates(throughput)),
            What::Daemon { node, event } => self
                .event_words(event)
                .map(|(look, words)| (look, format!("{node}  {words}")))
                .into_iter()
                .collect(),
        }
    }

    /// `None` for an event that isn't worth a line here.
    fn event_words(&self, event: &Event) -> Option<(Look, String)> {
        let because = |reason: &Option<String>| reason.as_ref().map_or_else(String::new, |text| format!(": {text}"));
        Some(match &event.kind {
            EventKind::Started { version, armed, links } => {
                let mode = if *armed { "armed" } else { "observing" };
                let links = links.join(", ");
                (Look::Plain, format!("anycast-probe {version}, {mode}, watches {links}"))
            }
            EventKind::Attached {
                uplink,
                ingress,
                egress,
                taken_over,
            } => {
                let whose = if *taken_over { ", taken over" } else { "" };
                (
                    Look::Plain,
                    format!("attached to {uplink}: {ingress} in, {egress} out{whose}"),
                )
            }
            EventKind::Detached { uplink, reason } => (Look::Bad, format!("detached from {uplink}: {reason}")),
            EventKind::AttachFallback { uplink, reason } => {
                (Look::Plain, format!("on {uplink}, another way to attach: {reason}"))
            }
            EventKind::State {
                address,
                from,
                to,
                reason,
                ..
            } => {
                let look = match to.as_str() {
                    "healthy" => Look::Good,
                    "suspect" | "blackholed" | "withdrawn" => Look::Bad,
                    _ => Look::Plain,
                };
                (look, format!("{address} {from} -> {to}{}", because(reason)))
            }
            EventKind::Probe {
                address,
                sent,
                answered,
                refused,
            } => {
                let refused = if *refused > 0 {
                    format!(", {refused} refused")
                } else {
                    String::new()
                };
                (
                    Look::Plain,
                    format!("probed {address}: {answered} of {sent} answered{refused}"),
                )
            }
            EventKind::Withdraw(verdict) => (Look::Strong, format!("VERDICT withdraw{}", evidence(verdict))),
            EventKind::WouldWithdraw(verdict) => {
                let guard = because(&verdict.guard);
                (Look::Strong, format!("would withdraw{}{guard}", evidence(verdict)))
            }
            EventKind::LinkDown { link, took_ms } => (Look::Strong, format!("{link} down in {took_ms:.2} ms")),
            EventKind::HoldDown { link, for_ms } => (
                Look::Plain,
                format!("{link} stays down for at least {:.1} s", for_ms / 1000.0),
            ),
            EventKind::Announce { link } => (Look::Plain, format!("announces again by {link}")),
            EventKind::LinkUp { link, took_ms } => (Look::Good, format!("{link} up in {took_ms:.2} ms")),
            EventKind::Alert { kind, reason } => (Look::Bad, format!("ALERT {kind}: {reason}")),
            EventKind::Stopped {} => (Look::Plain, "stopped".into()),
            EventKind::Report { services } => {
                // Rates have a line of their own; what is left to say is who is silent.
                let service = self.family.service_address().to_string();
                let state = services.iter().find(|report| report.address == service)?;
                if state.state != "suspect" {
                    return None;
                }
                (Look::Dim, format!("{service} still suspect"))
            }
            EventKind::Unknown => return None,
        })
    }
}

fn evidence(verdict: &Verdict) -> String {
    let Verdict {
        address,
        evidence,
        threshold,
        silence_ms,
        reason,
        ..
    } = verdict;
    let mut text = format!(" {address}");
    if let Some(silence) = silence_ms {
        _ = write!(text, ", silent for {silence:.1} ms");
    }
    if let (Some(evidence), Some(threshold)) = (evidence, threshold) {
        _ = write!(text, ", evidence {evidence:.0} of {threshold:.0} nats");
    }
    if let Some(reason) = reason {
        _ = write!(text, ": {reason}");
    }
    text
}

fn rates(throughput: &Throughput) -> String {
    let Throughput {
        sent_per_s,
        answered_per_s,
        reported,
    } = throughput;
    let mut text = format!(
        "client  {sent_per_s:.0} queries/s, answered by a {:.0} b {:.0}",
        answered_per_s.a, answered_per_s.b
    );
    for node in Node::ALL {
        if let Some(counted) = reported.get(node) {
            _ = write!(
                text,
                " | {} counts {:.0} in {:.0} out",
                node.name(),
                counted.queries_per_s,
                counted.answers_per_s
            );
        }
    }
    text
}
