//! When nothing may be touched.

use crate::{RATE_QPS, WATCHED, binaries, daemon_events, options, wait_for, wait_for_state};
use anycast_tests::alone::one_at_a_time;
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::event::EventKind;
use anycast_tests::fault::Fault;
use anycast_tests::lab::{Lab, LabOptions};
use anycast_tests::network::LINK;
use anycast_tests::node::Node;
use anycast_tests::timeline::{Silent, What};

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
