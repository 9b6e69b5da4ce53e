//! What was recorded of a daemon that observes, replayed: an armed one would have withdrawn.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::{PATIENCE, RATE_QPS, binaries, options, wait_for, wait_for_state};
use anycast_tests::alone::one_at_a_time;
use anycast_tests::binaries::Binaries;
use anycast_tests::bpffs::with_bpffs;
use anycast_tests::clock::Moment;
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::event::EventKind;
use anycast_tests::fault::Fault;
use anycast_tests::lab::Lab;
use anycast_tests::node::{Family, Node};
use anycast_tests::process::Process;
use anycast_tests::timeline::Silent;
use nix::sys::signal::Signal;
use serde_json::Value;

/// Samples, of two addresses, in which a dead server is withdrawn by any floor.
const ENOUGH: usize = 1000;

#[test]
fn a_recorded_death_is_one_in_the_replay() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("recording") else { return };
    with_bpffs(|bpffs| check(&binaries, bpffs));
}

fn check(binaries: &Binaries, bpffs: &Path) {
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries.clone(), false), &mut nobody).unwrap();
    let pinned = DaemonOptions {
        armed: false,
        pins: Some(bpffs.to_owned()),
        ..DaemonOptions::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let [file, log] = ["recorded.jsonl", "log"].map(|name| directory.path().join(name));
    let record = || {
        let mut command = Command::new(&binaries.daemon);
        command
            .args(["record", "--link", "anycast0", "--pins"])
            .arg(bpffs)
            .arg("--out")
            .arg(&file);
        command
    };
    // Without a daemon, one is asked for.
    let refused = lab.network().nodes.a.output(&mut record()).unwrap();
    assert_refused(&refused, "nothing is pinned in");
    assert!(!file.exists());

    let mark = lab.mark();
    lab.start_daemon(Node::A, &pinned).unwrap();
    wait_for(&mut lab, mark, "started", |event| {
        matches!(event, EventKind::Started { .. })
    });
    let mut recorder = Process::spawn("record", record(), &lab.network().nodes.a, &log).unwrap();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    lab.strike(Fault::Sigstop).unwrap();
    wait_for(&mut lab, mark, "would_withdraw", |event| {
        matches!(event, EventKind::WouldWithdraw(_))
    });
    // The replay judges by the recorder's probes, which come a little later than the daemon's.
    let samples_after_death = || {
        let text = fs::read_to_string(&file).unwrap();
        text.lines()
            .skip_while(|line| !line.contains("\"probe_answered\":0"))
            .count()
    };
    let deadline = Moment::now() + PATIENCE;
    while samples_after_death() < ENOUGH {
        assert!(Moment::now() < deadline, "{}", recorder.log_tail());
        lab.run_for(Duration::from_millis(50)).unwrap();
    }
    recorder.signal(Signal::SIGINT).unwrap();
    let status = recorder.wait(PATIENCE).unwrap().unwrap();
    assert!(status.success(), "{status}: {}", recorder.log_tail());

    // It is left alone by the next one, and whole.
    let refused = lab.network().nodes.a.output(&mut record()).unwrap();
    assert_refused(&refused, "--force");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("}\n"), "whole lines only");
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let several = format!("dns@{}", Family::V4.service_address());
    assert_eq!(first["service"], several, "it has two addresses");

    let config = directory.path().join("probe.toml");
    // The daemon was armed by 1000 answers; the recorder may have missed the first of them.
    fs::write(
        &config,
        "[arming]\nanswers = 500\ntime = \"500ms\"\n[[link]]\nname = \"anycast0\"\n",
    )
    .unwrap();
    let mut replay = Command::new(&binaries.daemon);
    replay
        .arg("replay")
        .arg(&file)
        .arg("--config")
        .arg(&config)
        .arg("--json");
    let output = replay.output().unwrap();
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let withdrawn: Vec<_> = lines.iter().filter(|line| line["event"] == "withdraw").collect();
    assert_eq!(withdrawn.len(), 1, "{lines:#?}");
    assert_eq!(withdrawn[0]["service"], several);
}

fn assert_refused(output: &Output, words: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
}
