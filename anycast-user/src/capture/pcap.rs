//! pcap: one header, then packets.

use std::{io::Read, time::Duration};

use pcap_parser::{LegacyPcapBlock, PcapError, nom, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_header};

use super::{CaptureError, LinkType, Packet, input::Input};

const HEADER_BYTES: u32 = 24;
const PACKET_HEADER_BYTES: u32 = 16;

/// Of the header's last field; the upper bits tell of checksums that follow packets.
const LINK_TYPE_MASK: u32 = 0x03ff_ffff;

/// Little endian, the "modified" format of Kuznetzov: of the 1990s, with other packet headers.
const MODIFIED_MAGICS: [[u8; 4]; 2] = [[0x34, 0xcd, 0xb2, 0xa1], [0xa1, 0xb2, 0xcd, 0x34]];

/// What the header says of all packets.
#[derive(Debug)]
pub(super) struct Pcap {
    link_type: u32,
    is_big_endian: bool,
    is_nanoseconds: bool,
}

impl Pcap {
    /// Reads the rest of the header that starts with `magic`.
    pub(super) fn open<R: Read>(magic: [u8; 4], input: &mut Input<R>) -> Result<Self, CaptureError> {
        if MODIFIED_MAGICS.contains(&magic) {
            return Err(CaptureError::Outdated {
                what: "of the \"modified\" pcap format",
            });
        }
        // What does not start like a header is not said to be cut off where it is too short for one.
        if let Err(nom::Err::Error(_) | nom::Err::Failure(_)) = parse_pcap_header(&magic) {
            return Err(CaptureError::NotACapture { magic });
        }
        input.fill(HEADER_BYTES)?;
        let (_, header) = parse_pcap_header(input.record()).map_err(|_| CaptureError::NotACapture { magic })?;
        if (header.version_major, header.version_minor) != (2, 4) {
            return Err(CaptureError::Outdated {
                what: "of a version of pcap before 2.4",
            });
        }
        Ok(Self {
            link_type: header.network.0.cast_unsigned() & LINK_TYPE_MASK,
            is_big_endian: header.is_bigendian(),
            is_nanoseconds: header.is_nanosecond_precision(),
        })
    }

    pub(super) fn next_packet<'input, R: Read>(
        &mut self,
        input: &'input mut Input<R>,
    ) -> Result<Option<Packet<'input>>, CaptureError> {
        input.next_record();
        if !input.fill_or_end(PACKET_HEADER_BYTES)? {
            return Ok(None);
        }
        // The parser says how much it lacks, which is the packet.
        if let Err(nom::Err::Incomplete(nom::Needed::Size(missing))) = self.parse(input.record()) {
            let missing = u32::try_from(missing.get()).unwrap_or(u32::MAX);
            input.fill(PACKET_HEADER_BYTES.saturating_add(missing))?;
        }
        let link_type = LinkType::from_number(self.link_type).ok_or(CaptureError::UnknownLinkType {
            packet: input.packet(),
            link_type: self.link_type,
        })?;
        let malformed = input.malformed("its header can't be read");
        let number = input.count_packet();
        let (_, packet) = self.parse(input.record()).map_err(|_| malformed)?;
        Ok(Some(Packet {
            number,
            time: self.time(&packet),
            direction: None,
            link_type,
            bytes: packet.data,
        }))
    }

    fn parse<'record>(
        &self,
        record: &'record [u8],
    ) -> nom::IResult<&'record [u8], LegacyPcapBlock<'record>, PcapError<&'record [u8]>> {
        if self.is_big_endian {
            parse_pcap_frame_be(record)
        } else {
            parse_pcap_frame(record)
        }
    }

    fn time(&self, packet: &LegacyPcapBlock<'_>) -> Option<Duration> {
        let fraction = u64::from(packet.ts_usec);
        let fraction = if self.is_nanoseconds {
            Duration::from_nanos(fraction)
        } else {
            Duration::from_micros(fraction)
        };
        Duration::from_secs(packet.ts_sec.into()).checked_add(fraction)
    }
}
