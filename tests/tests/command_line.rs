//! What an operator gets to read when something is not as it should be: one line on stderr, a documented exit code, and
//! nothing changed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of tests fails the test"
)]

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use anycast_ebpf::classify::Classifier;
use anycast_tests::{
    binaries::{Binaries, prerequisites},
    netns::Namespace,
    network::add_link,
    prerequisite,
    process::{Process, lines},
};
use anycast_user::datapath::{Datapath, LoadSettings, Service};
use nix::sys::signal::Signal;
use serde_json::Value;

const ERROR: i32 = 1;
const USAGE: i32 = 2;
const BAD_CONFIG: i32 = 78;
/// Ample for a daemon to start or to refuse to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace with a link for service addresses, without any, and one interface that could be an uplink.
fn node() -> Option<(Namespace, Binaries)> {
    let binaries = prerequisite("command line", prerequisites(&[]))?;
    let namespace = Namespace::new().unwrap();
    namespace
        .ip(
            "link set lo up\nlink add up0 type veth peer name peer0\naddress add 198.51.100.2/24 dev up0\n\
             link set up0 up\nlink set peer0 up\n",
        )
        .unwrap();
    add_link(&namespace).unwrap();
    Some((namespace, binaries))
}

fn with_address_and_uplink(namespace: &Namespace) {
    namespace
        .ip("address add 192.0.2.53/32 dev anycast0\nroute add default via 198.51.100.1\n")
        .unwrap();
}

fn daemon(binaries: &Binaries, words: &[&str]) -> Command {
    let mut command = Command::new(&binaries.daemon);
    command.args(words);
    if words.first() == Some(&"run") {
        command.args(["--metrics", "off", "--pins", "off"]);
    }
    command
}

/// Runs what must end by itself.
fn outcome(namespace: &Namespace, command: Command) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("stderr");
    let mut process = Process::spawn_piped("anycast-probe", command, namespace, &log).unwrap();
    let status = process.wait(PATIENCE).unwrap();
    let status = status.unwrap_or_else(|| panic!("it should have ended by itself:\n{}", process.log_tail()));
    let mut stdout = Vec::new();
    process.take_stdout().unwrap().read_to_end(&mut stdout).unwrap();
    let stderr = fs::read(&log).unwrap();
    Output { status, stdout, stderr }
}

/// Runs the daemon, which must end by itself with `code` and one line that holds `words`.
fn refused(namespace: &Namespace, command: Command, code: i32, words: &str) {
    let Output { status, stdout, stderr } = outcome(namespace, command);
    let stderr = String::from_utf8_lossy(&stderr);
    let complaint: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("anycast-probe: "))
        .collect();
    assert_eq!(status.code(), Some(code), "{stderr}");
    assert!(
        matches!(complaint[..], [line] if line.contains(words)),
        "one line with {words:?} in: {stderr}"
    );
    assert!(stdout.is_empty());
}

#[test]
fn a_link_that_cannot_be_the_switch_is_refused() {
    let Some((namespace, binaries)) = node() else { return };
    let run = |link| daemon(&binaries, &["run", "--link", link]);
    refused(&namespace, run("nolink"), ERROR, "no link named `nolink`");
    refused(&namespace, run("lo"), ERROR, "loopback");
    refused(&namespace, run("anycast0"), ERROR, "no service address on anycast0");
    namespace.ip("address add 192.0.2.53/32 dev anycast0\n").unwrap();
    refused(&namespace, run("anycast0"), ERROR, "no uplink");
    namespace.ip("route add default via 198.51.100.1\n").unwrap();
    refused(&namespace, run("up0"), ERROR, "is an uplink");
    refused(&namespace, run("peer0"), ERROR, "peer0");
}

#[test]
fn without_privilege_it_says_which_it_needs() {
    let Some((namespace, binaries)) = node() else { return };
    with_address_and_uplink(&namespace);
    // Through a descriptor: nobody may not walk to the build directory. The inner shell makes the process one whose
    // descriptors its new user may see.
    let script = "exec setpriv --bounding-set=-all --inh-caps=-all --reuid=65534 --regid=65534 --clear-groups \
                  /bin/sh -c 'exec /proc/self/fd/3 run --link anycast0 --metrics off --pins off' 3<\"$0\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(&binaries.daemon);
    let Output { status, stderr, .. } = outcome(&namespace, command);
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(ERROR), "{stderr}");
    assert!(stderr.contains("CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"), "{stderr}");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    let Some((namespace, binaries)) = node() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    let run = || daemon(&binaries, &["run", "--config", file.to_str().unwrap()]);
    fs::write(&file, "floor = \"30ms\"\nflor = 1\n[[link]]\nname = \"anycast0\"\n").unwrap();
    refused(
        &namespace,
        run(),
        BAD_CONFIG,
        "probe.toml:2:1: unknown key `flor`; did you mean `floor`?",
    );
    fs::write(&file, "floor = \"0ms\"\n[[link]]\nname = \"anycast0\"\n").unwrap();
    refused(&namespace, run(), BAD_CONFIG, "accept_no_floor");
    fs::remove_file(&file).unwrap();
    refused(&namespace, run(), BAD_CONFIG, "probe.toml");
}

#[test]
fn uplinks_that_would_count_twice_are_refused_by_name() {
    let Some((namespace, binaries)) = node() else { return };
    with_address_and_uplink(&namespace);
    namespace
        .ip("link add br0 type bridge\nlink set peer0 master br0\n")
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    fs::write(&file, "uplinks = [\"br0\", \"peer0\"]\n[[link]]\nname = \"anycast0\"\n").unwrap();
    refused(
        &namespace,
        daemon(&binaries, &["run", "--config", file.to_str().unwrap()]),
        ERROR,
        "uplink `br0`: it lies on `peer0`",
    );
}

#[test]
fn a_link_with_nothing_to_probe_is_watched_and_not_armed() {
    let Some((namespace, binaries)) = node() else { return };
    with_address_and_uplink(&namespace);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    let service = "[[link.service]]\nname = \"web\"\nprotocol = \"tcp\"\nport = 443\n";
    let link = format!("[[link]]\nname = \"anycast0\"\n{service}");
    fs::write(&file, format!("armed = true\n{link}")).unwrap();
    let path = file.to_str().unwrap();
    let run = |words: &[&str]| daemon(&binaries, &[&["run", "--config", path], words].concat());
    refused(
        &namespace,
        run(&[]),
        BAD_CONFIG,
        "probe.toml:3:8: no service of `anycast0` can be probed",
    );
    fs::write(&file, format!("[metrics]\nlisten = \"off\"\n{link}")).unwrap();
    refused(
        &namespace,
        run(&["--arm"]),
        ERROR,
        "no service of anycast0 can be probed",
    );
    if !can_load() {
        return;
    }
    let events = events_until_started(&namespace, &binaries, &file);
    let watched = events.iter().find(|event| event["event"] == "watch_only").unwrap();
    assert_eq!(
        (&watched["link"], &watched["service"], &watched["address"]),
        (&"anycast0".into(), &"web".into(), &"192.0.2.53".into())
    );
    assert!(watched["reason"].as_str().unwrap().contains("no probe"), "{watched}");
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    let Some((namespace, binaries)) = node() else { return };
    for words in [
        &["run"][..],
        &["run", "--link", "a", "--config", "b"],
        &["run", "--link", "a", "--floor", "30"],
        &["walk"],
    ] {
        let output = outcome(&namespace, daemon(&binaries, words));
        assert_eq!(output.status.code(), Some(USAGE), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn a_port_in_use_is_said_before_anything_is_watched() {
    let Some((namespace, binaries)) = node() else { return };
    if !can_load() {
        return;
    }
    with_address_and_uplink(&namespace);
    let taken = namespace
        .run(|| Ok(std::net::TcpListener::bind("127.0.0.1:0")?))
        .unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(&binaries.daemon);
    command.args(["run", "--link", "anycast0", "--pins", "off", "--metrics", &address]);
    refused(&namespace, command, ERROR, &address);
}

/// A driver without native XDP: the daemon says so, counts at tc ingress, and ends in order.
#[test]
fn xdp_that_a_driver_refuses_falls_back_to_tc() {
    let Some((namespace, binaries)) = node() else { return };
    if !can_load() {
        return;
    }
    with_address_and_uplink(&namespace);
    namespace.ip("link add br0 type bridge\nlink set br0 up\n").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    fs::write(
        &file,
        "hook = \"xdp\"\nuplinks = [\"br0\"]\npins = \"off\"\n[metrics]\nlisten = \"off\"\n[[link]]\nname = \"anycast0\"\n",
    )
    .unwrap();
    let events = events_until_started(&namespace, &binaries, &file);
    let of = |name: &str| {
        events
            .iter()
            .find(|event| event["event"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(of("attach_fallback")["uplink"], "br0");
    assert!(
        of("attach_fallback")["reason"].as_str().unwrap().contains("native XDP"),
        "{events:?}"
    );
    assert_eq!(
        (&of("attached")["ingress"], &of("attached")["uplink"]),
        (&"tc".into(), &"br0".into())
    );
    assert_eq!(of("started")["armed"], false);
    assert_eq!(events.last().unwrap()["event"], "stopped");
}

/// A broken line card must not cost the protection of the other uplinks.
#[test]
fn it_starts_with_the_uplinks_that_are_there_and_not_without_any() {
    let Some((namespace, binaries)) = node() else { return };
    with_address_and_uplink(&namespace);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    let rest = "pins = \"off\"\n[metrics]\nlisten = \"off\"\n[[link]]\nname = \"anycast0\"\n";
    fs::write(&file, format!("uplinks = [\"up8\", \"up9\"]\n{rest}")).unwrap();
    let mut command = Command::new(&binaries.daemon);
    command.args(["run", "--config"]).arg(&file);
    refused(&namespace, command, ERROR, "no link named `up8`");
    if !can_load() {
        return;
    }
    fs::write(&file, format!("armed = true\nuplinks = [\"up0\", \"up9\"]\n{rest}")).unwrap();
    let events = events_until_started(&namespace, &binaries, &file);
    let missing = events.iter().find(|event| event["kind"] == "uplink-missing").unwrap();
    assert_eq!(missing["uplink"], "up9");
    assert!(events.iter().all(|event| event["event"] != "watch_only"), "{events:?}");
}

/// A stranger on the XDP hook, which this daemon may not look at, as under its unit: it starts, and is not armed.
#[test]
fn an_armed_daemon_starts_where_a_stranger_is_and_only_watches() {
    let Some((namespace, binaries)) = node() else { return };
    if !can_load() {
        return;
    }
    with_address_and_uplink(&namespace);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.toml");
    let rest = "hook = \"xdp\"\npins = \"off\"\n[metrics]\nlisten = \"off\"\n[[link]]\nname = \"anycast0\"\n";
    fs::write(&file, rest).unwrap();
    let spawn = |command, log: &str| {
        let log = directory.path().join(log);
        let mut process = Process::spawn_piped("anycast-probe", command, &namespace, &log).unwrap();
        let lines = lines(process.take_stdout().unwrap());
        (process, lines)
    };
    let mut command = Command::new(&binaries.daemon);
    command.args(["run", "--json", "--config"]).arg(&file);
    let (mut stranger, of_stranger) = spawn(command, "stranger");
    let next = |lines: &std::sync::mpsc::Receiver<String>, key: &str, value: &str| -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {key} {value}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event[key] == value {
                return event;
            }
        }
    };
    next(&of_stranger, "event", "started");
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"])
        .arg(&binaries.daemon)
        .args(["run", "--arm", "--json", "--config"])
        .arg(&file);
    let (mut process, told) = spawn(command, "armed");
    assert_eq!(next(&told, "event", "resident")["kind"], "hidden");
    assert_eq!(next(&told, "event", "watch_only")["address"], "192.0.2.53");
    assert_eq!(next(&told, "event", "started")["armed"], true);
    assert_eq!(next(&told, "kind", "bypassed")["link"], "anycast0");
    for process in [&mut process, &mut stranger] {
        process.signal(Signal::SIGTERM).unwrap();
        let status = process.wait(PATIENCE).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{}", process.log_tail());
    }
}

/// Uplinks come and go: each step is told, and the daemon goes on.
#[test]
fn uplinks_are_followed() {
    let Some((namespace, binaries)) = node() else { return };
    if !can_load() {
        return;
    }
    with_address_and_uplink(&namespace);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("stderr");
    let mut command = daemon(&binaries, &["run", "--link", "anycast0"]);
    command.arg("--json");
    let mut process = Process::spawn_piped("anycast-probe", command, &namespace, &log).unwrap();
    let lines = lines(process.take_stdout().unwrap());
    let next = |name: &str| -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).unwrap_or_else(|_| panic!("no event {name}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    };
    assert_eq!(next("attached")["uplink"], "up0");
    next("started");
    let wire = "link add NAME type veth peer name peer1\naddress add 203.0.113.2/24 dev NAME\nlink set NAME up\n\
                link set peer1 up\nroute add 10.0.0.0/8 via 203.0.113.1\n";
    namespace.ip(&wire.replace("NAME", "up1")).unwrap();
    assert_eq!(next("attached")["uplink"], "up1");
    namespace.ip("link delete up0\n").unwrap();
    let gone = next("detached");
    assert_eq!(
        (&gone["uplink"], &gone["reason"]),
        (&"up0".into(), &"it is gone".into())
    );
    namespace.ip("link delete up1\n").unwrap();
    assert_eq!(next("detached")["uplink"], "up1");
    assert_eq!(next("alert")["kind"], "no-uplink");
    namespace.ip(&wire.replace("NAME", "up0")).unwrap();
    assert_eq!(next("attached")["uplink"], "up0");
    process.signal(Signal::SIGTERM).unwrap();
    assert_eq!(next("stopped")["counting"], false);
    let status = process.wait(PATIENCE).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{}", process.log_tail());
}

/// What an operator asks where nothing was ever pinned.
#[test]
fn where_nothing_is_pinned_that_is_said_and_no_error() {
    let Some((namespace, binaries)) = node() else { return };
    let place = tempfile::tempdir().unwrap();
    let pins = place.path().to_str().unwrap();
    for (words, said, object) in [
        (&["attach-status"][..], "nothing is pinned\n", "{\"instances\":[]}\n"),
        (&["cleanup", "--all"], "nothing was pinned\n", "{\"cleaned\":[]}\n"),
        (
            &["cleanup", "--link", "anycast0"],
            "nothing was pinned\n",
            "{\"cleaned\":[]}\n",
        ),
    ] {
        for place in ["off", pins] {
            let words = [words, &["--pins", place]].concat();
            let output = outcome(&namespace, daemon(&binaries, &words));
            assert_eq!(
                (output.status.code(), output.stdout.as_slice()),
                (Some(0), said.as_bytes())
            );
            let output = outcome(&namespace, daemon(&binaries, &[&words[..], &["--json"]].concat()));
            assert_eq!(
                (output.status.code(), output.stdout.as_slice()),
                (Some(0), object.as_bytes())
            );
        }
    }
}

fn can_load() -> bool {
    let service = Service::new([192, 0, 2, 53], 53, Classifier::DnsUdp);
    prerequisite("command line", Datapath::load(&[service], &LoadSettings::default())).is_some()
}

/// Runs the daemon until it has started, stops it, and gives all its events.
fn events_until_started(namespace: &Namespace, binaries: &Binaries, config: &Path) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(&binaries.daemon);
    command.args(["run", "--json", "--config"]).arg(config);
    let log = directory.path().join("stderr");
    let mut process = Process::spawn_piped("anycast-probe", command, namespace, &log).unwrap();
    let lines = lines(process.take_stdout().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let mut events: Vec<Value> = Vec::new();
    // Ends with the daemon, or fails when it doesn't.
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "started" {
            process.signal(Signal::SIGTERM).unwrap();
        }
        events.push(event);
    }
    let status = process.wait(PATIENCE).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?} {events:?}");
    events
}
