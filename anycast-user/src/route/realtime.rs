//! Real-time scheduling for the threads whose lateness is an outage.

use std::io;

/// How the kernel schedules a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// `SCHED_FIFO` at this priority: before every ordinary thread.
    RealTime {
        /// 1 to 99.
        priority: i32,
    },
    /// As every other thread: late by milliseconds on a busy host.
    Ordinary {
        /// The error number with which real-time scheduling was refused; usually `EPERM`, for want of
        /// `CAP_SYS_NICE` or `RLIMIT_RTPRIO`.
        errno: i32,
    },
}

/// Asks for `SCHED_FIFO` at `priority` (1 to 99) for the calling thread, and says what it got.
#[must_use]
pub fn request_realtime(priority: i32) -> Scheduling {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // Threads and processes started from this one shall not inherit it.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` is a whole `sched_param` that outlives the call, which only reads it; 0 means this thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Scheduling::RealTime { priority },
        _ => Scheduling::Ordinary {
            errno: io::Error::last_os_error().raw_os_error().unwrap_or_default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_priority_is_reported_and_harmless() {
        let scheduling = std::thread::spawn(|| request_realtime(1000)).join().unwrap();
        assert!(matches!(
            scheduling,
            Scheduling::Ordinary {
                errno: libc::EINVAL | libc::EPERM
            }
        ));
    }
}
