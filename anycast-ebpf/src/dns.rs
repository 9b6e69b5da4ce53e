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
        /// Its rcode, 0 to 15.
        rcode: u8,
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
        rcode: codes & 0x0f,
    })
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
        let answer = |truncated, rcode| Ok(Message::Answer { truncated, rcode });
        assert_eq!(of(0x84, 0x00), answer(false, 0));
        assert_eq!(of(0x86, 0x02), answer(true, 2));
        assert_eq!(of(0x80, 0x05), answer(false, 5));
        assert_eq!(
            of(0x80, 0xff),
            answer(false, 15),
            "Z, AD and CD are not part of the rcode"
        );
    }

    #[test]
    fn eleven_bytes_are_no_message() {
        assert_eq!(message(&[0x80; 11].as_slice(), 0), Err(Unclassified::Truncated));
    }
}
