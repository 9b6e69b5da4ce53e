//! IKE (RFC 7296, section 3.1), alone on its port or among ESP in UDP (RFC 3948).

use super::{Message, payload};
use crate::{
    layout::Unclassified,
    packet::{Direction, Flow, Packet},
};

const HEADER_BYTES: usize = 28;
/// Four zero bytes, where ESP has its SPI, which is never zero.
const NON_ESP_MARKER_BYTES: usize = 4;
const FLAG_RESPONSE: u8 = 0x20;

/// A message of version 2 says whether it is a response. Of version 1, which doesn't, whatever comes in is a query and
/// whatever leaves an answer.
#[inline(always)]
pub(super) fn message<P: Packet>(packet: &P, flow: &Flow, direction: Direction) -> Result<Message, Unclassified> {
    let header = payload::<HEADER_BYTES, _>(packet, flow)?;
    Ok(read(header, direction))
}

/// On port 4500 what has no marker is ESP, and a single byte keeps a NAT's mapping alive: neither says anything.
#[inline(always)]
pub(super) fn nat_traversal<P: Packet>(packet: &P, flow: &Flow, direction: Direction) -> Result<Message, Unclassified> {
    if payload::<1, _>(packet, flow)?[0] != 0 {
        return Ok(Message::Other);
    }
    let &[m0, m1, m2, m3, ref header @ ..] = payload::<{ NON_ESP_MARKER_BYTES + HEADER_BYTES }, _>(packet, flow)?;
    if [m0, m1, m2, m3] != [0; NON_ESP_MARKER_BYTES] {
        return Ok(Message::Other);
    }
    Ok(read(header, direction))
}

/// The initiator's SPI and the number of the message are the id.
#[inline(always)]
fn read(header: &[u8; HEADER_BYTES], direction: Direction) -> Message {
    let spi = u64::from_ne_bytes([
        header[0], header[1], header[2], header[3], header[4], header[5], header[6], header[7],
    ]);
    let number = u32::from_ne_bytes([header[20], header[21], header[22], header[23]]);
    let id = spi ^ u64::from(number).rotate_left(32);
    let answers = if header[17] >> 4 == 2 {
        header[19] & FLAG_RESPONSE != 0
    } else {
        direction == Direction::Egress
    };
    if answers {
        Message::answer(id)
    } else {
        Message::Query { id }
    }
}
