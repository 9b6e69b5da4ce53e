//! NTP and SNTP (RFC 5905, section 7.3).

use super::{Message, payload};
use crate::{
    layout::Unclassified,
    packet::{Direction, Flow, Packet},
};

const HEADER_BYTES: usize = 48;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;

/// A client's transmit timestamp comes back as the origin timestamp of the answer: that is the id.
#[inline(always)]
pub(super) fn message<P: Packet>(packet: &P, flow: &Flow, _: Direction) -> Result<Message, Unclassified> {
    let header = payload::<HEADER_BYTES, _>(packet, flow)?;
    Ok(match header[0] & 0x07 {
        MODE_CLIENT => Message::Query {
            id: u64::from_ne_bytes([
                header[40], header[41], header[42], header[43], header[44], header[45], header[46], header[47],
            ]),
        },
        MODE_SERVER => Message::answer(u64::from_ne_bytes([
            header[24], header[25], header[26], header[27], header[28], header[29], header[30], header[31],
        ])),
        _ => Message::Other,
    })
}
