//! The limit on open files: every probe under way is a socket.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For what else the process has open: kernel programs and maps, metrics connections, the log.
const OTHERS: u64 = 256;
/// 64 service addresses, each with a burst under way and the most that are kept for late answers. More would make a
/// look at all of them slow.
const MOST: u64 = 64 * 5 * 16;

/// Raises the process's limit on open files to the most that it is allowed, and gives the number of sockets that leave
/// room for others. systemd starts services with 1024 of half a million.
pub(super) fn sockets_allowed() -> usize {
    let allowed = raise().unwrap_or_else(|error| {
        tracing::warn!("the limit on open files could not be raised: {error}");
        0
    });
    allowed.saturating_sub(OTHERS).min(MOST) as usize
}

fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_most_that_is_allowed() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard - 1, hard).unwrap();
        let sockets = sockets_allowed();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert!(sockets as u64 <= hard.saturating_sub(OTHERS));
    }
}
