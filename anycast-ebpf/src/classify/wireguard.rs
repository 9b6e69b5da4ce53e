//! The handshake of `WireGuard` (Donenfeld: `WireGuard`: Next Generation Kernel Network Tunnel, section 5.4).

use super::{Message, payload};
use crate::{
    layout::Unclassified,
    packet::{Direction, Flow, Packet},
};

const INITIATION: [u8; 4] = [1, 0, 0, 0];
const RESPONSE: [u8; 4] = [2, 0, 0, 0];
const COOKIE_REPLY: [u8; 4] = [3, 0, 0, 0];

/// The sender's index of an initiation is the receiver's of what answers it: that is the id.
#[inline(always)]
pub(super) fn message<P: Packet>(packet: &P, flow: &Flow, _: Direction) -> Result<Message, Unclassified> {
    let &[t0, t1, t2, t3, a0, a1, a2, a3, b0, b1, b2, b3] = payload::<12, _>(packet, flow)?;
    let first = u64::from(u32::from_ne_bytes([a0, a1, a2, a3]));
    Ok(match [t0, t1, t2, t3] {
        INITIATION => Message::Query { id: first },
        RESPONSE => Message::answer(u64::from(u32::from_ne_bytes([b0, b1, b2, b3]))),
        COOKIE_REPLY => Message::answer(first),
        _ => Message::Other,
    })
}
