//! The main scenario: the server of the nearer node fails, and traffic moves to the other one and back.

use crate::binaries::Binaries;
use crate::clock::Moment;
use crate::daemon::DaemonOptions;
use crate::event::EventKind;
use crate::fault::Fault;
use crate::lab::{Lab, LabOptions, Mark};
use crate::ledger::{Counts, Watch};
use crate::node::{Family, Node};
use crate::server::ServerKind;
use crate::timeline::{Progress, What};
use anyhow::{Context, Result, bail};
use serde::Serialize;
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

/// What to run.
#[derive(Debug, Clone)]
pub struct Failover {
    /// Queries a second.
    pub rate_qps: u32,
    /// The daemon's floor.
    pub floor: Duration,
    /// The family of the queries.
    pub family: Family,
    /// The longest that traffic flows.
    pub duration: Duration,
    /// The server of both nodes.
    pub server: ServerKind,
    /// What happens to that of node a.
    pub fault: Fault,
    /// The project's own executables.
    pub binaries: Binaries,
}

/// What came of it. Times are in milliseconds from just before the fault, on `CLOCK_MONOTONIC`; null for what did not
/// happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The daemon of node a decided to withdraw.
    pub detect_ms: Option<f64>,
    /// Its link was down, acknowledged by the kernel.
    pub link_down_ms: Option<f64>,
    /// The BGP withdrawal arrived at the router.
    pub wire_ms: Option<f64>,
    /// The client got node b's first answer to a query that was sent after the fault.
    pub failover_ms: Option<f64>,
    /// The client got node a's first answer after the fault was undone; not a part of the failover.
    pub recovery_ms: Option<f64>,
    /// Queries sent from the fault on that got no answer within a second.
    pub queries_lost: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The DNS server: perhaps not the one asked for.
    pub server: ServerKind,
    /// The routing daemon: `bird`, or `none`.
    pub router: &'static str,
    /// What was done to the server.
    pub fault: Fault,
    /// Queries a second, as asked for.
    pub rate_qps: u32,
    /// The daemon's floor.
    pub floor_ms: u64,
    /// The family of the queries, 4 or 6.
    pub family: u8,
    /// The route of node a was withdrawn.
    pub withdrawn: bool,
    /// Node a alerted its operator.
    pub alerted: bool,
    /// All of the client's queries.
    #[serde(skip)]
    pub counts: Counts,
    /// Half of the answers came within this time, and 99 in 100 within that.
    #[serde(skip)]
    pub round_trips: Option<(Duration, Duration)>,
}

impl Summary {
    /// What should have happened and didn't, or the other way round.
    #[must_use]
    pub fn surprises(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut expect = |holds: bool, words: &str| {
            if !holds {
                found.push(words.to_owned());
            }
        };
        if self.fault.should_withdraw() {
            expect(self.withdrawn, "the route should have been withdrawn");
            if self.router != "none" {
                expect(self.failover_ms.is_some(), "the other node should have answered");
            }
        } else {
            expect(!self.withdrawn, "the route should not have been withdrawn");
            expect(self.alerted, "the daemon should have alerted");
        }
        expect(
            self.recovery_ms.is_some(),
            "node a should have answered again in the end",
        );
        found
    }
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
    let end = Moment::now() + options.duration;
    let mark = lab.mark();
    lab.start_traffic(options.rate_qps)?;
    wait_until_armed(&mut lab, mark, options.family)?;
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
        floor_ms: options.floor.as_millis() as u64,
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
        floor,
        arming_answers,
        arming_time,
        hold_down,
        ..
    } = daemon;
    let config = "anycast-probe, with settings for the lab only:";
    lab.note(format!(
        "{config} armed after {arming_answers} answers and {arming_time:?}, hold-down {hold_down:?}"
    ));
    if floor.is_zero() {
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
            lab.wait_for_event(since, timeout, Node::A, |event| {
                matches!(event, EventKind::Alert { .. })
            })?;
            // Time in which the wrong thing could still happen.
            lab.run_for(STEADY)?;
        }
        let mut seen = |wanted: fn(&EventKind) -> bool| lab.wait_for_event(since, Duration::ZERO, Node::A, wanted);
        Ok(Self {
            withdraw: seen(|event| matches!(event, EventKind::Withdraw(_)))?,
            link_down: seen(|event| matches!(event, EventKind::LinkDown { .. }))?,
            alert: seen(|event| matches!(event, EventKind::Alert { .. }))?,
            wire: wait_for_withdrawal(lab, since, Duration::ZERO, options.family)?,
        })
    }
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
