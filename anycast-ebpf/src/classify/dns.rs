//! DNS over UDP: what a message is, from the first four bytes of its header (RFC 1035, section 4.1.1).

use super::Message;
use crate::{
    layout::Unclassified,
    packet::{Direction, Flow, Packet},
};

/// Keeps the ID 0 from looking like none.
const HAS_ID: u64 = 1 << 16;

/// Reads the header. Whatever its opcode: NOTIFY and UPDATE are answered too.
///
/// A payload too short for a DNS header is no message. `flow.head` has the four bytes if they are there, so that the
/// packet isn't touched again.
#[inline(always)]
pub(super) fn message<P: Packet>(_: &P, flow: &Flow, _: Direction) -> Result<Message, Unclassified> {
    if !flow.head.is_known {
        return Err(Unclassified::Truncated);
    }
    let [id_high, id_low, flags, codes] = flow.head.word.to_ne_bytes();
    let id = HAS_ID | u64::from(u16::from_ne_bytes([id_high, id_low]));
    if flags & 0x80 == 0 {
        return Ok(Message::Query { id });
    }
    Ok(Message::Answer {
        id,
        truncated: flags & 0x02 != 0,
        codes,
    })
}

/// The rcode, 0 to 15, in an answer's octet of codes.
///
/// Not taken out earlier: the compiler packs a [`Message`] into a register, and of one that holds a masked rcode it
/// knows the bound while the verifier of Linux 6.1 does not, so that an array indexed by it is refused.
#[inline(always)]
#[must_use]
pub(crate) fn rcode(codes: u8) -> usize {
    usize::from(codes & 0x0f)
}
