//! The one directory that holds everything fetched: its lock, and how things get into it.
//!
//! Whatever stands there under its final name is complete: it is made under another name and then renamed, so an
//! interrupted setup leaves nothing that looks finished, and the next one carries on from the downloads.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anycast_tests::tools;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};

use crate::workspace::say;

/// Held while something is fetched or taken away. The kernel releases it when the process and all that it started have
/// ended, however they end: a cargo or apt that outlives a killed xtask is still writing.
pub(crate) struct Lock {
    _directory: Flock<File>,
}

/// Makes the directory and takes its lock; waits, and says so, while another process holds it.
pub(crate) fn lock() -> Result<Lock> {
    let home = tools::home();
    let cannot_lock = || format!("cannot lock {}", home.display());
    loop {
        create(&home)?;
        let directory = File::open(&home).with_context(cannot_lock)?;
        let directory = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((directory, Errno::EWOULDBLOCK)) => {
                say("another setup is under way; waiting for it to end");
                Flock::lock(directory, FlockArg::LockExclusive)
                    .map_err(|(_, error)| error)
                    .with_context(cannot_lock)?
            }
            Err((_, error)) => return Err(error).with_context(cannot_lock),
        };
        // The holder that was waited for may have been `setup --remove`: then this is the lock of a directory that
        // is gone.
        let locked = directory.metadata().with_context(cannot_lock)?;
        if fs::metadata(&home).is_ok_and(|now| now.ino() == locked.ino()) {
            fcntl(&*directory, FcntlArg::F_SETFD(FdFlag::empty())).with_context(cannot_lock)?;
            return Ok(Lock { _directory: directory });
        }
    }
}

/// Downloaded Debian packages, kept until a setup ends well.
pub(crate) fn downloads() -> PathBuf {
    tools::home().join("downloads")
}

/// Makes `directory` and what leads to it.
pub(crate) fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| {
        format!(
            "cannot make {}; set {} to a directory that can be written",
            directory.display(),
            tools::HOME_VARIABLE
        )
    })
}

/// Removes `directory` and all below it; it is no error when there is none.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Has `fill` fill a fresh directory and puts it in place as `directory`, in one step.
pub(crate) fn publish(directory: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = directory.with_extension("partial");
    remove(&partial)?;
    create(&partial)?;
    fill(&partial)?;
    remove(directory)?;
    fs::rename(&partial, directory).with_context(|| format!("cannot put {} in place", directory.display()))
}
