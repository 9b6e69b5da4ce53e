//! QUIC, by what no version may change (RFC 8999) and the packet types of versions 1 and 2 (RFC 9000, RFC 9369).

use super::{Message, payload};
use crate::{
    layout::Unclassified,
    packet::{Direction, Flow, Packet},
};

const LONG_HEADER: u8 = 0x80;
const TYPE: u8 = 0x30;
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;

/// An Initial in opens a connection. Of an unknown version every long header does: the server answers what it doesn't
/// speak by a version negotiation. Whatever leaves shows that the server lives.
#[inline(always)]
pub(super) fn message<P: Packet>(packet: &P, flow: &Flow, direction: Direction) -> Result<Message, Unclassified> {
    let &[first, v0, v1, v2, v3] = payload::<5, _>(packet, flow)?;
    if direction == Direction::Egress {
        return Ok(Message::answer(0));
    }
    let initial = match u32::from_be_bytes([v0, v1, v2, v3]) {
        VERSION_1 => first & TYPE == 0x00,
        VERSION_2 => first & TYPE == 0x10,
        _ => true,
    };
    Ok(if first & LONG_HEADER != 0 && initial {
        Message::Query { id: 0 }
    } else {
        Message::Other
    })
}
