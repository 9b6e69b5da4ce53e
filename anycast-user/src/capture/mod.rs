//! Captures of packets: pcap and pcapng files, read one packet at a time.
//!
//! Whatever a file holds, reading it ends, in packets or in a [`CaptureError`] that names the packet; and the
//! memory it takes is bounded, to a few times [`MAX_RECORD_BYTES`], whatever lengths the file claims.

mod error;
mod input;
mod link_type;
mod pcap;
mod pcapng;
#[cfg(test)]
mod tests;

use std::{io::Read, time::Duration};

use anycast_ebpf::packet::Direction;

pub use self::{error::CaptureError, link_type::LinkType};
use self::{input::Input, pcap::Pcap, pcapng::Pcapng};

/// The longest record that is read, in bytes: a packet with what a capture says about it.
///
/// Four times what tcpdump and dumpcap write, which cut packets at 262,144 bytes. A longer record is a broken length.
pub const MAX_RECORD_BYTES: u32 = 1 << 20;

/// A packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'capture> {
    /// Its place in the capture, from 1.
    pub number: u64,
    /// When it was captured, since the start of 1970 UTC. `None` where the capture doesn't tell.
    pub time: Option<Duration>,
    /// Which way it went, where the capture tells.
    pub direction: Option<Direction>,
    /// What [`Packet::bytes`] starts with.
    pub link_type: LinkType,
    /// Its bytes, as many as were captured.
    pub bytes: &'capture [u8],
}

/// A capture that is being read.
#[derive(Debug)]
pub struct Capture<R> {
    input: Input<R>,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl<R: Read> Capture<R> {
    /// Reads the first header. Which format it is shows in its first four bytes, not in a name.
    pub fn open(reader: R) -> Result<Self, CaptureError> {
        let mut input = Input::new(reader);
        let format = match input.magic()? {
            magic if pcapng::is_magic(magic) => Format::Pcapng(Pcapng::default()),
            magic => Format::Pcap(Pcap::open(magic, &mut input)?),
        };
        Ok(Self { input, format })
    }

    /// Reads the next packet; `None` at the end.
    ///
    /// After an error there is nothing more to be read: where the next packet starts is not known.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match &mut self.format {
            Format::Pcap(pcap) => pcap.next_packet(&mut self.input),
            Format::Pcapng(pcapng) => pcapng.next_packet(&mut self.input),
        }
    }

    /// How much of the capture has been read, in bytes.
    pub fn bytes_read(&self) -> u64 {
        self.input.bytes_read()
    }
}
