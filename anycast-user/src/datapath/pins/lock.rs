//! One daemon at a time has the pins of an instance.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::{major, minor},
};
use procfs::LockType;

use super::PinsError;

/// How often the directory may vanish before it is locked.
const ATTEMPTS: u32 = 8;

/// The directory of an instance, locked by flock(2) until this is dropped or the process ends, however it ends. It holds
/// between all processes that see the same bpffs, whatever other namespaces they are in.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    directory: Flock<File>,
}

impl DirectoryLock {
    /// Locks the directory at `path`, which `make` makes when it isn't there.
    pub(super) fn take(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> Result<Self, PinsError> {
        let unusable = |source| PinsError::Unusable {
            path: path.to_owned(),
            source,
        };
        for _ in 0..ATTEMPTS {
            make(path).map_err(unusable)?;
            let directory = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(unusable)?,
            };
            let locked = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => locked,
                Err((_, Errno::EWOULDBLOCK)) => {
                    return Err(PinsError::InUse {
                        path: path.to_owned(),
                        pid: holder(path),
                    });
                }
                Err((_, errno)) => return Err(unusable(errno.into())),
            };
            // Between opening and locking it, a cleanup may have removed the directory: then the lock is on nothing.
            let lock = Self { directory: locked };
            if lock.is_of(path) {
                return Ok(lock);
            }
        }
        Err(unusable(io::ErrorKind::NotFound.into()))
    }

    /// Whether what is locked is the directory that is at `path` now.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        let there = fs::metadata(path).map(|there| id(&there));
        let locked = self.directory.metadata().map(|locked| id(&locked));
        matches!((there, locked), (Ok(there), Ok(locked)) if there == locked)
    }
}

fn id(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The process that has locked the directory at `path`; `None` when none has, or one in another PID namespace, which is
/// out of sight.
pub(super) fn holder(path: &Path) -> Option<i32> {
    let (device, inode) = id(&fs::metadata(path).ok()?);
    let device = (major(device), minor(device));
    let lock = procfs::locks().ok()?.into_iter().find(|lock| {
        lock.lock_type == LockType::FLock
            && (u64::from(lock.devmaj), u64::from(lock.devmin)) == device
            && lock.inode == inode
    })?;
    lock.pid.filter(|&pid| pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("anycast0@1");
        let make = |path: &Path| fs::create_dir_all(path);
        assert_eq!(holder(&path), None);
        let lock = DirectoryLock::take(&path, make).unwrap();
        let me = std::process::id().cast_signed();
        let refused = DirectoryLock::take(&path, make).unwrap_err();
        assert!(
            matches!(&refused, PinsError::InUse { pid: Some(pid), .. } if *pid == me),
            "{refused}"
        );
        drop(lock);
        assert_eq!(holder(&path), None);
        DirectoryLock::take(&path, make).unwrap();
    }

    #[test]
    fn a_directory_that_was_removed_meanwhile_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("anycast0@1");
        fs::create_dir(&path).unwrap();
        let removed = std::cell::Cell::new(false);
        let make = |path: &Path| {
            // The first time, somebody removes it behind our back.
            if removed.replace(true) {
                fs::create_dir_all(path)
            } else {
                fs::remove_dir(path)
            }
        };
        let _lock = DirectoryLock::take(&path, make).unwrap();
        assert!(holder(&path).is_some());
    }
}
