//! How a lab is watched: everything seen goes through here, and every wait is one for something to be seen.

use super::{Lab, Mark};
use crate::clock::Moment;
use crate::event::EventKind;
use crate::interrupt;
use crate::ledger::Watch;
use crate::node::{Family, Node, PerNode};
use crate::timeline::{Observation, Reported, Throughput, What};
use anyhow::{Context, Result, bail};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// How long BGP sessions may take to be established and routes to be installed.
pub(super) const ROUTES_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the timeline has a line of rates.
const THROUGHPUT_INTERVAL: Duration = Duration::from_millis(500);
/// The longest wait between two looks at Ctrl-C, children that ended and the progress display.
const ROUND: Duration = Duration::from_millis(20);

impl Lab<'_> {
    /// Waits for an observation after `since` of which `find` makes something; `None` when none came in time.
    pub fn wait_for<T>(
        &mut self,
        since: Mark,
        timeout: Duration,
        mut find: impl FnMut(&Observation) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Moment::now() + timeout;
        let mut seen = since.0;
        loop {
            let fresh = self.since(Mark(seen));
            if let Some(found) = fresh.iter().find_map(&mut find) {
                return Ok(Some(found));
            }
            seen = self.history.len().max(seen);
            if Moment::now() >= deadline {
                return Ok(None);
            }
            self.round()?;
        }
    }

    /// As [`Self::wait_for`], for an event of the daemon of `node`, and gives when it happened.
    pub fn wait_for_event(
        &mut self,
        since: Mark,
        timeout: Duration,
        node: Node,
        wanted: impl Fn(&EventKind) -> bool,
    ) -> Result<Option<Moment>> {
        self.wait_for(since, timeout, |observation| match &observation.what {
            What::Daemon { node: of, event } if *of == node && wanted(&event.kind) => Some(observation.at),
            _ => None,
        })
    }

    /// Lets the lab run for `duration`.
    pub fn run_for(&mut self, duration: Duration) -> Result<()> {
        let end = self.mark();
        self.wait_for(end, duration, |_| None::<()>).map(drop)
    }

    /// Waits for the first answer of `node` that `watch` is for, and gives when it came.
    pub fn wait_for_answer(&mut self, watch: Watch, node: Node, timeout: Duration) -> Result<Option<Moment>> {
        let deadline = Moment::now() + timeout;
        loop {
            let traffic = self.traffic.as_ref().context("there is no traffic to be answered")?;
            let first = traffic.first_answer(watch, node);
            if first.is_some() || Moment::now() >= deadline {
                return Ok(first);
            }
            self.round()?;
        }
    }

    /// Waits until the router's kernel sends traffic for the service address to `node` (to nobody: `None`).
    pub fn wait_for_route(&mut self, family: Family, node: Option<Node>) -> Result<()> {
        let deadline = Moment::now() + ROUTES_TIMEOUT;
        while self.network.routed_to(family)? != node {
            if Moment::now() > deadline {
                bail!("the router has not installed the {family} route it was expected to");
            }
            self.round()?;
        }
        Ok(())
    }

    /// One turn of every wait: takes in what came, looks after the children, keeps the display going.
    fn round(&mut self) -> Result<()> {
        interrupt::check()?;
        match self.timeline.recv_timeout(ROUND) {
            Ok(observation) => self.record(observation),
            // The lab holds a sender itself, so there always is one.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.check_running()?,
        }
        while let Ok(observation) = self.timeline.try_recv() {
            self.record(observation);
        }
        self.measure();
        self.progress.tick();
        Ok(())
    }

    fn check_running(&mut self) -> Result<()> {
        if let Some(routing) = &mut self.routing {
            routing.check_running()?;
        }
        for node in Node::ALL {
            if let Some(daemon) = self.daemons.get_mut(node) {
                daemon.check_running()?;
            }
        }
        for node in Node::ALL {
            // That of node a may be dead on purpose.
            let struck = node == Node::A && self.fault.is_some();
            if !struck && let Some(server) = self.servers.get_mut(node) {
                server.check_running()?;
            }
        }
        Ok(())
    }

    pub(super) fn record(&mut self, observation: Observation) {
        if let What::Daemon { node, event } = &observation.what
            && let EventKind::Report { services } = &event.kind
        {
            let address = self.options.family.service_address().to_string();
            *self.reported.get_mut(*node) = services
                .iter()
                .find(|service| service.address == address)
                .map(|service| Reported {
                    queries_per_s: service.queries_per_s,
                    answers_per_s: service.answers_per_s,
                });
        }
        self.progress.observe(&observation);
        self.history.push(observation);
    }

    fn measure(&mut self) {
        let (Some((since, before)), Some(traffic)) = (self.measured, &self.traffic) else {
            return;
        };
        let now = Moment::now();
        let elapsed = now.since(since);
        if elapsed < THROUGHPUT_INTERVAL {
            return;
        }
        let counts = traffic.counts();
        let rate = |after: u64, before: u64| after.saturating_sub(before) as f64 / elapsed.as_secs_f64();
        let throughput = Throughput {
            sent_per_s: rate(counts.sent, before.sent),
            answered_per_s: PerNode {
                a: rate(counts.answered.a, before.answered.a),
                b: rate(counts.answered.b, before.answered.b),
            },
            reported: self.reported,
        };
        self.measured = Some((now, counts));
        self.record(Observation {
            at: now,
            what: What::Throughput(throughput),
        });
    }
}
