//! The lab's display: a line for everything that happens, with its time, and a table at the end.

use crate::clock::Moment;
use crate::event::{Event, EventKind, Verdict};
use crate::network::{Family, Node};
use crate::scenario::Summary;
use crate::timeline::{Observation, Progress, Throughput, What};
// Writing to a string can't fail, so the results of `write!` are dropped here.
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Observations reach the display by different ways. Each is held back this long, so that they can be shown in order.
const REORDER_WINDOW: Duration = Duration::from_millis(60);

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Dim,
    Good,
    Bad,
    Strong,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Strong => "\x1b[1m",
        }
    }
}

/// Writes to standard error what it observes; in colour on a terminal, unless `NO_COLOR` is set.
#[derive(Debug)]
pub struct Narrator {
    colour: bool,
    family: Family,
    started: Moment,
    fault: Option<Moment>,
    held: Vec<Observation>,
}

impl Narrator {
    /// A narrator of a lab whose client queries over `family`.
    #[must_use]
    pub fn new(family: Family) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: !forbidden && std::io::stderr().is_terminal(),
            family,
            started: Moment::now(),
            fault: None,
            held: Vec::new(),
        }
    }

    /// Shows the table at the end.
    pub fn summarise(&mut self, summary: &Summary) {
        self.flush(Duration::ZERO);
        let mut table = String::new();
        for (what, value) in rows(summary) {
            _ = writeln!(table, "  {what:<36}{value:>12}");
        }
        let surprises = summary.surprises();
        self.print(Look::Strong, &format!("\n{}", headline(summary)));
        self.print(Look::Plain, table.trim_end());
        if surprises.is_empty() {
            self.print(Look::Good, "As it should be.");
        }
        for surprise in surprises {
            self.print(Look::Bad, &format!("Not as it should be: {surprise}."));
        }
    }

    fn flush(&mut self, window: Duration) {
        self.held.sort_by_key(|observation| observation.at);
        let now = Moment::now();
        let ready = self
            .held
            .partition_point(|observation| now.since(observation.at) >= window);
        for observation in self.held.drain(..ready).collect::<Vec<_>>() {
            self.show(&observation);
        }
    }

    fn show(&mut self, observation: &Observation) {
        if let What::Fault(_) = observation.what {
            self.fault = Some(observation.at);
        }
        let time = self.time(observation.at);
        for (look, words) in self.words(&observation.what) {
            self.print(look, &format!("{time}  {words}"));
        }
    }

    /// Seconds from the start, and from the fault on the time since then.
    fn time(&self, at: Moment) -> String {
        let since_fault = self.fault.map(|fault| at.ms_since(fault));
        match since_fault {
            None => format!("{:>9.3} s ", at.ms_since(self.started) / 1000.0),
            Some(milliseconds) if milliseconds < 1000.0 => format!("+{milliseconds:>8.2} ms"),
            Some(milliseconds) => format!("+{:>8.3} s ", milliseconds / 1000.0),
        }
    }

    fn words(&self, what: &What) -> Vec<(Look, String)> {
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
            } => (Look::Plain, format!("attached to {uplink}: {ingress} in, {egress} out")),
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

    fn print(&self, look: Look, words: &str) {
        let mut stderr = std::io::stderr().lock();
        // A display that has gone away is no reason to stop.
        drop(if self.colour && look != Look::Plain {
            writeln!(stderr, "{}{words}\x1b[0m", look.code())
        } else {
            writeln!(stderr, "{words}")
        });
    }
}

impl Progress for Narrator {
    fn observe(&mut self, observation: &Observation) {
        self.held.push(observation.clone());
    }

    fn tick(&mut self) {
        self.flush(REORDER_WINDOW);
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        self.flush(Duration::ZERO);
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

fn headline(summary: &Summary) -> String {
    let Summary {
        fault,
        server,
        rate_qps,
        floor_ms,
        family,
        kernel,
        ..
    } = summary;
    format!("{fault} of {server} on node a, {rate_qps} queries/s over IPv{family}, floor {floor_ms} ms, Linux {kernel}")
}

fn rows(summary: &Summary) -> Vec<(&'static str, String)> {
    let time = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2} ms"));
    let microseconds = |value: Duration| format!("{} us", value.as_micros());
    let counts = &summary.counts;
    let mut rows = vec![
        ("detection (the daemon decides)", time(summary.detect_ms)),
        ("link down, acknowledged", time(summary.link_down_ms)),
        ("WITHDRAW on the wire, at the router", time(summary.wire_ms)),
        ("first answer from node b", time(summary.failover_ms)),
        ("queries lost", summary.queries_lost.to_string()),
        (
            "queries lost that were sent earlier",
            counts.lost_before_fault.to_string(),
        ),
        ("queries sent", counts.sent.to_string()),
        ("answers from node a", counts.answered.a.to_string()),
        ("answers from node b", counts.answered.b.to_string()),
        ("node a answers again", time(summary.recovery_ms)),
    ];
    if let Some((half, most)) = summary.round_trips {
        rows.push(("round trip, median", microseconds(half)));
        rows.push(("round trip, 99th percentile", microseconds(most)));
    }
    rows
}
