//! How long the answers of a service took.

use std::sync::{
    Mutex, PoisonError, TryLockError,
    atomic::{
        AtomicBool,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::Status;
use crate::detect::LatencyProfile;

/// What was shown last, until it is taken.
#[derive(Debug, Default)]
pub(super) struct LatencyStatus {
    /// There is one; all that is read when there is none.
    is_new: AtomicBool,
    profile: Mutex<Option<LatencyProfile>>,
}

impl LatencyStatus {
    /// In place of one that nobody took.
    pub(super) fn show(&self, profile: &LatencyProfile) {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner) = Some(*profile);
        self.is_new.store(true, Release);
    }

    /// Never waits: what is being exchanged is taken the next time.
    pub(super) fn take(&self) -> Option<LatencyProfile> {
        if !self.is_new.load(Acquire) {
            return None;
        }
        let mut profile = match self.profile.try_lock() {
            Ok(profile) => profile,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // Before the lock is given back: who shows another one then says so again.
        self.is_new.store(false, Relaxed);
        profile.take()
    }
}

impl Status {
    /// Shows how long the answers of a service took in the last while. May wait for another one who does.
    pub fn show_latency(&self, service: usize, profile: &LatencyProfile) {
        if let Some(status) = self.services.get(service) {
            status.latency.show(profile);
        }
    }

    /// How long the answers of a service took in the last while, once for each time that it is shown.
    pub fn take_latency(&self, service: usize) -> Option<LatencyProfile> {
        self.services.get(service)?.latency.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn profile(milliseconds: u64) -> LatencyProfile {
        LatencyProfile::new([(Duration::from_millis(milliseconds), 1000)].into_iter()).unwrap()
    }

    #[test]
    fn the_last_one_is_taken_once() {
        let status = LatencyStatus::default();
        assert_eq!(status.take(), None);
        status.show(&profile(1));
        status.show(&profile(2));
        assert_eq!(status.take(), Some(profile(2)));
        assert_eq!(status.take(), None);
    }

    #[test]
    fn who_is_interrupted_while_showing_one_keeps_nobody() {
        let status = LatencyStatus::default();
        status.show(&profile(1));
        let interrupted = status.profile.lock().unwrap();
        assert_eq!(status.take(), None);
        drop(interrupted);
        assert_eq!(status.take(), Some(profile(1)));
    }
}
