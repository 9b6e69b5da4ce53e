//! Queries and answers of a service over TCP: its payload in against its payload out, a connection at a time.
//!
//! Segments can't be counted one against the other: a hung server still completes handshakes and acknowledges what
//! comes, and an answer may be any number of segments. So what a client sends in one go is one query, and the first
//! payload that comes back its answer. Where the server speaks first, the client's last segment of the handshake is a
//! query too, as it waits for the greeting.

use crate::{
    atomic,
    latency::{self, Hash},
    layout::{Exchange, Latency},
    packet::{Direction, Segment},
};

/// After this long somebody else may have the slot of an exchange that was not answered, in nanoseconds: what is never
/// answered, as what a stranger makes up is, must not keep others out.
const STALE_NS: u64 = 1_000_000_000;
/// The bit of `since` that is set while the handshake is under way.
const HANDSHAKE: u64 = 1;

/// What a segment is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Query,
    Answer,
}

#[inline(always)]
pub(crate) fn follow(
    exchange: &Exchange,
    latency: &Latency,
    hash: Hash,
    (direction, segment, server_speaks_first): (Direction, Segment, bool),
    now: impl Fn() -> u64,
) -> Option<Event> {
    let Segment { flags, has_payload } = segment;
    if flags & Segment::RST != 0 {
        // Whatever was under way is over: the slot is free.
        if atomic::load(&exchange.tag) == hash.tag() {
            latency::release(&exchange.tag, hash);
        }
        return None;
    }
    match direction {
        Direction::Egress => {
            let since = atomic::load(&exchange.since);
            if !has_payload || atomic::load(&exchange.tag) != hash.tag() || since & HANDSHAKE != 0 {
                return None;
            }
            // Before the slot is released: the two don't wait for one another then.
            let now = now();
            latency::release(&exchange.tag, hash).then(|| {
                latency::add(latency, now.wrapping_sub(since));
                Event::Answer
            })
        }
        // What comes with the end of a connection, such as TLS's close_notify, asks for nothing.
        Direction::Ingress if flags & Segment::FIN != 0 => None,
        Direction::Ingress if has_payload => {
            let is_open = atomic::load(&exchange.tag) == hash.tag() && atomic::load(&exchange.since) & HANDSHAKE == 0;
            (!is_open && take(exchange, latency, hash, 0, now)).then(|| {
                atomic::add(&latency.sampled, 1);
                Event::Query
            })
        }
        Direction::Ingress if server_speaks_first => match flags & (Segment::SYN | Segment::ACK) {
            Segment::SYN => {
                take(exchange, latency, hash, HANDSHAKE, now);
                None
            }
            Segment::ACK => {
                let completes =
                    atomic::load(&exchange.tag) == hash.tag() && atomic::load(&exchange.since) & HANDSHAKE != 0;
                completes.then(|| {
                    // From here on the client waits for the server, and not the other way round.
                    atomic::store(&exchange.since, now() & !HANDSHAKE);
                    atomic::add(&latency.sampled, 1);
                    Event::Query
                })
            }
            _ => None,
        },
        Direction::Ingress => None,
    }
}

/// Takes the slot, unless another connection waits in it for an answer. A handshake doesn't keep it: anybody can begin one.
#[inline(always)]
fn take(exchange: &Exchange, latency: &Latency, hash: Hash, handshake: u64, now: impl Fn() -> u64) -> bool {
    let now = now();
    let owner = atomic::load(&exchange.tag);
    let since = atomic::load(&exchange.since);
    let is_free = owner == 0 || owner == hash.tag() || since & HANDSHAKE != 0 || now.saturating_sub(since) > STALE_NS;
    if is_free {
        latency::replace(&exchange.tag, &exchange.since, hash, now & !HANDSHAKE | handshake);
    } else {
        atomic::add(&latency.not_followed, 1);
    }
    is_free
}
