//! A running lab: the network with everything that runs in it, and one timeline of what is seen.

mod start;
mod watch;

use crate::binaries::Binaries;
use crate::bird::Routing;
use crate::clock::Moment;
use crate::daemon::{Daemon, DaemonOptions};
use crate::event::EventKind;
use crate::fault::{Fault, Prepared};
use crate::ledger::Counts;
use crate::network::Network;
use crate::node::{Family, Node, PerNode};
use crate::server::{Server, ServerKind};
use crate::sniffer::Sniffer;
use crate::timeline::{Observation, Progress, Reported, What};
use crate::traffic::Traffic;
use crate::workdir::WorkDirectory;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::marker::PhantomData;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// How long a daemon may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a lab runs.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The server of both nodes; `None` for none at all.
    pub server: Option<ServerKind>,
    /// The daemon of both nodes; `None` for none at all.
    pub daemon: Option<DaemonOptions>,
    /// The family of the client's queries.
    pub family: Family,
    /// The project's own executables.
    pub binaries: Binaries,
}

/// A place in the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

/// A running lab. Dropping it takes everything down. It stays on the thread that made it, with which its children end.
pub struct Lab<'progress> {
    options: LabOptions,
    progress: &'progress mut dyn Progress,
    timeline: Receiver<Observation>,
    sender: Sender<Observation>,
    history: Vec<Observation>,
    reported: PerNode<Option<Reported>>,
    measured: Option<(Moment, Counts)>,
    fault: Option<Prepared>,
    // Dropped in this order: what depends on something goes before it.
    traffic: Option<Traffic>,
    daemons: PerNode<Option<Daemon>>,
    servers: PerNode<Option<Server>>,
    routing: Option<Routing>,
    _sniffer: Sniffer,
    network: Network,
    directory: WorkDirectory,
    _bound_to_its_thread: PhantomData<*const ()>,
}

impl Lab<'_> {
    /// What the lab is made of.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Which server the nodes have.
    #[must_use]
    pub fn server(&self) -> Option<ServerKind> {
        self.servers.a.as_ref().map(Server::kind)
    }

    /// Whether there is a routing daemon.
    #[must_use]
    pub fn has_router(&self) -> bool {
        self.routing.is_some()
    }

    /// Says something on the timeline.
    pub fn note(&mut self, words: impl Into<String>) {
        self.record(Observation::now(What::Note(words.into())));
    }

    /// Everything seen so far.
    #[must_use]
    pub fn history(&self) -> &[Observation] {
        &self.history
    }

    /// What was seen since `mark`.
    #[must_use]
    pub fn since(&self, mark: Mark) -> &[Observation] {
        self.history.get(mark.0..).unwrap_or_default()
    }

    /// The end of the timeline, from which to wait for what comes next.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.history.len())
    }

    /// Starts the daemon of `node`.
    pub fn start_daemon(&mut self, node: Node, options: &DaemonOptions) -> Result<()> {
        let daemon = Daemon::start(
            &self.options.binaries.daemon,
            node,
            options,
            self.network.nodes.get(node),
            &self.directory,
            self.sender.clone(),
        )?;
        *self.daemons.get_mut(node) = Some(daemon);
        Ok(())
    }

    /// Starts the daemons of both nodes as the options say, and waits until they have attached their programs.
    pub fn start_daemons(&mut self) -> Result<()> {
        let Some(options) = self.options.daemon.clone() else {
            return Ok(());
        };
        for node in Node::ALL {
            let mark = self.mark();
            self.start_daemon(node, &options)?;
            self.wait_for_event(mark, STOP_TIMEOUT, node, |event| {
                matches!(event, EventKind::Attached { .. })
            })?
            .with_context(|| format!("the daemon of {node} didn't attach its programs"))?;
        }
        Ok(())
    }

    /// Ends the daemon of `node` by `signal`; `None` when it had to be killed instead.
    pub fn stop_daemon(&mut self, node: Node, signal: Signal) -> Result<Option<ExitStatus>> {
        let daemon = self.daemons.get_mut(node).take();
        let daemon = daemon.with_context(|| format!("{node} has no daemon"))?;
        daemon.stop(signal, STOP_TIMEOUT)
    }

    /// Starts the client's queries.
    pub fn start_traffic(&mut self, rate_qps: u32) -> Result<()> {
        let family = self.options.family;
        let traffic = Traffic::start(&self.network.client, family, rate_qps, self.sender.clone())?;
        self.measured = Some((Moment::now(), traffic.counts()));
        self.traffic = Some(traffic);
        Ok(())
    }

    /// The client's running traffic.
    #[must_use]
    pub fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_ref()
    }

    /// Ends the client's queries, giving those in flight the time to be answered; `None` when there were none.
    pub fn stop_traffic(&mut self) -> Option<(Traffic, Counts)> {
        self.measured = None;
        let mut traffic = self.traffic.take()?;
        let counts = traffic.finish();
        Some((traffic, counts))
    }

    /// Does `fault` to node a and gives the moment just before.
    pub fn strike(&mut self, fault: Fault) -> Result<Moment> {
        let server = self.servers.a.as_ref().context("node a has no server")?;
        let prepared = fault.prepare(server, &self.network.nodes.a)?;
        let at = Moment::now();
        if let Some(traffic) = &self.traffic {
            traffic.mark_fault(at);
        }
        prepared.strike()?;
        self.fault = Some(prepared);
        let words = format!("{fault}: {} on {}", server.kind(), Node::A);
        self.record(Observation {
            at,
            what: What::Fault(words),
        });
        Ok(at)
    }

    /// Undoes the fault; nothing without one.
    pub fn recover(&mut self) -> Result<()> {
        let Some(fault) = self.fault.take() else {
            return Ok(());
        };
        fault.undo()?;
        let restart = fault.needs_restart();
        // It may hold the old server's sockets, on the port of the new one.
        drop(fault);
        if restart {
            let kind = self.server().context("node a has no server")?;
            // The old one goes, if it isn't gone already, before its successor takes its place.
            self.servers.a = None;
            self.servers.a = Some(self.start_server(kind, Node::A)?);
        }
        Ok(())
    }
}
