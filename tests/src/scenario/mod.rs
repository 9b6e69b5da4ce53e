//! The main scenario: the server of the nearer node fails, and traffic moves to the other one and back.

mod summary;

pub use summary::Summary;

use crate::binaries::Binaries;
use crate::clock::Moment;
use crate::daemon::DaemonOptions;
use crate::event::EventKind;
use crate::fault::Fault;
use crate::lab::{Lab, LabOptions, Mark};
use crate::ledger::Watch;
use crate::node::{Family, Node};
use crate::server::ServerKind;
use crate::timeline::{Progress, What};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// How long the daemon may take to arm.
const ARMING_TIMEOUT: Duration = Duration::from_secs(15);
/// Healthy traffic before the fault, and traffic shown after each change.
const STEADY: Duration = Duration::from_secs(2);
/// Traffic that is shown after each change.
const SHOWN: Duration = Duration::from_millis(1500);
/// How long the consequences of the fault may take beyond the floor: far more than they should.
const CONSEQUENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long traffic may take to follow a route that has changed.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(3);

/// The fewest queries a second with which the daemon arms: they bring the answers it wants in half of the time it has.
pub const LOWEST_RATE_QPS: u32 = (2 * DaemonOptions::LAB.arming_answers).div_ceil(ARMING_TIMEOUT.as_secs() as u32);
/// The least of [`Failover::duration`] in which a fault can have its consequences and be undone: what is shown, the
/// hold-down, and what may come between.
pub const SHORTEST_DURATION: Duration = STEADY
    .saturating_add(SHOWN)
    .saturating_add(DaemonOptions::LAB.hold_down)
    .saturating_add(ROUTE_TIMEOUT);

/// What to run.
#[derive(Debug, Clone)]
pub struct Failover {
    /// Queries a second, at least [`LOWEST_RATE_QPS`].
    pub rate_qps: u32,
    /// The daemon's floor.
    pub floor: Duration,
    /// The family of the queries.
    pub family: Family,
    /// The longest from the daemon's arming to the link's coming back, the floor not counted; at least
    /// [`SHORTEST_DURATION`].
    pub duration: Duration,
    /// The server of both nodes.
    pub server: ServerKind,
    /// What happens to that of node a.
    pub fault: Fault,
    /// The project's own executables.
    pub binaries: Binaries,
}

/// Runs it. Errors are about the lab; what the daemon did or failed to do is in the summary.
pub fn failover(options: &Failover, progress: &mut dyn Progress) -> Result<Summary> {
    let daemon = DaemonOptions {
        floor: options.floor,
        ..DaemonOptions::default()
    };
    let mut lab = Lab::start(
        LabOptions {
            server: Some(options.server),
            daemon: Some(daemon.clone()),
            family: options.family,
            binaries: options.binaries.clone(),
        },
        progress,
    )?;
    say_what_is_for_the_lab(&mut lab, &daemon);
    lab.start_daemons()?;
    lab.note(format!(
        "traffic: {} queries/s over {} to {}",
        options.rate_qps,
        options.family,
        options.family.service_address()
    ));
    let mark = lab.mark();
    lab.start_traffic(options.rate_qps)?;
    wait_until_armed(&mut lab, mark, options.family)?;
    let end = Moment::now() + options.duration + options.floor;
    lab.run_for(STEADY)?;
    if !lab.network().link_is_up(Node::A)? {
        bail!("node a withdrew its route while its server was healthy: a false alarm");
    }

    let mark = lab.mark();
    let watch = watch(&lab)?;
    let fault = lab.strike(options.fault)?;
    let times = Consequences::wait(&mut lab, mark, options)?;
    lab.run_for(SHOWN)?;
    let failover = lab.wait_for_answer(watch, Node::B, Duration::ZERO)?;

    lab.note(format!("recovery by {}", options.fault.remedy()));
    let mark = lab.mark();
    lab.recover()?;
    let recovery = wait_for_return(&mut lab, mark, end)?;
    if recovery.is_some() {
        lab.run_for(SHOWN)?;
    }
    let (router, server) = (lab.has_router(), lab.server());
    let (traffic, counts) = lab.stop_traffic().context("the traffic ended by itself")?;
    let after = |moment: Option<Moment>| moment.map(|moment| round(moment.ms_since(fault)));
    let kernel = nix::sys::utsname::uname()?;
    Ok(Summary {
        detect_ms: after(times.withdraw),
        link_down_ms: after(times.link_down),
        wire_ms: after(times.wire),
        failover_ms: after(failover),
        recovery_ms: after(recovery),
        queries_lost: counts.lost_since_fault,
        kernel: kernel.release().to_string_lossy().into_owned(),
        server: server.unwrap_or(options.server),
        router: if router { "bird" } else { "none" },
        fault: options.fault,
        rate_qps: options.rate_qps,
        floor_ms: round(options.floor.as_secs_f64() * 1000.0),
        family: match options.family {
            Family::V4 => 4,
            Family::V6 => 6,
        },
        withdrawn: if router {
            times.wire.is_some()
        } else {
            times.link_down.is_some()
        },
        alerted: times.alert.is_some(),
        counts,
        round_trips: traffic.round_trip(0.5).zip(traffic.round_trip(0.99)),
    })
}

fn say_what_is_for_the_lab(lab: &mut Lab<'_>, daemon: &DaemonOptions) {
    let DaemonOptions {
        arming_answers,
        arming_time,
        hold_down,
        ..
    } = daemon;
    let config = "anycast-probe, with settings for the lab only:";
    lab.note(format!(
        "{config} armed after {arming_answers} answers and {arming_time:?}, hold-down {hold_down:?}"
    ));
    if daemon.has_no_floor() {
        lab.note("no floor (accept_no_floor = true): the fastest, and the first to err");
    }
}

/// Waits until the daemon of node a has seen enough answers to act. Node b gets no traffic yet, so it can't.
fn wait_until_armed(lab: &mut Lab<'_>, since: Mark, family: Family) -> Result<()> {
    let service = family.service_address().to_string();
    lab.wait_for_event(
        since,
        ARMING_TIMEOUT,
        Node::A,
        |event| matches!(event, EventKind::State { address, to, .. } if *address == service && to == "healthy"),
    )?
    .context("the daemon of node a has not armed: does it see queries and answers?")?;
    Ok(())
}

/// What followed the fault, and when.
struct Consequences {
    withdraw: Option<Moment>,
    link_down: Option<Moment>,
    wire: Option<Moment>,
    alert: Option<Moment>,
}

impl Consequences {
    fn wait(lab: &mut Lab<'_>, since: Mark, options: &Failover) -> Result<Self> {
        let timeout = options.floor + CONSEQUENCE_TIMEOUT;
        if options.fault.should_withdraw() {
            let link_down = lab.wait_for_event(since, timeout, Node::A, |event| {
                matches!(event, EventKind::LinkDown { .. })
            })?;
            if link_down.is_some() && lab.has_router() {
                wait_for_withdrawal(lab, since, ROUTE_TIMEOUT, options.family)?;
                lab.wait_for(since, ROUTE_TIMEOUT, |observation| {
                    (observation.what == What::AnsweredBy(Node::B)).then_some(())
                })?;
            }
        } else {
            lab.wait_for_event(since, timeout, Node::A, tells_of_lost_answers)?;
            // Time in which the wrong thing could still happen.
            lab.run_for(STEADY)?;
        }
        let mut seen = |wanted: fn(&EventKind) -> bool| lab.wait_for_event(since, Duration::ZERO, Node::A, wanted);
        Ok(Self {
            withdraw: seen(|event| matches!(event, EventKind::Withdraw(_)))?,
            link_down: seen(|event| matches!(event, EventKind::LinkDown { .. }))?,
            alert: seen(tells_of_lost_answers)?,
            wire: wait_for_withdrawal(lab, since, Duration::ZERO, options.family)?,
        })
    }
}

/// Any other alert is no answer to the fault.
fn tells_of_lost_answers(event: &EventKind) -> bool {
    matches!(event, EventKind::Alert { kind, .. } if kind == "egress-broken")
}

/// Waits for node a's BGP withdrawal of the service prefix and gives its arrival at the router.
pub fn wait_for_withdrawal(
    lab: &mut Lab<'_>,
    since: Mark,
    timeout: Duration,
    family: Family,
) -> Result<Option<Moment>> {
    let prefix = (family.service_address(), family.prefix_length());
    lab.wait_for(since, timeout, |observation| match &observation.what {
        What::Bgp { node: Node::A, update } if update.withdrawn.contains(&prefix) => Some(observation.at),
        _ => None,
    })
}

fn watch(lab: &Lab<'_>) -> Result<Watch> {
    Ok(lab.traffic().context("there is no traffic")?.watch())
}

/// Waits until the link of node a is up and the client's answers come from there; gives the first one's moment.
fn wait_for_return(lab: &mut Lab<'_>, since: Mark, end: Moment) -> Result<Option<Moment>> {
    let watch = watch(lab)?;
    if !lab.network().link_is_up(Node::A)? {
        let left = end.since(Moment::now());
        let up = lab.wait_for_event(since, left, Node::A, |event| matches!(event, EventKind::LinkUp { .. }))?;
        if up.is_none() {
            return Ok(None);
        }
    }
    let left = end.since(Moment::now());
    lab.wait_for_answer(watch, Node::A, left.max(ROUTE_TIMEOUT))
}

/// Milliseconds to a thousandth: what lies below is noise.
fn round(milliseconds: f64) -> f64 {
    (milliseconds * 1000.0).round() / 1000.0
}
