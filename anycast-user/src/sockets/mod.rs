//! What the sockets of a service say about its server: how many there are, what found no room in them, and whether one of
//! several is not read any more. Pure: what was seen and when goes in.
//!
//! A server with a worker that hangs has a socket that is full and stays so, while those beside it (`SO_REUSEPORT`) are
//! read. One that is overloaded has full sockets too, but they are read: what is in the queue changes, where it stands still
//! to the byte in one that is full and not read.

mod known;
mod watch;

pub use watch::{Parts, SocketWatch};

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use self::known::{Glance, Known};
use crate::{clock::MonotonicTime, engine::SocketsSeen, net::UdpSocket};

/// A full socket hangs when it stood still over so many looks in a row, and for as long. A worker that reads gives its
/// memory back a quarter of the buffer at a time: hardly two looks at it find the same, however much comes.
const HUNG_LOOKS: u32 = 5;
const HUNG_TIME: Duration = Duration::from_secs(1);
/// For how long a server that was seen to drain a full socket is said to: not every look finds it at it.
const DRAINING_LASTS: Duration = Duration::from_secs(3);
/// Fewer packets dropped between two looks, or a smaller part of those that came, are no loss that says anything: a packet
/// with a wrong checksum is dropped too.
const LOSS_PACKETS: u64 = 10;
const LOSS_ONE_IN: u64 = 100;
/// After so many looks without it a socket is forgotten. One that is bound to the address hides those bound to the wildcard,
/// and a list may miss one that changes meanwhile: what these dropped before is no news when they come back.
const LOOKS_REMEMBERED: u32 = 5;

/// What is remembered of the sockets of one service.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// All that are on its port, by cookie.
    known: BTreeMap<u64, Known>,
    receive_drops: u64,
    /// The packets that had come at the last look. There was one when this is known: what was dropped in a socket that is
    /// new, was since.
    packets: Option<u64>,
    /// There was one at some time.
    served: bool,
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
    /// Takes a look: the sockets on the port of the service at `address`, and how many packets have come for it so far.
    /// Nothing is said before one served it: a server that this network namespace knows no socket of is somewhere else.
    pub fn look(
        &mut self,
        at: MonotonicTime,
        address: IpAddr,
        on_port: &[UdpSocket],
        packets: u64,
    ) -> Option<SocketsSeen> {
        let serving: BTreeSet<u64> = serving(on_port, address).map(|socket| socket.cookie).collect();
        let dropped_by = |socket: &UdpSocket| match self.known.get(&socket.cookie) {
            Some(known) => known.dropped_until(socket.drops),
            None if self.packets.is_some() => socket.drops.into(),
            None => 0,
        };
        let served_by = on_port.iter().filter(|socket| serving.contains(&socket.cookie));
        let dropped: u64 = served_by.map(dropped_by).sum();
        let came = packets.saturating_sub(self.packets.unwrap_or(packets));
        let glance = Glance {
            at,
            is_lossy: dropped >= LOSS_PACKETS && dropped.saturating_mul(LOSS_ONE_IN) >= came,
        };
        self.receive_drops += dropped;
        self.packets = Some(packets);
        for known in self.known.values_mut() {
            known.out_of_sight();
        }
        for socket in on_port {
            let before = self.known.get(&socket.cookie);
            let known = Known::seen(before, glance, socket, serving.contains(&socket.cookie));
            self.known.insert(socket.cookie, known);
        }
        self.known.retain(|_, known| known.looks_without <= LOOKS_REMEMBERED);
        self.served |= !serving.is_empty();
        self.served.then(|| self.seen(at))
    }

    fn seen(&self, at: MonotonicTime) -> SocketsSeen {
        let count = |is: &dyn Fn(&Known) -> bool| self.serving().filter(|known| is(known)).count() as u32;
        SocketsSeen {
            at,
            sockets: count(&|_| true),
            receive_drops: self.receive_drops,
            full: count(&|known| known.full.is_some()),
            draining: count(&|known| known.drained.is_some_and(|drained| at.since(drained) < DRAINING_LASTS)),
            hung: count(&|known| self.hangs(known, at)),
        }
    }

    fn serving(&self) -> impl Iterator<Item = &Known> {
        self.known.values().filter(|known| known.serves)
    }

    fn hangs(&self, known: &Known, at: MonotonicTime) -> bool {
        let Some(still) = known.full else { return false };
        let is_read = |sibling: &Known| sibling.read.is_some_and(|read| read > still.since);
        still.looks >= HUNG_LOOKS && at.since(still.since) >= HUNG_TIME && self.serving().any(is_read)
    }
}

#[cfg(test)]
mod tests;
