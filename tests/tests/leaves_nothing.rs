//! A lab leaves nothing behind, however it ends, and doesn't collide with another.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use anycast_tests::binaries::{Binaries, prerequisites};
use anycast_tests::lab::{Lab, LabOptions};
use anycast_tests::node::{Family, Node};
use anycast_tests::prerequisite;
use anycast_tests::process::descendants;
use anycast_tests::server::ServerKind;
use anycast_tests::timeline::Silent;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lab without daemons: what is tested here is the lab itself.
fn empty(binaries: Binaries, server: ServerKind) -> LabOptions {
    LabOptions {
        server: Some(server),
        daemon: None,
        family: Family::V4,
        binaries,
    }
}

fn lab_directories(of: u32) -> Vec<PathBuf> {
    let prefix = format!("anycast-lab-{of}-");
    let entries = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        })
        .collect()
}

/// The network namespaces in which any thread of the machine is.
fn inhabited_namespaces() -> BTreeSet<u64> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let tasks = processes.flat_map(|process| {
        fs::read_dir(process.path().join("task"))
            .into_iter()
            .flatten()
            .flatten()
    });
    tasks
        .filter_map(|task| fs::metadata(task.path().join("ns/net")).ok())
        .map(|namespace| namespace.ino())
        .collect()
}

/// Everything pinned below the BPF file system's usual place.
fn pins(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let mut found = pins(&entry.path());
            found.insert(entry.path());
            found
        })
        .collect()
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
fn an_empty_lab_leaves_no_namespace_process_pin_or_file() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("leaves nothing", prerequisites()) else {
        return;
    };
    let own = std::process::id();
    let bpf = Path::new("/sys/fs/bpf");
    let pinned = pins(bpf);
    for server in [
        ServerKind::Knot,
        ServerKind::Nsd,
        ServerKind::Unbound,
        ServerKind::Builtin,
    ] {
        let mut nobody = Silent;
        let lab = Lab::start(empty(binaries.clone(), server), &mut nobody).unwrap();
        let network = lab.network();
        let namespaces: Vec<u64> = [&network.client, &network.router, &network.nodes.a, &network.nodes.b]
            .map(|namespace| namespace.inode().unwrap())
            .into();
        let children = descendants(Pid::this());
        // The lab was there, or its absence afterwards would prove nothing.
        assert!(!children.is_empty() && !lab_directories(own).is_empty());
        assert!(
            namespaces[1..]
                .iter()
                .all(|inode| inhabited_namespaces().contains(inode))
        );
        drop(lab);
        assert_eq!(lab_directories(own), Vec::<PathBuf>::new());
        assert!(children.iter().all(|&pid| is_gone(pid)), "{server}");
        let inhabited = inhabited_namespaces();
        assert!(namespaces.iter().all(|inode| !inhabited.contains(inode)), "{server}");
        // A handle that was kept would hold a namespace that nobody is in.
        assert!(namespaces.iter().all(|inode| !open_files().contains(inode)), "{server}");
    }
    assert_eq!(pins(bpf), pinned);
}

/// The inodes of what this process has open.
fn open_files() -> BTreeSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .map(|file| file.ino())
        .collect()
}

/// Starts the lab's executable and waits until it is in full swing.
fn start_executable(binaries: &Binaries) -> (Child, Vec<Pid>) {
    let mut child = Command::new(&binaries.lab)
        .args(["failover", "--rate=500", "--server=knot"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let words = BufReader::new(child.stderr.take().unwrap());
    // The rest goes unread: the lab must not mind a display that has gone away.
    let started = words
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("router  UPDATE"));
    assert!(started);
    let children = descendants(Pid::from_raw(child.id().cast_signed()));
    assert!(!children.is_empty());
    (child, children)
}

#[test]
fn ctrl_c_takes_everything_down() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("Ctrl-C", prerequisites()) else {
        return;
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut child, children) = start_executable(&binaries);
        let pid = child.id();
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        wait_until("all children are gone", || children.iter().all(|&pid| is_gone(pid)));
        assert_eq!(lab_directories(pid), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_killed_lab_takes_its_children_along_and_the_next_sweeps_its_directory() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("killed lab", prerequisites()) else {
        return;
    };
    let (mut child, children) = start_executable(&binaries);
    let pid = child.id();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    wait_until("all children are gone", || children.iter().all(|&pid| is_gone(pid)));
    assert!(!lab_directories(pid).is_empty());
    let mut nobody = Silent;
    drop(Lab::start(empty(binaries, ServerKind::Builtin), &mut nobody).unwrap());
    assert_eq!(lab_directories(pid), Vec::<PathBuf>::new());
}

#[test]
fn two_labs_at_once_do_not_collide() {
    let _alone = one_at_a_time();
    let Some(binaries) = prerequisite("two labs", prerequisites()) else {
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
