//! What was seen of a service's sockets.

use std::{
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use super::Status;
use crate::{clock::MonotonicTime, engine::SocketsSeen, export::SocketsSnapshot};

/// A look that is older when it is taken says nothing about now.
const STALE: Duration = Duration::from_secs(2);
/// When nobody has looked for so long, what was seen is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct SocketsStatus {
    /// For the engine: when, and in the lowest bits of that what it goes by. Zero when it was taken.
    word: AtomicU64,
    /// The engine goes by a look; of the sampling thread alone.
    is_gone_by: AtomicBool,
    /// When, in nanoseconds; zero when there was nothing to see.
    at: AtomicU64,
    sockets: AtomicU32,
    receive_drops: AtomicU64,
    full: AtomicU32,
    hung: AtomicU32,
}

const NONE: u64 = 1;
const FULL: u64 = 2;
const DRAINING: u64 = 4;
const HUNG: u64 = 8;
const SIGNS: u64 = NONE | FULL | DRAINING | HUNG;

impl SocketsStatus {
    pub(super) fn show(&self, seen: &SocketsSeen) {
        self.sockets.store(seen.sockets, Relaxed);
        self.receive_drops.store(seen.receive_drops, Relaxed);
        self.full.store(seen.full, Relaxed);
        self.hung.store(seen.hung, Relaxed);
        let signs = [
            (NONE, seen.sockets == 0),
            (FULL, seen.full > 0),
            (DRAINING, seen.draining > 0),
            (HUNG, seen.hung > 0),
        ];
        let signs = signs.into_iter().filter_map(|(sign, is_seen)| is_seen.then_some(sign));
        self.word.store(seen.at.0 & !SIGNS | signs.sum::<u64>(), Relaxed);
        // After what was seen.
        self.at.store(seen.at.0, Release);
    }

    /// Of sockets there is one at most here.
    pub(super) fn take(&self, now: MonotonicTime) -> Option<SocketsSeen> {
        let word = self.word.swap(0, Relaxed);
        let at = MonotonicTime(word & !SIGNS);
        if word != 0 && now.since(at) <= STALE {
            self.is_gone_by.store(true, Relaxed);
            return Some(SocketsSeen {
                at,
                sockets: (word & NONE == 0).into(),
                receive_drops: self.receive_drops.load(Relaxed),
                full: (word & FULL != 0).into(),
                draining: (word & DRAINING != 0).into(),
                hung: (word & HUNG != 0).into(),
            });
        }
        let is_forgotten = self.is_gone_by.load(Relaxed) && self.is_old(now);
        is_forgotten.then(|| {
            self.is_gone_by.store(false, Relaxed);
            SocketsSeen {
                at: now,
                sockets: 1,
                ..SocketsSeen::default()
            }
        })
    }

    /// `None` as long as there was nothing to see, and when nobody has looked for a while.
    pub(super) fn snapshot(&self, now: MonotonicTime) -> Option<SocketsSnapshot> {
        (self.at.load(Acquire) != 0 && !self.is_old(now)).then(|| SocketsSnapshot {
            sockets: self.sockets.load(Relaxed),
            receive_drops: self.receive_drops.load(Relaxed),
            full: self.full.load(Relaxed),
            hung: self.hung.load(Relaxed),
        })
    }

    fn is_old(&self, now: MonotonicTime) -> bool {
        now.since(MonotonicTime(self.at.load(Relaxed))) > FORGOTTEN
    }
}

impl Status {
    /// Shows what was seen of a service's sockets.
    pub fn saw_sockets(&self, service: usize, seen: &SocketsSeen) {
        if let Some(status) = self.services.get(service) {
            status.sockets.show(seen);
        }
    }

    /// What was seen of a service's sockets, once, for the engine: whether there are none, and whether any is full, drains
    /// or hangs, but not how many. When nobody has looked for a while, once, that all is well as far as anybody knows.
    pub fn take_sockets(&self, service: usize, now: MonotonicTime) -> Option<SocketsSeen> {
        self.services.get(service)?.sockets.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: SocketsSeen = SocketsSeen {
        at: MonotonicTime(16_000_000_000),
        sockets: 4,
        receive_drops: 9,
        full: 3,
        draining: 2,
        hung: 1,
    };

    fn taken(seen: SocketsSeen) -> Option<SocketsSeen> {
        let status = SocketsStatus::default();
        status.show(&seen);
        status.take(seen.at)
    }

    #[test]
    fn a_look_is_taken_once_and_says_what_there_is() {
        let status = SocketsStatus::default();
        assert_eq!((status.take(SEEN.at), status.snapshot(SEEN.at)), (None, None));
        status.show(&SEEN);
        let expected = SocketsSeen {
            sockets: 1,
            full: 1,
            draining: 1,
            ..SEEN
        };
        assert_eq!(status.take(SEEN.at), Some(expected));
        assert_eq!(status.take(SEEN.at), None);
        assert_eq!(status.snapshot(SEEN.at).map(|seen| seen.sockets), Some(4));
        let gone = SocketsSeen {
            at: SEEN.at,
            ..SocketsSeen::default()
        };
        assert_eq!(taken(gone), Some(gone));
        for seen in [
            SocketsSeen { full: 1, ..gone },
            SocketsSeen { draining: 1, ..gone },
            SocketsSeen { hung: 1, ..gone },
        ] {
            assert_eq!(taken(seen), Some(seen));
        }
    }

    #[test]
    fn what_nobody_took_in_time_is_left_out() {
        let status = SocketsStatus::default();
        status.show(&SEEN);
        assert_eq!(status.take(SEEN.at.after(Duration::from_millis(2001))), None);
    }

    #[test]
    fn what_was_seen_is_forgotten_when_nobody_looks_any_more() {
        let status = SocketsStatus::default();
        status.show(&SEEN);
        assert_eq!(status.take(SEEN.at).map(|seen| seen.hung), Some(1));
        let soon = SEEN.at.after(FORGOTTEN);
        assert_eq!(status.take(soon), None);
        assert!(status.snapshot(soon).is_some());
        let late = soon.after(Duration::from_millis(1));
        let seen = status.take(late).map(|seen| (seen.sockets, seen.hung, seen.draining));
        assert_eq!(seen, Some((1, 0, 0)));
        assert_eq!((status.take(late), status.snapshot(late)), (None, None));
        status.show(&SocketsSeen { at: late, ..SEEN });
        assert!(status.take(late).is_some_and(|seen| seen.hung == 1));
        assert!(status.snapshot(late).is_some());
    }
}
