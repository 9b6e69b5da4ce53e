//! The daemon: looks, loads, attaches, watches, until it is told to end. Links stay as they are then.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use aya_log::EbpfLogger;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::interval,
};
use tracing_appender::non_blocking::NonBlocking;

use crate::{
    clock::MonotonicTime,
    config::{Config, MetricsListen},
    datapath::{self, Datapath},
    detect,
    detect::Sample,
    discover::{Plan, PlannedLink, discover},
    engine::{Engine, Found, LinkSetup, Settings},
    event::{Names, Notice, ServiceName},
    export::{
        http::{self, Limits},
        metrics::Exporter,
    },
    net::Netlink,
    policy::SuspicionSettings,
    probe::Prober,
    report::Teller,
    route::{Actuator, LinkSwitch, Ownership, Scheduling, has_stale_mark, ipv6, ownership},
    sampler::{self, Look, Parts, Sampler},
    status::Status,
};

const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;
/// How often links are looked at, and the sampling thread.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
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
    let names = Arc::new(names(&plan));
    let teller = Teller::new(Arc::clone(&names), telling.json.clone());
    let datapath = attach(config, &plan, &teller)?;
    let hands = take_hands(config, &plan, &mut netlink)?;

    // One thread: nothing here is urgent, what is has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    let ended = runtime.block_on(watch(
        config,
        telling.report_interval,
        &plan,
        &teller,
        &datapath,
        hands.actuator,
    ));
    for prepared in hands.prepared {
        prepared
            .release(&mut netlink)
            .unwrap_or_else(|error| tracing::warn!("{error}"));
    }
    teller.notice(&Notice::Stopped);
    ended
}

fn names(plan: &Plan) -> Names {
    let service_names = |(link, planned): (usize, &PlannedLink)| {
        let name = |service: &crate::discover::PlannedService| ServiceName {
            link,
            service: service.name.clone(),
            address: service.address,
        };
        planned.services.iter().map(name).collect::<Vec<_>>()
    };
    Names {
        links: plan.links.iter().map(|planned| planned.link.name.clone()).collect(),
        services: plan.links.iter().enumerate().flat_map(service_names).collect(),
    }
}

/// Loads the programs, tests that they know the services, and attaches them to every uplink.
fn attach(config: &Config, plan: &Plan, teller: &Teller) -> Result<Datapath> {
    let services: Vec<datapath::Service> = plan
        .links
        .iter()
        .flat_map(|link| &link.services)
        .map(|service| datapath::Service {
            address: service.address,
            port: service.port,
        })
        .collect();
    let mut datapath = Datapath::load(&services)?;
    // What the programs say of the test is in the log before its verdict is known here.
    let mut log = EbpfLogger::init(datapath.ebpf_mut());
    let tested = datapath.self_test(&services);
    match &mut log {
        Ok(log) => log.flush(),
        Err(error) => tracing::warn!("the kernel programs' log can't be read: {error}"),
    }
    tested?;
    for uplink in &plan.uplinks {
        let name = uplink.link.name.as_str();
        let attached = datapath.attach(&uplink.link, config.hook, uplink.native_xdp_is_calm)?;
        if let Some(refused) = &attached.refused {
            teller.notice(&Notice::AttachFallback {
                uplink: name,
                reason: &refused.reason,
            });
        }
        teller.notice(&Notice::Attached {
            uplink: name,
            attached: &attached,
        });
    }
    Ok(datapath)
}

/// What may touch links; empty while the daemon only observes.
struct TakenHands {
    actuator: Option<Actuator>,
    prepared: Vec<ipv6::Prepared>,
}

fn take_hands(config: &Config, plan: &Plan, netlink: &mut Netlink) -> Result<TakenHands> {
    if !config.armed {
        return Ok(TakenHands {
            actuator: None,
            prepared: Vec::new(),
        });
    }
    let mut prepared = Vec::new();
    let mut switches = Vec::new();
    for PlannedLink { link, .. } in &plan.links {
        prepared.push(ipv6::prepare(netlink, link)?);
        let mut switch = LinkSwitch::open(link)?;
        if has_stale_mark(link) {
            tracing::warn!(
                "{}: somebody raised it after an earlier run had put it down; taking the mark off",
                link.name
            );
            switch.announce()?;
        }
        switches.push(switch);
    }
    let actuator = Actuator::start(switches)?;
    tell_scheduling("actuator", actuator.scheduling);
    Ok(TakenHands {
        actuator: Some(actuator),
        prepared,
    })
}

fn tell_scheduling(thread: &str, scheduling: Scheduling) {
    if let Scheduling::Ordinary { errno } = scheduling {
        tracing::warn!(
            "the {thread} thread has no real-time scheduling (error {errno}): on a busy machine it will be late by \
             milliseconds; give the daemon CAP_SYS_NICE"
        );
    }
}

async fn watch(
    config: &Config,
    report_interval: Duration,
    plan: &Plan,
    teller: &Teller,
    datapath: &Datapath,
    actuator: Option<Actuator>,
) -> Result<()> {
    // Before anything can be withdrawn: from here on a signal ends the daemon in order.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let listener = match config.metrics {
        MetricsListen::Off => None,
        MetricsListen::Address(address) => Some(http::bind(address).await?),
    };
    let names = Arc::new(names(plan));
    let status = Arc::new(Status::new(config.armed, Arc::clone(&names), datapath.bank()));
    let looks: Arc<[Look]> = plan.links.iter().map(|_| Look::default()).collect();
    let (events, told) = mpsc::channel(EVENTS_WAITING);
    let services = plan.links.iter().flat_map(|link| &link.services);
    let prober = Prober::start(names.services.len())?;
    tell_scheduling("prober", prober.scheduling);
    let sampler = Sampler::start(Parts {
        engine: engine(config, plan, &status),
        status: Arc::clone(&status),
        addresses: services
            .map(|service| SocketAddr::new(service.address, service.port))
            .collect(),
        looks: Arc::clone(&looks),
        actuator,
        prober,
        events,
        period: sampler::period(config.floor),
    })
    .context("cannot start the sampling thread")?;
    tell_scheduling("sampling", sampler.scheduling);
    lock_memory();
    teller.notice(&Notice::Started {
        armed: config.armed,
        links: &names.links,
    });

    let served = serve(listener, Arc::clone(&status));
    let ended = tokio::select! {
        () = teller.run(told, &status, report_interval) => bail_ended(),
        () = served => bail_ended(),
        ended = look_after(plan, &looks, &sampler) => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    sampler.stop();
    ended
}

fn engine(config: &Config, plan: &Plan, status: &Status) -> Engine {
    let now = MonotonicTime::now();
    let budget = config.detection.node_years_between_false_alarms * SECONDS_PER_YEAR;
    let settings = Settings {
        armed: config.armed,
        detect: detect::Settings {
            time_between_false_alarms: Duration::try_from_secs_f64(budget).unwrap_or(Duration::MAX),
            services: status.names().services.len() as u32,
            arming_answers: config.arming.answers,
            arming_time: config.arming.time,
        },
        suspicion: SuspicionSettings { floor: config.floor },
        hold_down: config.coming_back.hold_down,
    };
    let mut next = 0;
    let mut sample = || {
        let (queries, answers) = status.bank().queries_and_answers(next);
        next += 1;
        Sample {
            at: now,
            queries,
            answers,
        }
    };
    let links: Vec<LinkSetup> = plan
        .links
        .iter()
        .map(|planned| LinkSetup {
            found: found(config.armed, planned),
            services: planned.services.iter().map(|_| sample()).collect(),
        })
        .collect();
    Engine::new(settings, &links, now)
}

fn found(armed: bool, PlannedLink { link, services }: &PlannedLink) -> Found {
    match (link.up, ownership(link)) {
        (true, _) => Found::Up,
        (false, Ownership::Ours) if armed => {
            let addresses: Vec<String> = services.iter().map(|service| service.address.to_string()).collect();
            let addresses = addresses.join(", ");
            tracing::warn!(
                "{} was put down by an earlier run; it comes up when {addresses} answer",
                link.name
            );
            Found::WithdrawnByUs
        }
        (false, Ownership::Ours) => {
            tracing::warn!(
                "{} was put down by an earlier run that was armed; this one only observes: run it with --arm, or \
                 `ip link set dev {} up`",
                link.name,
                link.name
            );
            Found::Down
        }
        (false, Ownership::NotOurs) => {
            tracing::warn!(
                "{} is down, and not by this tool: it stays so until you raise it",
                link.name
            );
            Found::Down
        }
    }
}

/// Keeps in memory what the running threads touch. Not what is mapped later (`MCL_FUTURE`): under a limit on locked
/// memory that would make an allocation fail, and nothing urgent allocates.
fn lock_memory() {
    // SAFETY: the call changes no memory that Rust knows of, only that pages stay once they are there.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::warn!(
            "memory is not locked ({error}): give the daemon CAP_IPC_LOCK, or its unit LimitMEMLOCK=infinity"
        );
    }
}

async fn serve(listener: Option<TcpListener>, status: Arc<Status>) {
    match listener {
        Some(listener) => http::serve(listener, Arc::new(Exporter::new(status)), Limits::default()).await,
        None => std::future::pending().await,
    }
}

/// Looks at the links, and at the sampling thread, which must not end.
async fn look_after(plan: &Plan, looks: &Arc<[Look]>, sampler: &Sampler) -> Result<()> {
    let links: Arc<[String]> = plan.links.iter().map(|planned| planned.link.name.clone()).collect();
    let mut ticks = interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        if !sampler.is_running() {
            return bail_ended();
        }
        let (links, looks) = (Arc::clone(&links), Arc::clone(looks));
        // Netlink may wait for the kernel's RTNL lock.
        tokio::task::spawn_blocking(move || look(&links, &looks))
            .await
            .context("cannot look at the links")?;
    }
}

fn look(links: &[String], looks: &[Look]) {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => return tracing::warn!("{error}"),
    };
    for (name, look) in links.iter().zip(looks) {
        // Before the question, so that a change meanwhile counts as the later one.
        let at = MonotonicTime::now();
        match netlink.link(name) {
            Ok(link) => look.note(at, link.up),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

fn bail_ended() -> Result<()> {
    bail!("a thread that watches has ended by itself; links stay as they are; please report this")
}
