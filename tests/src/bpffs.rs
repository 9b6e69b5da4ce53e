//! A BPF file system of a test's own.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// Runs `test` with an empty BPF file system, on a thread that alone, with the children it makes, sees it. It ends with
/// them, and what was pinned on it.
///
/// # Panics
///
/// When it can't be made, which takes root, and when `test` panics.
#[expect(clippy::expect_used, reason = "a helper of tests fails the test")]
pub fn with_bpffs<T: Send>(test: impl FnOnce(&Path) -> T + Send) -> T {
    // Outlives the thread, whose mount would be in the way of removing it.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).expect("a private one");
        mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), nothing).expect("a BPF file system");
        test(path)
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
