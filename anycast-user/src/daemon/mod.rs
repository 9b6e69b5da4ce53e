//! The daemon: looks, loads, attaches, watches, until it is told to end. Links stay as they are then.

mod look;
mod residents;
mod sampling;
mod start;
mod uplinks;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tracing_appender::non_blocking::NonBlocking;

use self::{
    look::look_after,
    residents::{meet, tell_missing, tell_watch_only},
    sampling::{keep_to_budget, tell_latency},
    start::{Hands, engine, load, lock_memory, names, tell_scheduling},
    uplinks::{Uplinks, confirm, follow},
};
use crate::{
    config::{Config, MetricsListen},
    datapath::{Bank, SampleRate, SecondProof},
    discover::{Plan, PlannedService, discover},
    event::Notice,
    export::{
        http::{self, Limits},
        metrics::Exporter,
    },
    net::Netlink,
    probe::Prober,
    report::Teller,
    route::Actuator,
    sampler::{self, Look, Parts, Sampler},
    sockets::{self, SocketWatch},
    status::Status,
};

/// Events that may wait to be told.
const EVENTS_WAITING: usize = 4096;

/// How the daemon tells what happens, besides the log.
#[derive(Clone, Debug)]
pub struct Telling {
    /// Where events go as JSON lines, if anywhere.
    pub json: Option<NonBlocking>,
    /// Time between two reports of what the services do.
    pub report_interval: Duration,
}

/// Runs until SIGTERM or SIGINT. An error is one that kept it from starting, or an end of its sampling thread.
pub fn run(config: &Config, telling: &Telling) -> Result<()> {
    let mut netlink = Netlink::open()?;
    let plan = discover(config, &mut netlink)?;
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let teller = Teller::new(Arc::new(names(&plan)), telling.json.clone());
    // One thread: nothing here is urgent, what is has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    // First what can fail without a trace: a port in use must not put programs on an uplink and take them off again.
    let listener = match config.metrics {
        MetricsListen::Off => None,
        MetricsListen::Address(address) => Some(runtime.block_on(http::bind(address))?),
    };
    // Before anything is touched: from here on a signal ends the daemon in order.
    let ends = {
        let _runtime = runtime.enter();
        Ends::wait_for().context("cannot wait for signals")?
    };
    let mut hands = Hands::default();
    let mut counting = false;
    let watch = || {
        if config.is_armed() {
            hands.take(&plan, &mut netlink)?;
        }
        let mut datapath = load(config, &plan)?;
        let (bank, sample_rate) = (datapath.bank(), datapath.sample_rate());
        let second_proof = datapath.second_proof()?;
        let residents = meet(&plan, &datapath.program_numbers(), &teller);
        let uplinks = Uplinks::start(datapath, config, &plan.uplinks, residents, &teller)?;
        tell_missing(&plan, &teller);
        let bypass = uplinks.bypass();
        let uplinks = Arc::new(Mutex::new(uplinks));
        let watching = Watching {
            config,
            plan: &plan,
            teller: &teller,
            bank,
            sample_rate,
            second_proof,
            uplinks: Arc::clone(&uplinks),
            bypass,
            report_interval: telling.report_interval,
        };
        let ended = runtime.block_on(watching.run(hands.actuator.take(), listener, ends));
        // Not before: somebody may have removed the pins meanwhile.
        counting = uplinks.lock().unwrap_or_else(PoisonError::into_inner).is_pinned();
        ended
    };
    let ended = watch();
    hands.release(&mut netlink);
    ended?;
    teller.notice(&Notice::Stopped { counting });
    Ok(())
}

/// What the daemon goes by while it watches.
struct Watching<'a> {
    config: &'a Config,
    plan: &'a Plan,
    teller: &'a Teller,
    bank: Bank,
    sample_rate: SampleRate,
    second_proof: SecondProof,
    uplinks: Arc<Mutex<Uplinks>>,
    /// Why answers may leave past the counters, at the start.
    bypass: Option<String>,
    report_interval: Duration,
}

impl Watching<'_> {
    async fn run(self, actuator: Option<Actuator>, listener: Option<TcpListener>, mut ends: Ends) -> Result<()> {
        let Self {
            config,
            plan,
            teller,
            bank,
            sample_rate,
            second_proof,
            uplinks,
            bypass,
            report_interval,
        } = self;
        let names = teller.names();
        let status = Arc::new(Status::new(config.is_armed(), Arc::clone(names), bank));
        for (index, planned) in plan.links.iter().enumerate() {
            if let Some(link) = status.link(index) {
                link.announced.store(planned.link.up, Relaxed);
            }
        }
        tell_watch_only(plan, bypass.as_deref(), teller);
        status.set_bypass(bypass);
        let looks: Arc<[Look]> = plan.links.iter().map(|_| Look::default()).collect();
        let (events, told) = mpsc::channel(EVENTS_WAITING);
        let services = plan.links.iter().flat_map(|link| &link.services);
        let timed: Vec<usize> = (0..)
            .zip(services.clone())
            .filter_map(|(index, service)| service.protocol.is_sampled().then_some(index))
            .collect();
        let socket_watch = SocketWatch::start(sockets::Parts {
            services: services.clone().map(PlannedService::udp_endpoint).collect(),
            status: Arc::clone(&status),
            second_proof,
        })
        .context("cannot start the thread that looks at sockets")?;
        let prober = Prober::start(2 * names.services.len())?;
        tell_scheduling("prober", prober.scheduling);
        let sampler = Sampler::start(Parts {
            engine: engine(config, plan, &status),
            status: Arc::clone(&status),
            addresses: services.map(PlannedService::endpoint).collect(),
            looks: Arc::clone(&looks),
            actuator,
            prober,
            events,
            period: sampler::period(config.floor.least),
        })
        .context("cannot start the sampling thread")?;
        tell_scheduling("sampling", sampler.scheduling);
        lock_memory();
        teller.notice(&Notice::Started {
            armed: config.is_armed(),
            links: &names.links,
        });

        let served = serve(listener, Arc::clone(&status));
        let ended = tokio::select! {
            () = teller.run(told, &status, report_interval) => ended_by_itself(),
            () = served => ended_by_itself(),
            () = keep_to_budget(status.bank(), &timed, &sample_rate) => ended_by_itself(),
            () = tell_latency(&status, &timed) => ended_by_itself(),
            ended = look_after(plan, &looks, &sampler, &socket_watch) => ended,
            ended = confirm(Arc::clone(&uplinks), Arc::clone(&status)) => ended.map(|never| match never {}),
            ended = follow(Arc::clone(&uplinks), config.uplinks.is_none(), &status) => ended.map(|never| match never {}),
            () = ends.come() => Ok(()),
        };
        drop(socket_watch);
        sampler.stop();
        // Only now: an uplink after another being detached looks like answers that are missing.
        drop(uplinks);
        ended
    }
}

/// The signals that end the daemon. SIGHUP too: nothing is reloaded by it yet.
struct Ends([Signal; 3]);

impl Ends {
    fn wait_for() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn come(&mut self) {
        let Self([terminate, interrupt, hangup]) = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

async fn serve(listener: Option<TcpListener>, status: Arc<Status>) {
    match listener {
        Some(listener) => http::serve(listener, Arc::new(Exporter::new(status)), Limits::default()).await,
        None => std::future::pending().await,
    }
}

fn ended_by_itself() -> Result<()> {
    bail!("a thread that watches has ended by itself; links stay as they are; please report this")
}
