//! What is remembered of one socket from look to look.

use crate::{clock::MonotonicTime, net::UdpSocket};

/// A socket is full when more of its buffer is taken than this: numerator and denominator.
const FULL: (u64, u64) = (3, 4);
/// A queue that ran over between two looks, and was read, was longer than this at one of them.
const HIGH: (u64, u64) = (1, 2);

/// What is remembered of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    queue: u32,
    drops: u32,
    /// Packets to the service came here, at the last look.
    pub(super) serves: bool,
    /// How many looks ago it was seen.
    pub(super) looks_without: u32,
    /// It is full, and as it is since then.
    pub(super) full: Option<Still>,
    is_high: bool,
    /// Packets were dropped here between the last two looks.
    has_dropped: bool,
    /// When it was last seen to be read.
    pub(super) read: Option<MonotonicTime>,
    /// When it was last seen that it had run full and was read.
    pub(super) drained: Option<MonotonicTime>,
}

/// For how long, and over how many looks in a row, a queue was the same to the byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Still {
    pub(super) since: MonotonicTime,
    pub(super) looks: u32,
}

/// What is common to all sockets in a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub(super) at: MonotonicTime,
    /// So much was dropped since the look before that queues must have run over.
    pub(super) is_lossy: bool,
}

impl Known {
    /// A look at a socket, after the one `before`.
    pub(super) fn seen(before: Option<&Self>, glance: Glance, socket: &UdpSocket, serves: bool) -> Self {
        let Glance { at, is_lossy } = glance;
        let &UdpSocket {
            receive_queue_bytes: queue,
            receive_buffer_bytes: buffer,
            drops,
            ..
        } = socket;
        let is_above =
            |(numerator, denominator): (u64, u64)| u64::from(queue) * denominator > u64::from(buffer) * numerator;
        let (is_full, is_high) = (is_above(FULL), is_above(HIGH));
        let is_lower = before.is_some_and(|before| queue < before.queue);
        let is_other = before.is_some_and(|before| queue != before.queue);
        let was_full = before.is_some_and(|before| before.full.is_some());
        // Longer than before is what a queue becomes that nobody reads, until it is at its limit and drops: there it stands
        // still.
        let was_at_limit = before.is_some_and(|before| before.full.is_some() && before.has_dropped);
        let has_dropped = before.is_some_and(|before| before.dropped_until(drops) > 0);
        let has_moved = is_lower || is_other && was_at_limit;
        let was_read = queue == 0 || has_moved;
        // What was dropped found it full, and that is over.
        let ran_over =
            is_lossy && has_dropped && is_other && !is_full && (is_high || before.is_some_and(|before| before.is_high));
        let drains = has_moved && (is_full || was_full) || ran_over;
        let full = match before.and_then(|before| before.full) {
            _ if !is_full => None,
            Some(Still { since, looks }) if !is_other => Some(Still {
                since,
                looks: looks.saturating_add(1),
            }),
            _ => Some(Still { since: at, looks: 1 }),
        };
        let last = |is: bool, before: Option<MonotonicTime>| if is { Some(at) } else { before };
        Self {
            queue,
            drops,
            serves,
            looks_without: 0,
            full,
            is_high,
            has_dropped,
            read: last(was_read, before.and_then(|before| before.read)),
            drained: last(drains, before.and_then(|before| before.drained)),
        }
    }

    /// A look begins; it may not find it.
    pub(super) fn out_of_sight(&mut self) {
        self.serves = false;
        self.looks_without += 1;
    }

    /// How many packets it has dropped until its counter, which wraps, stands at `drops`. One that is lower than before,
    /// which it never is, has not grown.
    pub(super) fn dropped_until(&self, drops: u32) -> u64 {
        let grown = drops.wrapping_sub(self.drops);
        if grown <= u32::MAX / 2 { grown.into() } else { 0 }
    }
}
