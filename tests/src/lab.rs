//! A running lab: the network with everything that runs in it, and one timeline of what is seen.

use crate::bird::Routing;
use crate::clock::Moment;
use crate::daemon::{Daemon, DaemonOptions};
use crate::event::EventKind;
use crate::fault::{Fault, Prepared};
use crate::interrupt;
use crate::ledger::{Counts, Watch};
use crate::network::{Family, Network, Node, PerNode};
use crate::server::{Server, ServerKind, first_line};
use crate::sniffer::Sniffer;
use crate::timeline::{Observation, Progress, Reported, Throughput, What};
use crate::tools;
use crate::traffic::Traffic;
use crate::workdir::WorkDirectory;
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long BGP sessions may take to be established and routes to be installed.
const ROUTES_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a daemon may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the timeline has a line of rates.
const THROUGHPUT_INTERVAL: Duration = Duration::from_millis(500);
/// The longest wait between two looks at Ctrl-C, children that ended and the progress display.
const ROUND: Duration = Duration::from_millis(20);

/// What a lab runs.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The server of both nodes; `None` for none at all. One that isn't installed is replaced by the built-in one.
    pub server: Option<ServerKind>,
    /// The daemon of both nodes; `None` for none at all.
    pub daemon: Option<DaemonOptions>,
    /// The family of the client's queries.
    pub family: Family,
    /// The project's own executables.
    pub binaries: Binaries,
}

/// The project's own executables that a lab runs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `anycast-probe`
    pub daemon: PathBuf,
    /// `anycast-lab`, which holds the built-in responder.
    pub lab: PathBuf,
}

impl Binaries {
    /// Looks beside the current executable, or above it when that is a test; `$ANYCAST_PROBE_BIN` names another
    /// daemon.
    pub fn find() -> Result<Self> {
        let current = std::env::current_exe()?;
        let beside = |name: &str| {
            current
                .ancestors()
                .skip(1)
                .take(2)
                .map(|directory| directory.join(name))
                .find(|path| path.is_file())
                .with_context(|| format!("there is no {name} near {}; `cargo build` makes it", current.display()))
        };
        let daemon = match std::env::var_os("ANYCAST_PROBE_BIN") {
            Some(path) => path.into(),
            None => beside("anycast-probe")?,
        };
        Ok(Self {
            daemon,
            lab: beside("anycast-lab")?,
        })
    }
}

/// Something that a lab can't do without is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPrerequisite(String);

impl std::fmt::Display for MissingPrerequisite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for MissingPrerequisite {}

/// Looks for what tests of the whole can't do without, and gives the executables to run.
pub fn prerequisites() -> Result<Binaries, MissingPrerequisite> {
    if !nix::unistd::geteuid().is_root() {
        return Err(MissingPrerequisite("it needs root".into()));
    }
    for (program, package) in [("ip", "iproute2"), ("unshare", "util-linux"), ("bird", "bird2")] {
        if tools::find(program).is_none() {
            let words = format!("there is no {program} (package {package}); `cargo xtask setup` fetches what it can");
            return Err(MissingPrerequisite(words));
        }
    }
    Binaries::find().map_err(|error| MissingPrerequisite(error.to_string()))
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

impl<'progress> Lab<'progress> {
    /// Builds the network and starts everything but the daemons and the traffic: servers answer and routes are
    /// installed when it returns.
    pub fn start(options: LabOptions, progress: &'progress mut dyn Progress) -> Result<Self> {
        interrupt::check()?;
        let directory = WorkDirectory::new()?;
        let network = Network::new()?;
        let (sender, timeline) = channel();
        let sniffer = Sniffer::start(&network.router, sender.clone())?;
        let mut lab = Self {
            options,
            progress,
            timeline,
            sender,
            history: Vec::new(),
            reported: PerNode::default(),
            measured: None,
            fault: None,
            traffic: None,
            daemons: PerNode::default(),
            servers: PerNode::default(),
            routing: None,
            _sniffer: sniffer,
            network,
            directory,
            _bound_to_its_thread: PhantomData,
        };
        lab.describe_network();
        lab.start_servers()?;
        lab.announce()?;
        Ok(lab)
    }

    /// What the lab is made of.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Which server the nodes have: perhaps not the one that was asked for.
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

    /// The end of the timeline, from which to wait for what comes next.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.history.len())
    }

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
            let fresh = self.history.get(seen..).unwrap_or_default();
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
        if matches!(fault, Prepared::Kill(_)) {
            let kind = self.server().context("node a has no server")?;
            // The dead one's remains go before its successor takes its place.
            self.servers.a = None;
            self.servers.a = Some(self.start_server(kind, Node::A)?);
        }
        Ok(())
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

    fn describe_network(&mut self) {
        let kind = self.network.link_kind;
        let lacking = if kind == "dummy" {
            ""
        } else {
            " (this kernel has no dummy)"
        };
        self.note(format!(
            "network of four namespaces; anycast0 is of kind {kind}{lacking}"
        ));
    }

    fn start_servers(&mut self) -> Result<()> {
        let Some(wanted) = self.options.server else {
            return Ok(());
        };
        let kind = wanted.or_builtin();
        if kind == wanted {
            self.note(format!("DNS server: {}", kind.version()));
        } else {
            self.note(format!("{wanted} isn't installed: using the built-in responder"));
        }
        for node in Node::ALL {
            let server = self.start_server(kind, node)?;
            *self.servers.get_mut(node) = Some(server);
        }
        for node in Node::ALL {
            if let Some(server) = self.servers.get_mut(node) {
                server.wait_ready(self.network.nodes.get(node))?;
            }
        }
        Ok(())
    }

    fn start_server(&self, kind: ServerKind, node: Node) -> Result<Server> {
        Server::start(
            kind,
            node,
            self.network.nodes.get(node),
            &self.directory,
            &self.options.binaries.lab,
        )
    }

    /// Starts BIRD and waits for the routes.
    fn announce(&mut self) -> Result<()> {
        let Some(bird) = tools::find("bird") else {
            self.note("BIRD isn't installed: static routes to node a instead, and no withdrawal to be seen");
            for family in Family::ALL {
                let (service, node) = (family.service_address(), Node::A.address(family));
                self.network.router.ip(&format!("route add {service} via {node}\n"))?;
            }
            return Ok(());
        };
        let version = first_line(bird.command().arg("--version"));
        self.note(format!("router: {}", version.as_deref().unwrap_or("BIRD")));
        let mark = self.mark();
        self.routing = Some(Routing::start(&bird, &self.network, &self.directory)?);
        for node in Node::ALL {
            for family in Family::ALL {
                let prefix = (family.service_address(), family.prefix_length());
                self.wait_for(mark, ROUTES_TIMEOUT, |observation| match &observation.what {
                    What::Bgp { node: of, update } if *of == node => update.announced.contains(&prefix).then_some(()),
                    _ => None,
                })?
                .with_context(|| format!("{node} has not announced {} by BGP", prefix.0))?;
            }
        }
        for family in Family::ALL {
            self.wait_for_route(family, Some(Node::A))?;
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
        // A server may be dead on purpose.
        if self.fault.is_none()
            && let Some(server) = &mut self.servers.a
        {
            server.check_running()?;
        }
        Ok(())
    }

    fn record(&mut self, observation: Observation) {
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
