//! A lab leaves nothing behind, however it ends, and doesn't collide with another.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod traces;

use anycast_ebpf::classify::Classifier;
use anycast_tests::alone::one_at_a_time;
use anycast_tests::binaries::{Binaries, prerequisites};
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::interrupt::{EXIT_CODE, Interrupted};
use anycast_tests::lab::{Lab, LabOptions};
use anycast_tests::netns::Namespace;
use anycast_tests::node::{Family, Node};
use anycast_tests::prerequisite;
use anycast_tests::process::{Process, descendants, lines};
use anycast_tests::server::ServerKind;
use anycast_tests::timeline::Silent;
use anycast_user::datapath::{Datapath, LoadSettings, Service};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use traces::{
    bpf_objects, bpf_objects_of, empty_places, files_below, inhabited_namespaces, lab_directories, open_files,
};

const PATIENCE: Duration = Duration::from_secs(20);
const SERVERS: [ServerKind; 4] = [
    ServerKind::Knot,
    ServerKind::Nsd,
    ServerKind::Unbound,
    ServerKind::Builtin,
];

/// A lab without daemons, where only the lab itself is tested.
fn empty(binaries: Binaries, server: ServerKind) -> LabOptions {
    LabOptions {
        server: Some(server),
        daemon: None,
        family: Family::V4,
        binaries,
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not so in the end: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_gone(pid: Pid) -> bool {
    kill(pid, None) == Err(Errno::ESRCH)
}

#[test]
fn a_lab_leaves_no_namespace_process_bpf_object_pin_or_file() {
    let _alone = one_at_a_time();
    let service = Service::new(Family::V4.service_address(), 53, Classifier::DnsUdp);
    let loaded = prerequisite(
        "leaves nothing",
        Datapath::load(&[service], &LoadSettings::default()).map(drop),
    );
    let binaries = prerequisite("leaves nothing", prerequisites(&SERVERS));
    let (Some(()), Some(binaries)) = (loaded, binaries) else {
        return;
    };
    // On a thread of its own, with which its view of the file system ends.
    let checks = std::thread::spawn(move || {
        let places = empty_places(&binaries);
        let files = || places.iter().flat_map(|place| files_below(place)).collect::<Vec<_>>();
        let before = files();
        for server in SERVERS {
            leaves_nothing(&binaries, server);
            assert_eq!(files(), before, "{server}");
        }
    });
    if let Err(panic) = checks.join() {
        std::panic::resume_unwind(panic);
    }
}

fn leaves_nothing(binaries: &Binaries, server: ServerKind) {
    let options = LabOptions {
        daemon: Some(DaemonOptions::default()),
        ..empty(binaries.clone(), server)
    };
    let mut nobody = Silent;
    let mut lab = Lab::start(options, &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    assert_eq!(lab.server(), Some(server));
    let network = lab.network();
    let namespaces: Vec<u64> = [&network.client, &network.router, &network.nodes.a, &network.nodes.b]
        .map(|namespace| namespace.inode().unwrap())
        .into();
    let children = descendants(Pid::this());
    let objects = bpf_objects_of(&children);
    // The lab was there, or its absence afterwards would prove nothing.
    assert!(!children.is_empty() && !lab_directories(Pid::this()).is_empty());
    let inhabited = inhabited_namespaces();
    // All but the client's, in which no process is.
    assert!(namespaces.iter().skip(1).all(|inode| inhabited.contains(inode)));
    for kind in ["prog_id", "map_id", "link_id"] {
        assert!(objects.iter().any(|(of, _)| *of == kind), "no {kind}: {objects:?}");
    }
    assert!(objects.is_subset(&bpf_objects()), "{objects:?}");
    drop(lab);
    assert_eq!(lab_directories(Pid::this()), Vec::<PathBuf>::new());
    assert!(children.iter().all(|&pid| is_gone(pid)), "{server}");
    let inhabited = inhabited_namespaces();
    assert!(namespaces.iter().all(|inode| !inhabited.contains(inode)), "{server}");
    // A handle that was kept would hold a namespace that nobody is in.
    assert!(namespaces.iter().all(|inode| !open_files().contains(inode)), "{server}");
    // The kernel frees them a moment after the last descriptor is closed.
    wait_until("the BPF objects are gone", || bpf_objects().is_disjoint(&objects));
}

/// The lab's executable, as `cargo xtask run` starts it, in a process group of its own as a shell would have it.
fn executable(binaries: &Binaries) -> Command {
    let mut command = Command::new(&binaries.lab);
    command.args(["failover", "--rate=500", "--server=knot"]);
    command
}

/// Starts the lab's executable and waits until it is in full swing; gives its children too.
fn in_full_swing(binaries: &Binaries) -> (Process, Vec<Pid>, TempDir) {
    let lab = executable(binaries);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" 2>&1 >/dev/null"])
        .arg(lab.get_program())
        .args(lab.get_args());
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut process = Process::spawn_piped("the lab", command, &Namespace::new().unwrap(), &log).unwrap();
    // What comes later goes unread: the lab must not mind a display that has gone away.
    let words = lines(process.take_stdout().unwrap());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = words.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let line = line.unwrap_or_else(|error| panic!("the lab didn't come up: {error}: {}", process.log_tail()));
        if line.contains("router  UPDATE") {
            break;
        }
    }
    let children = process.descendants();
    assert!(!children.is_empty());
    (process, children, directory)
}

#[test]
fn a_signal_takes_everything_down() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("signals", prerequisites(&[ServerKind::Knot])) else {
        return;
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut process, children, _directory) = in_full_swing(&binaries);
        process.signal(signal).unwrap();
        let status = process.wait(PATIENCE).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(EXIT_CODE), "{signal}");
        wait_until("all children are gone", || children.iter().all(|&pid| is_gone(pid)));
        assert_eq!(lab_directories(process.pid()), Vec::<PathBuf>::new());
    }
}

/// A terminal signals the whole group. What else is in it must not be taken for a failure of its own.
#[test]
fn ctrl_c_is_an_interruption_at_any_moment_of_bringing_up() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("Ctrl-C", prerequisites(&[ServerKind::Knot])) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    for moment in [0, 3, 10, 20, 40, 60, 80, 100, 150, 300, 1000].map(Duration::from_millis) {
        let log = directory.path().join(format!("{moment:?}.log"));
        let namespace = Namespace::new().unwrap();
        let mut process = Process::spawn("the lab", executable(&binaries), &namespace, &log).unwrap();
        wait_until("the lab begins", || !lab_directories(process.pid()).is_empty());
        // Not to wait for anything: these are the moments.
        std::thread::sleep(moment);
        let children = process.descendants();
        killpg(process.pid(), Signal::SIGINT).unwrap();
        let status = process.wait(PATIENCE).unwrap();
        let words = fs::read_to_string(&log).unwrap();
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(EXIT_CODE),
            "after {moment:?}: {words}"
        );
        assert_eq!(words.lines().last(), Some(Interrupted.to_string().as_str()), "{words}");
        assert!(!words.contains("error"), "{words}");
        wait_until("all children are gone", || children.iter().all(|&pid| is_gone(pid)));
        assert_eq!(lab_directories(process.pid()), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_killed_lab_takes_its_children_along_and_the_next_sweeps_its_directory() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("killed lab", prerequisites(&[ServerKind::Knot])) else {
        return;
    };
    let (mut process, children, _directory) = in_full_swing(&binaries);
    process.signal(Signal::SIGKILL).unwrap();
    let status = process.wait(PATIENCE).unwrap();
    assert_eq!(status.and_then(|status| status.signal()), Some(libc::SIGKILL));
    wait_until("all children are gone", || children.iter().all(|&pid| is_gone(pid)));
    assert!(!lab_directories(process.pid()).is_empty());
    let mut nobody = Silent;
    drop(Lab::start(empty(binaries, ServerKind::Builtin), &mut nobody).unwrap());
    assert_eq!(lab_directories(process.pid()), Vec::<PathBuf>::new());
}

#[test]
fn two_labs_at_once_do_not_collide() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("two labs", prerequisites(&[ServerKind::Knot])) else {
        return;
    };
    let (mut first_display, mut second_display) = (Silent, Silent);
    let mut first = Lab::start(empty(binaries.clone(), ServerKind::Knot), &mut first_display).unwrap();
    let second = Lab::start(empty(binaries, ServerKind::Knot), &mut second_display).unwrap();
    // What happens in one is not seen in the other.
    let link = anycast_tests::network::LINK;
    second.network().nodes.a.ip(&format!("link set {link} down\n")).unwrap();
    drop(second);
    assert!(first.network().link_is_up(Node::A).unwrap());
    first.wait_for_route(Family::V4, Some(Node::A)).unwrap();
}
