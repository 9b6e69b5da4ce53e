//! `anycast-probe replay`: captures through the real binary, which has the loaded programs count them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails the test"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anycast_ebpf::{classify::Classifier, layout::RCODE_NAMES};
use anycast_tests::{
    binaries::{Binaries, prerequisites},
    capture::{Pcap, sample, sample_directory, sample_frames},
    netns::Namespace,
    network::add_link,
    prerequisite,
    process::{Process, lines},
};
use anycast_user::{
    clock::MonotonicTime,
    datapath::{Datapath, LoadSettings, Service},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Ample for a daemon to start, and to report.
const PATIENCE: Duration = Duration::from_secs(20);

/// Set to have `sample.pcap` written anew.
const WRITE: &str = "ANYCAST_PROBE_WRITE_SAMPLES";

/// What replays need: the binary, and to be allowed to load programs.
fn binaries() -> Option<Binaries> {
    let binaries = prerequisite("replay", prerequisites(&[]))?;
    let service = Service::new([192, 0, 2, 53], 53, Classifier::DnsUdp);
    prerequisite("replay", Datapath::load(&[service], &LoadSettings::default()))?;
    Some(binaries)
}

fn sample_file(name: &str) -> PathBuf {
    sample_directory().join(name)
}

fn command(binaries: &Binaries, file: &Path, config: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(&binaries.daemon);
    command.arg("replay").arg(file).arg("--config").arg(config).args(more);
    command
}

fn replay(binaries: &Binaries, file: &Path, config: &Path, more: &[&str]) -> Output {
    command(binaries, file, config, more)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The object that a replay with the services of the sample prints.
fn counted(binaries: &Binaries, file: &Path) -> Value {
    let Output { status, stdout, stderr } = replay(binaries, file, &sample_file("sample.toml"), &["--json"]);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success() && stderr.is_empty(), "{status} {stderr}");
    serde_json::from_slice(&stdout).unwrap()
}

/// The line on stderr of a replay that must end with an error and nothing on stdout.
fn refused(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.pcap");
    fs::write(&file, bytes).unwrap();
    (directory, file)
}

/// What is to be counted of the packets of the sample, whatever they start with.
fn expected(file: &Path) -> Value {
    let service = |address: &str, counts: [u64; 7], rcodes: &[(&str, u64)]| {
        let mut responses = serde_json::Map::new();
        for name in RCODE_NAMES {
            let count = rcodes
                .iter()
                .find(|(rcode, _)| *rcode == name)
                .map_or(0, |(_, count)| *count);
            responses.insert(name.to_owned(), count.into());
        }
        let [
            packets_in,
            packets_out,
            queries,
            answers,
            truncated,
            hints,
            local_sources,
        ] = counts;
        json!({
            "link": "anycast0", "service": "dns", "address": address, "port": 53, "protocol": "dns-udp",
            "packets_in": packets_in, "packets_out": packets_out, "queries": queries, "answers": answers,
            "truncated": truncated, "responses": responses, "hints": hints, "local_sources": local_sources,
        })
    };
    let start = f64::from(Pcap::START_SECONDS);
    json!({
        "file": file, "packets": 19, "other": 2,
        "services": [
            service("192.0.2.53", [5, 3, 4, 3, 1, 1, 1], &[("noerror", 2), ("servfail", 1)]),
            service("2001:db8:53::53", [1, 1, 1, 1, 0, 0, 0], &[("nxdomain", 1)]),
        ],
        "unclassified": {"truncated": 1, "malformed": 1, "later-fragment": 2, "too-deep": 1},
        "first_t": start, "last_t": start + 0.18,
    })
}

#[test]
fn the_sample_is_what_the_library_makes() {
    let file = sample_file("sample.pcap");
    let sample = sample().unwrap();
    if env::var_os(WRITE).is_some_and(|value| value == "1") {
        fs::write(&file, sample.bytes()).unwrap();
    }
    assert!(
        fs::read(&file).unwrap() == sample.bytes(),
        "{WRITE}=1 writes {} anew",
        file.display()
    );
}

#[test]
fn the_sample_is_counted() {
    let Some(binaries) = binaries() else { return };
    let file = sample_file("sample.pcap");
    assert_eq!(counted(&binaries, &file), expected(&file));
}

#[test]
fn words_say_the_same_as_json() {
    let Some(binaries) = binaries() else { return };
    let output = replay(&binaries, &sample_file("sample.pcap"), &sample_file("sample.toml"), &[]);
    assert!(output.status.success() && output.stderr.is_empty());
    let words = String::from_utf8(output.stdout).unwrap();
    let has = |row: &str| words.lines().any(|line| line.split_whitespace().eq(row.split(' ')));
    assert!(
        words.contains("19 packets, 2 neither to nor from a service address\n"),
        "{words}"
    );
    assert!(
        words.contains("from 2026-01-02T03:04:05.000000Z to 2026-01-02T03:04:05.180000Z\n"),
        "{words}"
    );
    assert!(has("anycast0 dns 192.0.2.53 dns-udp 53 5 3 4 3 1 1 1"), "{words}");
    assert!(
        words.contains("answers of dns at 192.0.2.53: noerror 2, servfail 1\n"),
        "{words}"
    );
    assert!(
        words.ends_with("\nunclassified: truncated 1, malformed 1, later-fragment 2, too-deep 1\n"),
        "{words}"
    );
}

/// The packets of the sample as they look on a device of another kind. `None` for frames that have no such look.
fn as_link_type(link_type: u32, frame: &[u8]) -> Option<Vec<u8>> {
    let (ethertype, payload) = (&frame[12..14], &frame[14..]);
    let is_v6 = match ethertype {
        [0x08, 0x00] => false,
        [0x86, 0xdd] => true,
        _ => return (link_type == 113 || link_type == 276).then(|| cooked(link_type, ethertype, payload)),
    };
    match link_type {
        12 | 101 => Some(payload.to_vec()),
        228 => (!is_v6).then(|| payload.to_vec()),
        229 => is_v6.then(|| payload.to_vec()),
        0 => Some([&if is_v6 { 30_u32 } else { 2 }.to_le_bytes(), payload].concat()),
        108 => Some([&if is_v6 { 24_u32 } else { 2 }.to_be_bytes(), payload].concat()),
        _ => Some(cooked(link_type, ethertype, payload)),
    }
}

fn cooked(link_type: u32, ethertype: &[u8], payload: &[u8]) -> Vec<u8> {
    // To this host, of Ethernet, from an address of six bytes.
    if link_type == 113 {
        [&[0, 0, 0, 1, 0, 6, 4, 4, 4, 4, 4, 4, 0, 0], ethertype, payload].concat()
    } else {
        [
            ethertype,
            &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 4, 4, 4, 4, 4, 4, 0, 0],
            payload,
        ]
        .concat()
    }
}

#[test]
fn packets_of_every_link_type_are_counted_like_ethernet_frames() {
    let Some(binaries) = binaries() else { return };
    for link_type in [0, 12, 101, 108, 113, 228, 229, 276] {
        let (mut ethernet, mut other) = (Pcap::new(Pcap::ETHERNET), Pcap::new(link_type));
        for (_, frame, captured) in sample_frames().unwrap() {
            // Raw IP of a version that isn't one has no type to be lost with the Ethernet header.
            if let Some(packet) = as_link_type(link_type, &frame[..captured]) {
                ethernet.push(&frame[..captured]);
                other.push(&packet);
            }
        }
        let (_directory, file) = written(ethernet.bytes());
        let expected = counted(&binaries, &file);
        fs::write(&file, other.bytes()).unwrap();
        assert_eq!(counted(&binaries, &file), expected, "link type {link_type}");
        assert!(expected["packets"].as_u64().unwrap() >= 2, "link type {link_type}");
    }
}

#[test]
fn a_broken_capture_is_refused_with_the_number_of_the_packet() {
    let Some(binaries) = binaries() else { return };
    let config = sample_file("sample.toml");
    let replay_of = |bytes: &[u8]| {
        let (_directory, file) = written(bytes);
        refused(replay(&binaries, &file, &config, &["--json"]))
    };
    let whole = sample().unwrap();
    let words = replay_of(&whole.bytes()[..whole.bytes().len() - 1]);
    assert!(
        words.starts_with("anycast-probe: ") && words.contains("test.pcap: packet 19 is cut off"),
        "{words}"
    );
    let mut broken = whole.bytes().to_vec();
    // The captured length of the second packet, after a header and one packet of 42 bytes.
    broken[24 + 16 + 42 + 8..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let words = replay_of(&broken);
    assert!(words.contains("packet 2 is broken: at byte 82"), "{words}");
    let mut wireless = Pcap::new(105);
    wireless.push(b"802.11");
    let words = replay_of(wireless.bytes());
    assert!(words.contains("packet 1 has link type 105"), "{words}");
    let words = replay_of(&[0x7f, b'E', b'L', b'F']);
    assert!(words.contains("no capture"), "{words}");
    let words = refused(replay(&binaries, Path::new("/nowhere.pcap"), &config, &[]));
    assert!(words.contains("/nowhere.pcap: No such file"), "{words}");
    let words = refused(replay(&binaries, Path::new("/"), &config, &[]));
    assert!(words.contains("Is a directory"), "{words}");
}

#[test]
fn addresses_that_nobody_knows_are_asked_for() {
    let Some(binaries) = binaries() else { return };
    let namespace = Namespace::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("probe.toml");
    fs::write(&config, "uplinks = [\"nowhere0\"]\n[[link]]\nname = \"anycast0\"\n").unwrap();
    let sample = sample_file("sample.pcap");
    let mut replay = command(&binaries, &sample, &config, &["--json"]);
    let words = refused(namespace.output(&mut replay).unwrap());
    assert!(
        words.contains("no link `anycast0`") && words.contains("addresses = ["),
        "{words}"
    );
    add_link(&namespace).unwrap();
    namespace.ip("address add 192.0.2.53/32 dev anycast0\n").unwrap();
    let output = namespace.output(&mut replay).unwrap();
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The addresses of IPv6 are the link's own, where it has any.
    let service = counted["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["address"] == "192.0.2.53");
    assert_eq!(service.expect("it is on the link")["queries"], 4);
}

#[test]
fn what_a_daemon_counts_meanwhile_is_its_own() {
    let Some(binaries) = binaries() else { return };
    let namespace = Namespace::new().unwrap();
    namespace
        .ip("link set lo up\nlink add up0 type veth peer name peer0\nlink set up0 up\nlink set peer0 up\n")
        .unwrap();
    add_link(&namespace).unwrap();
    namespace
        .ip("address add 192.0.2.53/32 dev anycast0\naddress add 2001:db8:53::53/128 dev anycast0\n")
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("probe.toml");
    let services = fs::read_to_string(sample_file("sample.toml")).unwrap();
    fs::write(&config, format!("uplinks = [\"up0\"]\n{services}")).unwrap();
    let mut daemon = Command::new(&binaries.daemon);
    daemon
        .args([
            "run",
            "--json",
            "--metrics",
            "off",
            "--report-interval",
            "100ms",
            "--config",
        ])
        .arg(&config);
    let log = directory.path().join("stderr");
    let mut daemon = Process::spawn_piped("anycast-probe", daemon, &namespace, &log).unwrap();
    let lines = lines(daemon.take_stdout().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let next_event = || -> Value {
        let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        serde_json::from_str(&line.unwrap_or_else(|_| panic!("{}", daemon.log_tail()))).unwrap()
    };
    while next_event()["event"] != "started" {}

    let sample = sample_file("sample.pcap");
    let output = namespace
        .output(&mut command(&binaries, &sample, &config, &["--json"]))
        .unwrap();
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(replayed, expected(&sample));
    let ended = MonotonicTime::now().as_millis_f64();

    // Until a report of an interval that began after the replay: one that it may have begun in, and the next.
    let mut later = 0;
    while later < 2 {
        let event = next_event();
        if event["event"] == "report" {
            for service in event["services"].as_array().unwrap() {
                assert_eq!(
                    (&service["queries_per_s"], &service["answers_per_s"]),
                    (&json!(0.0), &json!(0.0))
                );
            }
            later += u32::from(event["t_ms"].as_f64().unwrap() > ended);
        }
    }
    daemon.signal(Signal::SIGTERM).unwrap();
    let status = daemon.wait(PATIENCE).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{}", daemon.log_tail());
}
