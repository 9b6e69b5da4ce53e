//! The one directory that holds everything fetched: its lock, and how things get into it.
//!
//! Whatever stands there under its final name is complete: it is made under another name and then renamed, so an
//! interrupted setup leaves nothing that looks finished, and the next one carries on from the downloads.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anycast_tests::tools;
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};

use crate::workspace::say;

/// The file by which the directory is known as ours, so that nothing else is ever taken away; its first line also keeps
/// backup programs off (<https://bford.info/cachedir/>).
const MARKER: &str = "CACHEDIR.TAG";
const MARKER_CONTENT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
                              # What `cargo xtask setup` of anycast-probe fetched; `--remove` takes it away.\n";

/// All that setup ever puts into the directory; unfinished, a name ends in `.partial`.
const ENTRIES: [&str; 8] = [
    "apt",
    "bpf-linker",
    "bpf-linker-build",
    "downloads",
    "kernels",
    "llvm",
    "packages",
    "rustup",
];

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
            claim(&home)?;
            fcntl(&*directory, FcntlArg::F_SETFD(FdFlag::empty())).with_context(cannot_lock)?;
            return Ok(Lock { _directory: directory });
        }
    }
}

/// Makes sure that `home` is ours: marked so, or still empty, and then marked.
fn claim(home: &Path) -> Result<()> {
    let marker = home.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|content| content == MARKER_CONTENT) {
        return Ok(());
    }
    let empty = fs::read_dir(home)
        .with_context(|| format!("cannot read {}", home.display()))?
        .next()
        .is_none();
    ensure!(
        empty,
        "{} holds other things than what setup fetches; set {} to a directory that is empty or not there yet",
        home.display(),
        tools::HOME_VARIABLE
    );
    fs::write(&marker, MARKER_CONTENT).with_context(|| format!("cannot write {}", marker.display()))
}

/// Takes away what setup put into the directory, and the directory unless something else is in it. Gives whether it is
/// gone.
pub(crate) fn remove_all(home: &Path) -> Result<bool> {
    for name in ENTRIES {
        remove(&home.join(name))?;
        remove(&home.join(format!("{name}.partial")))?;
    }
    let mut others = fs::read_dir(home).with_context(|| format!("cannot read {}", home.display()))?;
    if others.any(|entry| !entry.is_ok_and(|entry| entry.file_name() == MARKER)) {
        return Ok(false);
    }
    fs::remove_file(home.join(MARKER))
        .and_then(|()| fs::remove_dir(home))
        .with_context(|| format!("cannot remove {}", home.display()))?;
    Ok(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_directory_becomes_ours() {
        let home = tempfile::tempdir().unwrap();
        claim(home.path()).unwrap();
        fs::create_dir(home.path().join("packages")).unwrap();
        claim(home.path()).unwrap();
        fs::remove_file(home.path().join(MARKER)).unwrap();
        assert!(claim(home.path()).is_err(), "a directory of another's packages");
    }

    #[test]
    fn nothing_but_what_setup_made_is_taken_away() {
        let parent = tempfile::tempdir().unwrap();
        let home = parent.path().join("home");
        fs::create_dir_all(home.join("packages/bird2")).unwrap();
        fs::create_dir(home.join("llvm.partial")).unwrap();
        fs::write(home.join("thesis"), "").unwrap();
        fs::write(home.join(MARKER), MARKER_CONTENT).unwrap();
        assert!(!remove_all(&home).unwrap());
        assert!(home.join("thesis").exists() && home.join(MARKER).exists());
        assert!(!home.join("packages").exists() && !home.join("llvm.partial").exists());
        fs::remove_file(home.join("thesis")).unwrap();
        assert!(remove_all(&home).unwrap());
        assert!(!home.exists());
    }
}
