//! What withdraws, and what only alerts.

use crate::{RATE_QPS, SERVER, binaries};
use anycast_tests::alone::one_at_a_time;
use anycast_tests::binaries::Binaries;
use anycast_tests::fault::Fault;
use anycast_tests::node::Family;
use anycast_tests::scenario::{Failover, Summary, failover};
use anycast_tests::timeline::Silent;
use std::time::Duration;

fn scenario(binaries: Binaries, fault: Fault, family: Family) -> Failover {
    Failover {
        rate_qps: RATE_QPS,
        floor: Duration::from_millis(30),
        family,
        duration: Duration::from_secs(60),
        server: SERVER,
        fault,
        binaries,
    }
}

fn withdraws(test: &str, fault: Fault, family: Family) {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries(test) else { return };
    let summary = failover(&scenario(binaries, fault, family), &mut Silent).unwrap();
    assert_eq!(summary.surprises(), Vec::<String>::new(), "{summary:#?}");
    assert_eq!((summary.server, summary.router), (SERVER, "bird"));
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
    assert_eq!((summary.server, summary.router), (SERVER, "bird"));
    assert_eq!(
        (summary.detect_ms, summary.link_down_ms, summary.wire_ms),
        (None, None, None)
    );
}
