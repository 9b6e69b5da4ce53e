//! What could be left behind, and how to see it.

use anycast_tests::binaries::Binaries;
use anycast_tests::tools;
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where programs leave files, and which file system makes an empty one of it.
const PLACES: [(&str, &str); 5] = [
    ("/sys/fs/bpf", "bpf"),
    ("/tmp", "tmpfs"),
    ("/var/tmp", "tmpfs"),
    ("/run", "tmpfs"),
    ("/dev/shm", "tmpfs"),
];

/// Gives the calling thread, and what it starts, empty places of their own, so that nobody else's files are among what
/// is found there. One that holds what a lab needs stays as it is, and isn't given.
pub(crate) fn empty_places(binaries: &Binaries) -> Vec<&'static Path> {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
    let needed = [tools::home(), binaries.daemon.clone(), binaries.lab.clone()].map(|path| {
        // What isn't there isn't needed.
        fs::canonicalize(path).unwrap_or_default()
    });
    let mut places = Vec::new();
    for (place, kind) in PLACES {
        let place = Path::new(place);
        if place.is_dir() && !needed.iter().any(|path| path.starts_with(place)) {
            mount(Some(kind), place, Some(kind), MsFlags::empty(), nothing).unwrap();
            places.push(place);
        }
    }
    places
}

/// Everything below `directory`.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let below = if is_directory {
                files_below(&entry.path())
            } else {
                Vec::new()
            };
            std::iter::once(entry.path()).chain(below)
        })
        .collect()
}

/// The directories of the labs of a process.
pub(crate) fn lab_directories(of: Pid) -> Vec<PathBuf> {
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
pub(crate) fn inhabited_namespaces() -> BTreeSet<u64> {
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

/// The inodes of what this process has open.
pub(crate) fn open_files() -> BTreeSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .map(|file| file.ino())
        .collect()
}

/// A BPF object of the kernel: what `/proc/<pid>/fdinfo` calls its number, and the number.
type BpfObject = (&'static str, u32);

/// The BPF objects that `pids` hold by descriptors.
pub(crate) fn bpf_objects_of(pids: &[Pid]) -> BTreeSet<BpfObject> {
    let descriptors = pids.iter().flat_map(|pid| {
        let directory = fs::read_dir(format!("/proc/{pid}/fdinfo"));
        directory.into_iter().flatten().flatten()
    });
    descriptors
        .filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok())
        .flat_map(|text| {
            let objects = text.lines().filter_map(|line| {
                let (key, number) = line.split_once(':')?;
                let kind = ["prog_id", "map_id", "link_id"].into_iter().find(|&kind| kind == key)?;
                Some((kind, number.trim().parse().ok()?))
            });
            objects.collect::<Vec<_>>()
        })
        .collect()
}

/// The BPF objects that the kernel has, whoever made them.
pub(crate) fn bpf_objects() -> BTreeSet<BpfObject> {
    // One that goes while they are listed is an error of its own, and no matter here.
    let programs = loaded_programs().flatten().map(|program| ("prog_id", program.id()));
    let maps = loaded_maps().flatten().map(|map| ("map_id", map.id()));
    let links = loaded_links().flatten().map(|link| ("link_id", link.id()));
    programs.chain(maps).chain(links).collect()
}
