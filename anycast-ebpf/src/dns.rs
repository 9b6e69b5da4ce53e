//! DNS over UDP: what a message is, from the first four bytes of its header (RFC 1035, section 4.1.1).

use crate::{layout::Unclassified, packet::Packet};

/// Bytes of a DNS header; a shorter message is none.
pub const HEADER_BYTES: usize = 12;

/// A DNS message, as far as counting it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// QR=0, whatever its opcode: NOTIFY and UPDATE are answered too.
    Query,
    /// QR=1.
    Answer {
        /// TC: cut off, the client will ask again over TCP.
        truncated: bool,
        /// The octet whose lower half is the rcode: see [`rcode`].
        codes: u8,
    },
}

/// Reads the DNS header `offset` bytes into the packet.
#[inline(always)]
pub fn message<P: Packet>(packet: &P, offset: usize) -> Result<Message, Unclassified> {
    let &[_, _, flags, codes, ..] = packet.bytes::<HEADER_BYTES>(offset).ok_or(Unclassified::Truncated)?;
    if flags & 0x80 == 0 {
        return Ok(Message::Query);
    }
    Ok(Message::Answer {
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
pub fn rcode(codes: u8) -> usize {
    usize::from(codes & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(flags: u8, codes: u8) -> Result<Message, Unclassified> {
        let header: [u8; 12] = [0x12, 0x34, flags, codes, 0, 1, 0, 0, 0, 0, 0, 0];
        message(&header.as_slice(), 0)
    }

    #[test]
    fn the_flags_tell_queries_from_answers() {
        assert_eq!(of(0x01, 0x00), Ok(Message::Query));
        let answer = |truncated, codes| Ok(Message::Answer { truncated, codes });
        assert_eq!(of(0x84, 0x00), answer(false, 0));
        assert_eq!(of(0x86, 0x02), answer(true, 2));
        assert_eq!(of(0x80, 0x85), answer(false, 0x85));
    }

    #[test]
    fn ra_z_ad_and_cd_are_not_part_of_the_rcode() {
        assert_eq!(rcode(0xf0), 0);
        assert_eq!(rcode(0x85), 5);
        assert_eq!(rcode(0xff), 15);
    }

    #[test]
    fn eleven_bytes_are_no_message() {
        assert_eq!(message(&[0x80; 11].as_slice(), 0), Err(Unclassified::Truncated));
    }
}
