//! The one directory of a lab, which holds configurations, sockets and logs.

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

/// What the directories' names start with; the process id of their lab follows.
const PREFIX: &str = "anycast-lab-";
/// Held locked by the lab that lives in the directory. A process id alone may belong to another container.
const LOCK: &str = "lock";

/// A lab's directory. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct WorkDirectory {
    directory: TempDir,
    _lock: Flock<File>,
}

impl WorkDirectory {
    /// Makes the directory, after sweeping those of labs that were killed before they could do it themselves.
    pub fn new() -> Result<Self> {
        let base = std::env::temp_dir();
        sweep(&base);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(&base)
            .with_context(|| format!("can't make a directory in {}", base.display()))?;
        let lock = File::create(directory.path().join(LOCK))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| error)
            .context("can't lock the lab's own directory")?;
        Ok(Self { directory, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories of labs that are gone. What can't be removed is another user's or another lab's business.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let owner = path.file_name().and_then(|name| {
            name.to_str()?
                .strip_prefix(PREFIX)?
                .split('-')
                .next()?
                .parse::<u32>()
                .ok()
        });
        let Some(owner) = owner else { continue };
        if Path::new("/proc").join(owner.to_string()).exists() || is_locked(&path.join(LOCK)) {
            continue;
        }
        _ = fs::remove_dir_all(&path);
    }
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directories_of_dead_labs_are_swept() {
        let base = tempfile::tempdir().unwrap();
        // Above the largest process id that Linux gives (2^22).
        let dead = base.path().join("anycast-lab-4999999-abc");
        let locked = base.path().join("anycast-lab-4999998-abc");
        let alive = base.path().join(format!("anycast-lab-{}-abc", std::process::id()));
        let other = base.path().join("something-else");
        for path in [&dead, &locked, &alive, &other] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(LOCK), "").unwrap();
        }
        let held = File::open(locked.join(LOCK)).unwrap();
        let _held = Flock::lock(held, FlockArg::LockExclusiveNonblock).unwrap();
        sweep(base.path());
        assert!(!dead.exists());
        assert!(locked.exists() && alive.exists() && other.exists());
    }
}
