//! What the sockets of a service say about its server: how many there are, what found no room in them, and whether one of
//! several is not read any more. Pure: what was seen and when goes in.
//!
//! A server with a worker that hangs has a socket that is full and stays so, while those beside it (`SO_REUSEPORT`) are
//! read. One that is overloaded has full sockets too, but they are read: the queue is seen to be lower now and then.

mod watch;

pub use watch::{Parts, SocketWatch};

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{clock::MonotonicTime, engine::SocketsSeen, net::UdpSocket};

/// A socket is full when more of its buffer is taken than this: numerator and denominator.
const FULL: (u64, u64) = (3, 4);
/// A full socket hangs when this often in a row, and for as long, not a byte less was in it than before.
const HUNG_LOOKS: u32 = 3;
const HUNG_TIME: Duration = Duration::from_secs(1);

/// What is remembered of the sockets of one service.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// By cookie.
    known: BTreeMap<u64, Known>,
    receive_drops: u64,
    /// Sockets were seen before: what was dropped in a new one, was since.
    started: bool,
    /// There was one at some time.
    served: bool,
}

/// What is remembered of a socket.
#[derive(Clone, Copy, Debug)]
struct Known {
    queue: u32,
    drops: u32,
    /// Since when, and in how many looks in a row, it is full and nothing was read.
    stuck: Option<(MonotonicTime, u32)>,
    /// When it was last seen to be read: with less in it than before, or nothing at all.
    read: Option<MonotonicTime>,
    /// It ran full and was read since the look before.
    draining: bool,
}

/// Of the sockets on a port, those that packets to `address` go to: what is bound to it comes before a wildcard.
pub fn serving(sockets: &[UdpSocket], address: IpAddr) -> impl Iterator<Item = &UdpSocket> {
    let address = address.to_canonical();
    let is_taken = sockets.iter().any(|socket| socket.is_bound_to(address));
    sockets.iter().filter(move |socket| {
        if is_taken {
            socket.is_bound_to(address)
        } else {
            socket.is_wildcard_for(address)
        }
    })
}

impl Tracker {
    /// Takes a look: the sockets that serve the service now. Nothing is said before there was one: a server that this
    /// network namespace knows no socket of is somewhere else.
    pub fn look<'a>(
        &mut self,
        at: MonotonicTime,
        sockets: impl IntoIterator<Item = &'a UdpSocket>,
    ) -> Option<SocketsSeen> {
        let before = std::mem::take(&mut self.known);
        for socket in sockets {
            let known = before.get(&socket.cookie);
            self.receive_drops += match known {
                Some(known) => new_drops(known.drops, socket.drops),
                None if self.started => socket.drops.into(),
                None => 0,
            };
            self.known.insert(socket.cookie, Known::seen(known, at, socket));
        }
        self.started = true;
        self.served |= !self.known.is_empty();
        self.served.then(|| self.seen(at))
    }

    fn seen(&self, at: MonotonicTime) -> SocketsSeen {
        let count = |is: &dyn Fn(&Known) -> bool| self.known.values().filter(|known| is(known)).count() as u32;
        SocketsSeen {
            at,
            sockets: self.known.len() as u32,
            receive_drops: self.receive_drops,
            full: count(&|known| known.stuck.is_some()),
            draining: count(&|known| known.draining),
            hung: count(&|known| self.hangs(known, at)),
        }
    }

    fn hangs(&self, known: &Known, at: MonotonicTime) -> bool {
        let Some((since, looks)) = known.stuck else {
            return false;
        };
        let is_read = |sibling: &Known| sibling.read.is_some_and(|read| read > since);
        looks >= HUNG_LOOKS && at.since(since) >= HUNG_TIME && self.known.values().any(is_read)
    }
}

impl Known {
    fn seen(before: Option<&Self>, at: MonotonicTime, socket: &UdpSocket) -> Self {
        let &UdpSocket {
            receive_queue_bytes: queue,
            receive_buffer_bytes: buffer,
            drops,
            ..
        } = socket;
        let (numerator, denominator) = FULL;
        let is_full = u64::from(queue) * denominator > u64::from(buffer) * numerator;
        let is_lower = before.is_some_and(|before| queue < before.queue);
        let was_read = queue == 0 || is_lower;
        // What was dropped found it full.
        let has_dropped = before.is_some_and(|before| new_drops(before.drops, drops) > 0);
        let was_full = before.is_some_and(|before| before.stuck.is_some());
        let stuck = match before.and_then(|before| before.stuck) {
            _ if !is_full => None,
            Some((since, looks)) if !was_read => Some((since, looks.saturating_add(1))),
            _ => Some((at, 1)),
        };
        Self {
            queue,
            drops,
            stuck,
            read: if was_read {
                Some(at)
            } else {
                before.and_then(|before| before.read)
            },
            draining: is_lower && (is_full || was_full || has_dropped) || has_dropped && !is_full,
        }
    }
}

/// What a counter that wraps has grown by. One that is lower than before, which it never is, has not grown.
fn new_drops(before: u32, now: u32) -> u64 {
    let grown = now.wrapping_sub(before);
    if grown <= u32::MAX / 2 { grown.into() } else { 0 }
}

#[cfg(test)]
mod tests;
