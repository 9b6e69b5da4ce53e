//! Counting outlives the daemon: a crash costs no count, and the next one takes over.

use std::path::Path;
use std::process::Command;

use crate::coming_back::{SERVICE, sample, scrape};
use crate::{PATIENCE, RATE_QPS, binaries, daemon_events, options, wait_for, wait_for_state};
use anycast_tests::alone::one_at_a_time;
use anycast_tests::binaries::Binaries;
use anycast_tests::bpffs::with_bpffs;
use anycast_tests::clock::Moment;
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::event::EventKind;
use anycast_tests::lab::Lab;
use anycast_tests::network::UPLINK;
use anycast_tests::node::Node;
use anycast_tests::timeline::Silent;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Duration;

/// Queries that have to be answered while no daemon runs.
const MEANWHILE: u64 = 1000;

#[test]
fn a_killed_daemon_leaves_its_programs_counting_and_the_next_one_takes_over() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("survival") else { return };
    with_bpffs(|bpffs| check(&binaries, bpffs));
}

fn check(binaries: &Binaries, bpffs: &Path) {
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries.clone(), true), &mut nobody).unwrap();
    let pinned = DaemonOptions {
        pins: Some(bpffs.to_owned()),
        ..DaemonOptions::default()
    };
    let mark = lab.mark();
    lab.start_daemon(Node::A, &pinned).unwrap();
    wait_for(&mut lab, mark, "attached", |event| {
        matches!(event, EventKind::Attached { taken_over: false, .. })
    });
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    let user = |status: &Value| status["instances"][0]["daemon"].as_i64();
    let status = attach_status(&lab, binaries, bpffs);
    assert!(user(&status).is_some(), "{status}");
    let links = assert_one_program_a_hook(&status);
    // While it runs, nobody pulls the rug from under it.
    let (code, refused) = probe(&lab, binaries, &["cleanup", "--all", "--json"], bpffs);
    assert_eq!(code, Some(1));
    assert!(refused["cleaned"][0]["error"].is_string(), "{refused}");

    let before = scrape(&lab);
    let answered = |lab: &Lab<'_>| lab.traffic().unwrap().counts().answered.a;
    let answered_before = answered(&lab);
    lab.stop_daemon(Node::A, Signal::SIGKILL).unwrap();
    let status = attach_status(&lab, binaries, bpffs);
    assert_eq!(user(&status), None, "{status}");
    assert_eq!(assert_one_program_a_hook(&status), links);
    let killed_at = answered(&lab);
    let deadline = Moment::now() + PATIENCE;
    while answered(&lab) < killed_at + MEANWHILE {
        assert!(Moment::now() < deadline, "the server should go on answering");
        lab.run_for(Duration::from_millis(10)).unwrap();
    }

    let answered_after = answered(&lab);
    let mark = lab.mark();
    lab.start_daemon(Node::A, &pinned).unwrap();
    wait_for(&mut lab, mark, "attached", |event| {
        matches!(event, EventKind::Attached { taken_over: true, .. })
    });
    wait_for(&mut lab, mark, "started", |event| {
        matches!(event, EventKind::Started { .. })
    });
    let after = scrape(&lab);
    for name in ["queries_total", "answers_total"] {
        let [before, after] = [&before, &after].map(|text| sample(text, name, SERVICE).unwrap());
        let counted = after - before;
        let at_least = answered_after - answered_before;
        assert!(counted >= at_least, "{name}: {counted} of {at_least}");
    }
    // It watches from zero, by what comes from now on.
    wait_for_state(&mut lab, mark, "healthy");
    let withdrawn = daemon_events(&lab)
        .into_iter()
        .find(|event| matches!(event, EventKind::Withdraw(_) | EventKind::Alert { .. }));
    assert_eq!(withdrawn, None);
    let status = attach_status(&lab, binaries, bpffs);
    assert!(user(&status).is_some(), "{status}");
    assert_eq!(assert_one_program_a_hook(&status), links, "the links are the same");

    let ended = lab.stop_daemon(Node::A, Signal::SIGTERM).unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert_eq!(assert_one_program_a_hook(&attach_status(&lab, binaries, bpffs)), links);
    let (code, cleaned) = probe(&lab, binaries, &["cleanup", "--link", "anycast0", "--json"], bpffs);
    assert_eq!(code, Some(0), "{cleaned}");
    assert_eq!(
        cleaned["cleaned"][0]["detached"].as_array().map(Vec::len),
        Some(2),
        "{cleaned}"
    );
    assert_eq!(
        attach_status(&lab, binaries, bpffs)["instances"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    assert!(!bpffs.join("anycast-probe").exists());
    let shown = lab
        .network()
        .nodes
        .a
        .ip_output(&["-details", "link", "show", "dev", UPLINK])
        .unwrap();
    assert!(!shown.contains("xdp"), "{shown}");
}

/// Runs the tool on node a: its exit code, and the object that it prints.
fn probe(lab: &Lab<'_>, binaries: &Binaries, words: &[&str], bpffs: &Path) -> (Option<i32>, Value) {
    let mut command = Command::new(&binaries.daemon);
    command.args(words).arg("--pins").arg(bpffs);
    let output = lab.network().nodes.a.output(&mut command).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} {output:?}"));
    (output.status.code(), value)
}

fn attach_status(lab: &Lab<'_>, binaries: &Binaries, bpffs: &Path) -> Value {
    let (code, status) = probe(lab, binaries, &["attach-status", "--json"], bpffs);
    assert_eq!(code, Some(0));
    status
}

/// The kernel's numbers of the links that hold the programs.
fn assert_one_program_a_hook(status: &Value) -> Vec<Value> {
    let instances = status["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 1, "{status}");
    let attachments = instances[0]["attachments"].as_array().unwrap();
    let directions: Vec<_> = attachments.iter().map(|attachment| &attachment["direction"]).collect();
    assert_eq!(directions, ["ingress", "egress"], "{status}");
    for attachment in attachments {
        assert_eq!(attachment["uplink"], UPLINK, "{status}");
        assert!(attachment["program"]["id"].is_u64(), "{status}");
    }
    attachments
        .iter()
        .map(|attachment| attachment["link"].clone())
        .collect()
}
