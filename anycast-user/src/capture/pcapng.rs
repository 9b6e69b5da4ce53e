//! pcapng: sections of blocks, some of which are packets, some say how to read the packets.

use std::{io::Read, time::Duration};

use anycast_ebpf::packet::Direction;
use pcap_parser::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, OptionCode, PcapError, SimplePacketBlock, nom,
    parse_block_be, parse_block_le,
};

use super::{CaptureError, LinkType, Packet, input::Input};

/// Block types, of <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type and length.
const BLOCK_HEADER_BYTES: u32 = 8;
/// The same, and the byte-order magic of a section header.
const SECTION_START_BYTES: u32 = 12;
/// Type, length, and the length again.
const BLOCK_MIN_BYTES: u32 = 12;

const LITTLE_ENDIAN_MAGIC: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const BIG_ENDIAN_MAGIC: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// The option of an enhanced packet that holds its direction.
const PACKET_FLAGS: OptionCode = OptionCode(2);

/// Interfaces of a section that are kept: more would be memory for a broken file.
const INTERFACES_MAX: usize = 1 << 16;

/// Whether a file that starts so is pcapng. The type of its first block reads the same in both byte orders.
pub(super) fn is_magic(magic: [u8; 4]) -> bool {
    magic == SECTION_HEADER.to_be_bytes()
}

/// What the section says of its packets.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    is_big_endian: bool,
    interfaces: Vec<Interface>,
    has_begun: bool,
}

#[derive(Debug)]
struct Interface {
    link_type: u32,
    /// Where packets were cut; 0 is nowhere.
    snap_length: u32,
    /// Units of time per second, where that is a number that fits.
    resolution: Option<u64>,
    /// Seconds to add to its times.
    time_offset: i64,
}

impl Pcapng {
    pub(super) fn next_packet<'input, R: Read>(
        &mut self,
        input: &'input mut Input<R>,
    ) -> Result<Option<Packet<'input>>, CaptureError> {
        while let Some(block) = self.next_block(input)? {
            if matches!(block, ENHANCED_PACKET | SIMPLE_PACKET) {
                return self.packet(input).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads a block, and what it says where it is no packet; gives its type. A packet is left in the record.
    fn next_block<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<u32>, CaptureError> {
        // The start of the first one has been read, to know that this is pcapng.
        if self.has_begun {
            input.next_record();
        }
        self.has_begun = true;
        if !input.fill_or_end(BLOCK_HEADER_BYTES)? {
            return Ok(None);
        }
        if input.record().first_chunk().copied().is_some_and(is_magic) {
            input.fill(SECTION_START_BYTES)?;
            self.is_big_endian = match input.record().last_chunk() {
                Some(&BIG_ENDIAN_MAGIC) => true,
                Some(&LITTLE_ENDIAN_MAGIC) => false,
                _ => return Err(input.malformed("a section without its byte-order magic")),
            };
        }
        let ([kind, length, ..], _) = input.record().as_chunks() else {
            return Err(input.malformed("a block without a header"));
        };
        let [kind, length] = [*kind, *length].map(|bytes| self.number(bytes));
        if length < BLOCK_MIN_BYTES {
            return Err(input.malformed("a block shorter than its own header"));
        }
        match kind {
            SECTION_HEADER | INTERFACE_DESCRIPTION | SIMPLE_PACKET | ENHANCED_PACKET => {
                input.fill(length)?;
                if input.record().last_chunk().map(|&bytes| self.number(bytes)) != Some(length) {
                    return Err(input.malformed("a block whose two lengths differ"));
                }
            }
            OBSOLETE_PACKET => {
                return Err(CaptureError::Outdated {
                    what: "of a version of pcapng with obsolete packet blocks",
                });
            }
            // Names, statistics, secrets and what else there may be.
            _ => input.skip(length)?,
        }
        if matches!(kind, SECTION_HEADER | INTERFACE_DESCRIPTION) {
            self.describe(input)?;
        }
        Ok(Some(kind))
    }

    /// Takes in the block in the record, which is no packet.
    fn describe<R: Read>(&mut self, input: &Input<R>) -> Result<(), CaptureError> {
        match self.parse(input.record()) {
            Ok((_, Block::SectionHeader(section))) if section.major_version == 1 => self.interfaces.clear(),
            Ok((_, Block::SectionHeader(_))) => {
                return Err(input.malformed("a section of a version of pcapng that is not known yet"));
            }
            Ok((_, Block::InterfaceDescription(interface))) => {
                if self.interfaces.len() == INTERFACES_MAX {
                    return Err(input.malformed("a section with more than 65,536 interfaces"));
                }
                let interface = self.interface(&interface);
                self.interfaces.push(interface);
            }
            _ => return Err(input.malformed("the description of a section or interface can't be read")),
        }
        Ok(())
    }

    fn interface(&self, block: &InterfaceDescriptionBlock<'_>) -> Interface {
        // The parser reads the offset as little-endian in every section.
        let time_offset = if self.is_big_endian {
            block.if_tsoffset.swap_bytes()
        } else {
            block.if_tsoffset
        };
        Interface {
            link_type: block.linktype.0.cast_unsigned(),
            snap_length: block.snaplen,
            resolution: units_per_second(block.if_tsresol),
            time_offset,
        }
    }

    /// The packet in the record.
    fn packet<'input, R: Read>(&self, input: &'input mut Input<R>) -> Result<Packet<'input>, CaptureError> {
        let malformed = input.malformed("the lengths in the block of the packet do not fit it");
        let number = input.count_packet();
        let interface_of = |interface: u32| {
            let unknown = CaptureError::UnknownInterface {
                packet: number,
                interface,
            };
            self.interfaces.get(interface as usize).ok_or(unknown)
        };
        let link_type_of = |interface: &Interface| {
            let unknown = CaptureError::UnknownLinkType {
                packet: number,
                link_type: interface.link_type,
            };
            LinkType::from_number(interface.link_type).ok_or(unknown)
        };
        match self.parse(input.record()) {
            Ok((_, Block::EnhancedPacket(block))) => {
                let interface = interface_of(block.if_id)?;
                Ok(Packet {
                    number,
                    time: interface.time(&block),
                    direction: self.direction(&block),
                    link_type: link_type_of(interface)?,
                    bytes: captured(block.data, block.caplen),
                })
            }
            Ok((_, Block::SimplePacket(block))) => {
                let interface = interface_of(0)?;
                Ok(Packet {
                    number,
                    time: None,
                    direction: None,
                    link_type: link_type_of(interface)?,
                    bytes: captured(block.data, interface.captured_of(&block)),
                })
            }
            _ => Err(malformed),
        }
    }

    fn direction(&self, block: &EnhancedPacketBlock<'_>) -> Option<Direction> {
        let flags = block.options.iter().find(|option| option.code == PACKET_FLAGS)?;
        match self.number(flags.as_bytes().ok()?.try_into().ok()?) & 0b11 {
            0b01 => Some(Direction::Ingress),
            0b10 => Some(Direction::Egress),
            _ => None,
        }
    }

    fn parse<'block>(&self, block: &'block [u8]) -> nom::IResult<&'block [u8], Block<'block>, PcapError<&'block [u8]>> {
        if self.is_big_endian {
            parse_block_be(block)
        } else {
            parse_block_le(block)
        }
    }

    fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

impl Interface {
    fn time(&self, block: &EnhancedPacketBlock<'_>) -> Option<Duration> {
        let resolution = self.resolution?;
        let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
        let nanoseconds = u128::from(units % resolution) * 1_000_000_000 / u128::from(resolution);
        let seconds = (units / resolution).checked_add_signed(self.time_offset)?;
        Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds as u64))
    }

    /// How much of a simple packet was captured: its block doesn't tell it from what was added to fill four bytes.
    fn captured_of(&self, block: &SimplePacketBlock<'_>) -> u32 {
        match self.snap_length {
            0 => block.origlen,
            snap_length => block.origlen.min(snap_length),
        }
    }
}

/// The packet's bytes without those that fill the block.
fn captured(data: &[u8], length: u32) -> &[u8] {
    data.get(..length as usize).unwrap_or(data)
}

/// What the option `if_tsresol` means: a power of ten, or of two where its upper bit is set.
fn units_per_second(resolution: u8) -> Option<u64> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 {
        10_u64.checked_pow(exponent)
    } else {
        2_u64.checked_pow(exponent)
    }
}
