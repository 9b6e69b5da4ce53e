//! The whole path, in network namespaces: real packets, real servers, real BIRD, the daemon as an operator runs it.
//!
//! No wall-clock time is asserted: the machine may be busy. What is asserted is what happened and in which order.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use anycast_tests::binaries::{Binaries, prerequisites};
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::event::EventKind;
use anycast_tests::fault::Fault;
use anycast_tests::lab::{Lab, LabOptions, Mark};
use anycast_tests::network::LINK;
use anycast_tests::node::{Family, Node};
use anycast_tests::prerequisite;
use anycast_tests::scenario::{Failover, Summary, failover, wait_for_withdrawal};
use anycast_tests::server::ServerKind;
use anycast_tests::timeline::{Silent, What};
use anycast_user::datapath::{Datapath, Service};
use nix::sys::signal::Signal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Low, because the machine may have few cores; high enough to arm in about a second.
const RATE_QPS: u32 = 1000;
/// Ample for anything that should happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time in which something that must not happen could.
const WATCHED: Duration = Duration::from_secs(3);

/// Labs don't collide, but they compete for processors: one test at a time.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The executables, or `None` when something is missing: said on standard error, a failure where all is required.
fn binaries(test: &str) -> Option<Binaries> {
    let service = Service {
        address: Family::V4.service_address(),
        port: 53,
    };
    prerequisite(test, Datapath::load(&[service]))?;
    prerequisite(test, prerequisites())
}

fn scenario(binaries: Binaries, fault: Fault, family: Family) -> Failover {
    Failover {
        rate_qps: RATE_QPS,
        floor: Duration::from_millis(30),
        family,
        duration: Duration::from_secs(60),
        server: ServerKind::Knot,
        fault,
        binaries,
    }
}

fn options(binaries: Binaries, armed: bool) -> LabOptions {
    LabOptions {
        server: Some(ServerKind::Knot),
        daemon: Some(DaemonOptions {
            armed,
            ..DaemonOptions::default()
        }),
        family: Family::V4,
        binaries,
    }
}

/// Waits for the daemon of node a to say that the service address has come to `state`.
fn wait_for_state(lab: &mut Lab<'_>, since: Mark, state: &str) {
    let service = Family::V4.service_address().to_string();
    lab.wait_for_event(
        since,
        PATIENCE,
        Node::A,
        |event| matches!(event, EventKind::State { address, to, .. } if *address == service && to == state),
    )
    .unwrap()
    .unwrap_or_else(|| panic!("node a didn't come to state {state}: {:#?}", daemon_events(lab)));
}

fn wait_for(lab: &mut Lab<'_>, since: Mark, what: &str, wanted: fn(&EventKind) -> bool) {
    lab.wait_for_event(since, PATIENCE, Node::A, wanted)
        .unwrap()
        .unwrap_or_else(|| panic!("node a had no event {what}: {:#?}", daemon_events(lab)));
}

fn daemon_events(lab: &Lab<'_>) -> Vec<EventKind> {
    let events = lab.history().iter().filter_map(|observation| match &observation.what {
        What::Daemon { event, .. } if !matches!(event.kind, EventKind::Report { .. }) => Some(event.kind.clone()),
        _ => None,
    });
    events.collect()
}

fn assert_untouched(lab: &Lab<'_>) {
    let deeds: Vec<_> = daemon_events(lab)
        .into_iter()
        .filter(|event| {
            matches!(
                event,
                EventKind::Withdraw(_) | EventKind::LinkDown { .. } | EventKind::Alert { .. }
            )
        })
        .collect();
    assert!(deeds.is_empty(), "{deeds:#?}");
    for node in Node::ALL {
        assert!(lab.network().link_is_up(node).unwrap(), "{node}");
    }
}

fn withdraws(test: &str, fault: Fault, family: Family) {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries(test) else { return };
    let summary = failover(&scenario(binaries, fault, family), &mut Silent).unwrap();
    assert_eq!(summary.surprises(), Vec::<String>::new(), "{summary:#?}");
    let Summary {
        detect_ms,
        link_down_ms,
        wire_ms,
        failover_ms,
        recovery_ms,
        ..
    } = summary;
    // The daemon hears of the link's end by the same kernel that tells BIRD, and either may be first to say so.
    assert!(
        detect_ms > Some(0.0) && detect_ms <= link_down_ms && detect_ms < wire_ms,
        "{summary:#?}"
    );
    assert!(failover_ms < recovery_ms, "{summary:#?}");
    assert!(summary.queries_lost > 0, "{summary:#?}");
}

#[test]
fn a_stopped_server_is_withdrawn_over_ipv4() {
    withdraws("SIGSTOP, IPv4", Fault::Sigstop, Family::V4);
}

#[test]
fn a_stopped_server_is_withdrawn_over_ipv6() {
    withdraws("SIGSTOP, IPv6", Fault::Sigstop, Family::V6);
}

#[test]
fn a_killed_server_is_withdrawn_over_ipv4() {
    withdraws("SIGKILL, IPv4", Fault::Sigkill, Family::V4);
}

#[test]
fn a_killed_server_is_withdrawn_over_ipv6() {
    withdraws("SIGKILL, IPv6", Fault::Sigkill, Family::V6);
}

#[test]
fn a_server_that_closes_its_sockets_is_withdrawn_over_ipv4() {
    withdraws("close-socket, IPv4", Fault::CloseSocket, Family::V4);
}

#[test]
fn a_server_that_closes_its_sockets_is_withdrawn_over_ipv6() {
    withdraws("close-socket, IPv6", Fault::CloseSocket, Family::V6);
}

#[test]
fn answers_lost_behind_the_server_alert_and_do_not_withdraw() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("drop-egress") else {
        return;
    };
    let summary = failover(&scenario(binaries, Fault::DropEgress, Family::V4), &mut Silent).unwrap();
    assert_eq!(summary.surprises(), Vec::<String>::new(), "{summary:#?}");
    assert_eq!(
        (summary.detect_ms, summary.link_down_ms, summary.wire_ms),
        (None, None, None)
    );
}

#[test]
fn a_healthy_server_is_left_alone_busy_and_idle() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("healthy and idle") else {
        return;
    };
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries, true), &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    lab.run_for(WATCHED).unwrap();
    assert_untouched(&lab);
    let mark = lab.mark();
    lab.stop_traffic();
    wait_for_state(&mut lab, mark, "idle");
    lab.run_for(WATCHED).unwrap();
    assert_untouched(&lab);
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    assert_untouched(&lab);
}

#[test]
fn a_service_that_never_answered_is_left_alone() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("never answered") else {
        return;
    };
    let mut nobody = Silent;
    let without_server = LabOptions {
        server: None,
        ..options(binaries, true)
    };
    let mut lab = Lab::start(without_server, &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    lab.start_traffic(RATE_QPS).unwrap();
    lab.run_for(WATCHED).unwrap();
    assert_untouched(&lab);
    // The queries did arrive: this was no test of silence alone.
    let counted = lab.history().iter().any(|observation| match &observation.what {
        What::Throughput(throughput) => throughput.reported.a.is_some_and(|counts| counts.queries_per_s > 0.0),
        _ => false,
    });
    assert!(counted, "{:#?}", daemon_events(&lab));
}

#[test]
fn unless_armed_it_touches_nothing_and_says_what_it_would_have_done() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("observing") else { return };
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries, false), &mut nobody).unwrap();
    let before = link_settings(&lab);
    lab.start_daemons().unwrap();
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    let mark = lab.mark();
    lab.strike(Fault::Sigstop).unwrap();
    wait_for(&mut lab, mark, "would_withdraw", |event| {
        matches!(event, EventKind::WouldWithdraw(_))
    });
    lab.run_for(WATCHED).unwrap();
    assert_untouched(&lab);
    assert_eq!(link_settings(&lab), before);
}

/// All that a daemon could change of the link, its addresses and routes.
fn link_settings(lab: &Lab<'_>) -> Vec<String> {
    let namespace = &lab.network().nodes.a;
    let ip = |words: &str| namespace.ip_output(&words.split(' ').collect::<Vec<_>>()).unwrap();
    let sysctl = |name: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{LINK}/{name}");
        namespace.run(|| Ok(std::fs::read_to_string(path)?)).unwrap()
    };
    vec![
        ip(&format!("address show dev {LINK}")),
        ip("-4 route show table all"),
        // IPv6 routes have counters and ages only with -details and -statistics.
        ip("-6 route show table all"),
        sysctl("keep_addr_on_down"),
    ]
}

#[test]
fn sigterm_leaves_the_link_and_a_restart_takes_over_what_was_lowered() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("SIGTERM and restart") else {
        return;
    };
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries, true), &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    // Up when it was up.
    let status = lab.stop_daemon(Node::B, Signal::SIGTERM).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(lab.network().link_is_up(Node::B).unwrap());
    // Down when it was withdrawn.
    let mark = lab.mark();
    lab.strike(Fault::Sigstop).unwrap();
    wait_for(&mut lab, mark, "link_down", |event| {
        matches!(event, EventKind::LinkDown { .. })
    });
    assert!(
        wait_for_withdrawal(&mut lab, mark, PATIENCE, Family::V4)
            .unwrap()
            .is_some()
    );
    let status = lab.stop_daemon(Node::A, Signal::SIGTERM).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(!lab.network().link_is_up(Node::A).unwrap());
    // The next one knows whose deed that was, and undoes it when the server is well.
    lab.recover().unwrap();
    let mark = lab.mark();
    lab.start_daemon(Node::A, &DaemonOptions::default()).unwrap();
    wait_for(&mut lab, mark, "link_up", |event| {
        matches!(event, EventKind::LinkUp { .. })
    });
    assert!(lab.network().link_is_up(Node::A).unwrap());
    lab.wait_for_route(Family::V4, Some(Node::A)).unwrap();
}

#[test]
fn a_link_that_somebody_else_lowered_stays_down() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("somebody else's link") else {
        return;
    };
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries, true), &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    lab.network().nodes.a.ip(&format!("link set {LINK} down\n")).unwrap();
    lab.run_for(DaemonOptions::default().hold_down + WATCHED).unwrap();
    assert!(
        !lab.network().link_is_up(Node::A).unwrap(),
        "{:#?}",
        daemon_events(&lab)
    );
}
