//! What was seen of a service's sockets.

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::{engine::SocketsSeen, export::SocketsSnapshot};

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct SocketsStatus {
    known: AtomicBool,
    sockets: AtomicU32,
    receive_drops: AtomicU64,
    full: AtomicU32,
    hung: AtomicU32,
}

impl SocketsStatus {
    pub(super) fn show(&self, seen: &SocketsSeen) {
        self.sockets.store(seen.sockets, Relaxed);
        self.receive_drops.store(seen.receive_drops, Relaxed);
        self.full.store(seen.full, Relaxed);
        self.hung.store(seen.hung, Relaxed);
        // After what makes it true.
        self.known.store(true, Release);
    }

    /// `None` as long as there was nothing to see.
    pub(super) fn snapshot(&self) -> Option<SocketsSnapshot> {
        self.known.load(Acquire).then(|| SocketsSnapshot {
            sockets: self.sockets.load(Relaxed),
            receive_drops: self.receive_drops.load(Relaxed),
            full: self.full.load(Relaxed),
            hung: self.hung.load(Relaxed),
        })
    }
}
