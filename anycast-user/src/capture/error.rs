//! What is wrong with a capture, and where.

use std::io;

use super::MAX_RECORD_BYTES;

/// Why a capture can't be read any further.
///
/// `packet` is the number, from 1, of the packet that could not be read: all before it were. What is broken may also be
/// a header that comes just before that packet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is nothing in it, not even a header.
    #[error("it is empty: a capture has a header even when it has no packet")]
    Empty,
    /// It starts like none of the formats.
    #[error("it is no capture, nor a recording of samples: a pcap or pcapng file is needed, as `tcpdump -w` writes it{}", hint(*.magic))]
    NotACapture {
        /// Its first four bytes, fewer where it ends before.
        magic: [u8; 4],
    },
    /// A format or version that isn't written any more.
    #[error("it is {what}: `editcap -F pcapng FILE NEW` converts it")]
    Outdated {
        /// What it is.
        what: &'static str,
    },
    /// The system would not let it be read.
    #[error("packet {packet} can't be read: {source}")]
    Read {
        /// The packet.
        packet: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file ends where there should be more.
    #[error(
        "packet {packet} is cut off: the file ends at byte {end}, in the middle of it; `editcap FILE NEW` keeps what is \
         whole"
    )]
    Truncated {
        /// The packet.
        packet: u64,
        /// Length of the file in bytes.
        end: u64,
    },
    /// Lengths that can't be.
    #[error("packet {packet} is broken, at or after byte {start} of the file: {problem}; is the file damaged?")]
    Malformed {
        /// The packet.
        packet: u64,
        /// Where the broken record starts, in bytes from the start of the file.
        start: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A record that claims to be longer than any is.
    #[error(
        "packet {packet} is broken: at byte {start} of the file it claims {bytes} bytes, and no more than \
         {MAX_RECORD_BYTES} are read; is the file damaged?"
    )]
    TooLong {
        /// The packet.
        packet: u64,
        /// Where its record starts, in bytes from the start of the file.
        start: u64,
        /// The length that it claims.
        bytes: u32,
    },
    /// The packet starts with a header that isn't known here.
    #[error(
        "packet {packet} has link type {link_type}, which is not understood (Ethernet, raw IP, Linux cooked and BSD \
         loopback are): capture on the uplink itself"
    )]
    UnknownLinkType {
        /// The packet.
        packet: u64,
        /// The number of its link type, see <https://www.tcpdump.org/linktypes.html>.
        link_type: u32,
    },
    /// The packet was captured on an interface that the capture doesn't describe.
    #[error("packet {packet} is broken: it is of interface {interface}, which the file does not describe")]
    UnknownInterface {
        /// The packet.
        packet: u64,
        /// The number of the interface, from 0, in its section of the file.
        interface: u32,
    },
}

/// What the file may be instead.
fn hint(magic: [u8; 4]) -> &'static str {
    match magic {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', _] => {
            "; this one is compressed: unpack it first"
        }
        _ => "",
    }
}
