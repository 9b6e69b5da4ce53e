//! The teller: takes events from the sampling thread, puts names in, and says them on stderr in words and on stdout as
//! JSON lines where that was asked for.
//!
//! Neither waits for its reader: both are written by threads of their own, from queues that lose lines when they are full.

use std::{io::Write as _, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tracing_appender::non_blocking::NonBlocking;

use crate::{
    clock::MonotonicTime,
    datapath::LatencyReading,
    detect::Counts,
    event::{Described, Event, EventKind, Names, Notice, line},
    latency::Latency,
    policy::State,
    status::Status,
};

/// Where it goes. Clones tell at the same places.
#[derive(Clone, Debug)]
pub struct Teller {
    names: Arc<Names>,
    json: Option<NonBlocking>,
}

impl Teller {
    /// Tells in words; in JSON too when there is a writer for it.
    #[must_use]
    pub fn new(names: Arc<Names>, json: Option<NonBlocking>) -> Self {
        Self { names, json }
    }

    /// The names behind the indices.
    #[must_use]
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Tells how the daemon starts or ends, and what becomes of its uplinks.
    pub fn notice(&self, notice: &Notice<'_>) {
        match notice {
            Notice::UplinkAlert { .. } => tracing::error!("{notice}"),
            Notice::AttachFallback { .. } | Notice::Detached { .. } | Notice::Resident { .. } => {
                tracing::warn!("{notice}");
            }
            Notice::Started { .. } | Notice::Attached { .. } | Notice::WatchOnly { .. } | Notice::Stopped { .. } => {
                tracing::info!("{notice}");
            }
        }
        self.print(|| notice.to_json(MonotonicTime::now()));
    }

    /// Tells `events` as they come, and every `every` what the services do, until nobody is left to send any.
    pub async fn run(&self, mut events: mpsc::Receiver<Event>, status: &Status, every: Duration) {
        let mut rates = Rates::new(status, MonotonicTime::now());
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await; // The first is immediate.
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.event(&event),
                    None => return,
                },
                _ = ticks.tick() => self.report(&rates.since_last(status, MonotonicTime::now()), status),
            }
        }
    }

    /// A reader that went away is no reason to stop watching.
    fn print(&self, value: impl FnOnce() -> Value) {
        if let Some(json) = &self.json {
            let _ = writeln!(json.clone(), "{}", value());
        }
    }

    fn event(&self, event: &Event) {
        let described = Described {
            event,
            names: &self.names,
        };
        match event.kind {
            EventKind::Alert { .. } => tracing::error!("{described}"),
            EventKind::Withdraw { .. }
            | EventKind::WouldWithdraw { .. }
            | EventKind::LinkDown { .. }
            | EventKind::State {
                to: State::Suspect | State::Blackholed,
                ..
            } => tracing::warn!("{described}"),
            _ => tracing::info!("{described}"),
        }
        self.print(|| described.to_json());
    }

    fn report(&self, rates: &[Rate], status: &Status) {
        let mut services = Vec::new();
        let bypass = status.bypass();
        for ((name, rate), view) in self.names.services.iter().zip(rates).zip(status.views()) {
            let (link, state) = (self.names.link(name.link), view.state.name());
            let Rate {
                queries,
                answers,
                latency,
            } = rate;
            let at = |quantile| latency.as_ref().map(|latency| latency.at(quantile).as_secs_f64() * 1e3);
            let (median, p99) = (at(0.5), at(0.99));
            let (service, address) = (&name.service, name.address);
            let took = median.zip(p99).map_or_else(String::new, |(median, p99)| {
                format!(" in {median:.2} ms (99 %: {p99:.2} ms)")
            });
            let watch_only = bypass.clone().or(name.watch_only.map(|reason| reason.to_string()));
            let watched = if watch_only.is_some() { ", only watched" } else { "" };
            tracing::info!(
                "{service} at {address} on {link}: {queries:.0} queries/s, {answers:.0} answers/s{took}, {state}{watched}"
            );
            services.push(json!({
                "link": link, "service": service, "address": address, "queries_per_s": queries,
                "answers_per_s": answers, "latency_p50_ms": median, "latency_p99_ms": p99, "state": state,
                "evidence": view.evidence, "threshold": view.threshold, "watch_only": watch_only,
            }));
        }
        self.print(|| line(MonotonicTime::now(), "report", json!({ "services": services })));
    }
}

/// Queries and answers per second of one service, and how long the answers took that were sampled.
#[derive(Clone, Debug)]
struct Rate {
    queries: f64,
    answers: f64,
    latency: Option<Latency>,
}

/// The counters at the last report.
struct Rates {
    at: MonotonicTime,
    counters: Vec<(Counts, LatencyReading)>,
}

impl Rates {
    fn new(status: &Status, at: MonotonicTime) -> Self {
        Self {
            at,
            counters: read(status),
        }
    }

    fn since_last(&mut self, status: &Status, now: MonotonicTime) -> Vec<Rate> {
        let seconds = now.since(self.at).as_secs_f64().max(1e-3);
        self.at = now;
        let before = std::mem::replace(&mut self.counters, read(status));
        before
            .iter()
            .zip(&self.counters)
            .map(|((before, latency_before), (after, latency))| Rate {
                queries: after.queries.saturating_sub(before.queries) as f64 / seconds,
                answers: after.answers.saturating_sub(before.answers) as f64 / seconds,
                latency: Latency::between(latency_before, latency),
            })
            .collect()
    }
}

fn read(status: &Status) -> Vec<(Counts, LatencyReading)> {
    let bank = status.bank();
    (0..bank.services())
        .map(|service| (bank.counts(service).unwrap_or_default(), bank.latency(service)))
        .collect()
}
