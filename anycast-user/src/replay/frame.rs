//! Packets of any link type as the Ethernet frames that the programs read.

use anycast_ebpf::packet::Direction;

use crate::{
    capture::{LinkType, Packet},
    datapath::TEST_RUN_MAX_BYTES,
};

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Of no protocol: for what isn't IP (IEEE 802 local experimental).
const ETHERTYPE_OTHER: [u8; 2] = [0x88, 0xb5];

/// A packet, as the programs are to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'packet> {
    /// An Ethernet frame, cut behind where its headers can reach.
    pub(super) bytes: &'packet [u8],
    /// Which way it went, where the capture tells.
    pub(super) direction: Option<Direction>,
}

/// Makes frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    made: Vec<u8>,
}

impl Frames {
    /// The frame of a packet. One whose link-layer header is not whole is an empty frame.
    pub(super) fn of<'packet>(&'packet mut self, packet: &Packet<'packet>) -> Frame<'packet> {
        let bytes = packet.bytes;
        let (made, direction) = match packet.link_type {
            LinkType::Ethernet => {
                return Frame {
                    bytes: cut(bytes, TEST_RUN_MAX_BYTES),
                    direction: packet.direction,
                };
            }
            LinkType::Ip => (Some((ip_version(bytes), bytes)), None),
            LinkType::Ipv4 => (Some((ETHERTYPE_IPV4, bytes)), None),
            LinkType::Ipv6 => (Some((ETHERTYPE_IPV6, bytes)), None),
            LinkType::Loopback => (loopback(bytes), None),
            LinkType::LinuxCooked => linux_cooked(bytes).unzip(),
            LinkType::LinuxCooked2 => linux_cooked_2(bytes).unzip(),
        };
        self.made.clear();
        if let Some((ethertype, payload)) = made {
            self.made.extend([0; 12]);
            self.made.extend(ethertype);
            self.made.extend(cut(payload, TEST_RUN_MAX_BYTES - self.made.len()));
        }
        Frame {
            bytes: &self.made,
            direction: packet.direction.or(direction.flatten()),
        }
    }
}

/// What comes behind is payload, and a test run has a limit.
fn cut(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

/// The type and what it is the type of.
type Made<'packet> = ([u8; 2], &'packet [u8]);

/// What is neither is left to the programs as IPv4, which they find to be malformed.
fn ip_version(bytes: &[u8]) -> [u8; 2] {
    match bytes.first() {
        Some(first) if first >> 4 == 6 => ETHERTYPE_IPV6,
        _ => ETHERTYPE_IPV4,
    }
}

/// <https://www.tcpdump.org/linktypes/LINKTYPE_NULL.html>: whose byte order it is, is not said, but families are small.
fn loopback(bytes: &[u8]) -> Option<Made<'_>> {
    let (family, payload) = bytes.split_first_chunk()?;
    let ethertype = match *family {
        [2, 0, 0, 0] | [0, 0, 0, 2] => ETHERTYPE_IPV4,
        // As NetBSD and OpenBSD, FreeBSD, and Darwin count; and Linux.
        [24 | 28 | 30 | 10, 0, 0, 0] | [0, 0, 0, 24 | 28 | 30 | 10] => ETHERTYPE_IPV6,
        _ => ETHERTYPE_OTHER,
    };
    Some((ethertype, payload))
}

/// <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>
fn linux_cooked(bytes: &[u8]) -> Option<(Made<'_>, Option<Direction>)> {
    let ([kind_high, kind_low, .., high, low], payload) = bytes.split_first_chunk::<16>()?;
    let kind = u16::from_be_bytes([*kind_high, *kind_low]);
    Some((([*high, *low], payload), cooked_direction(kind)))
}

/// <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>
fn linux_cooked_2(bytes: &[u8]) -> Option<(Made<'_>, Option<Direction>)> {
    let ([high, low, _, _, _, _, _, _, _, _, kind, ..], payload) = bytes.split_first_chunk::<20>()?;
    Some((([*high, *low], payload), cooked_direction((*kind).into())))
}

/// The packet types of `packet(7)`.
fn cooked_direction(kind: u16) -> Option<Direction> {
    match kind {
        // To this host, to all, to a group.
        0..=2 => Some(Direction::Ingress),
        4 => Some(Direction::Egress),
        // Between others.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = &[0x45, 1, 2, 3];
    const V6: &[u8] = &[0x60, 1, 2, 3];
    const ADDRESSES: [u8; 12] = [0; 12];

    fn packet(link_type: LinkType, bytes: &[u8]) -> Packet<'_> {
        Packet {
            number: 1,
            time: None,
            direction: None,
            link_type,
            bytes,
        }
    }

    fn frame(link_type: LinkType, parts: &[&[u8]]) -> (Vec<u8>, Option<Direction>) {
        let bytes = parts.concat();
        let mut frames = Frames::default();
        let Frame { bytes, direction } = frames.of(&packet(link_type, &bytes));
        (bytes.to_vec(), direction)
    }

    fn made(ethertype: [u8; 2], payload: &[u8]) -> Vec<u8> {
        [&ADDRESSES[..], &ethertype, payload].concat()
    }

    #[test]
    fn ethernet_is_left_as_it_is() {
        for bytes in [&b"sixteen bytes..."[..], b"", &[7; TEST_RUN_MAX_BYTES]] {
            assert_eq!(frame(LinkType::Ethernet, &[bytes]), (bytes.to_vec(), None));
        }
    }

    #[test]
    fn raw_packets_get_the_type_of_their_version() {
        let cases = [
            (LinkType::Ip, V4, ETHERTYPE_IPV4),
            (LinkType::Ip, V6, ETHERTYPE_IPV6),
            (LinkType::Ip, b"\xf0", ETHERTYPE_IPV4),
            (LinkType::Ip, b"", ETHERTYPE_IPV4),
            (LinkType::Ipv4, V4, ETHERTYPE_IPV4),
            (LinkType::Ipv6, V4, ETHERTYPE_IPV6),
        ];
        for (link_type, bytes, ethertype) in cases {
            assert_eq!(frame(link_type, &[bytes]), (made(ethertype, bytes), None));
        }
    }

    #[test]
    fn families_of_loopbacks_are_known_in_either_byte_order() {
        for (family, ethertype) in [(2_u32, ETHERTYPE_IPV4), (30, ETHERTYPE_IPV6), (7, ETHERTYPE_OTHER)] {
            for header in [family.to_le_bytes(), family.to_be_bytes()] {
                assert_eq!(frame(LinkType::Loopback, &[&header, V4]), (made(ethertype, V4), None));
            }
        }
        assert_eq!(frame(LinkType::Loopback, &[b"abc"]), (Vec::new(), None));
    }

    #[test]
    fn cooked_packets_tell_type_and_direction() {
        let directions = [
            (0, Some(Direction::Ingress)),
            (3, None),
            (4, Some(Direction::Egress)),
            (5, None),
        ];
        for (kind, direction) in directions {
            let expected = (made([0x81, 0x00], V6), direction);
            let header: [&[u8]; 3] = [&[0, kind, 0, 1, 0, 6], &[9; 8], &[0x81, 0x00]];
            assert_eq!(frame(LinkType::LinuxCooked, &[&header.concat(), V6]), expected);
            let header: [&[u8]; 3] = [&[0x81, 0x00, 0, 0, 0, 0, 0, 3, 0, 1], &[kind, 6], &[9; 8]];
            assert_eq!(frame(LinkType::LinuxCooked2, &[&header.concat(), V6]), expected);
        }
        assert_eq!(frame(LinkType::LinuxCooked, &[&[0; 15]]), (Vec::new(), None));
        assert_eq!(frame(LinkType::LinuxCooked2, &[&[0; 19]]), (Vec::new(), None));
    }

    #[test]
    fn what_the_capture_says_of_the_direction_goes_before_the_header() {
        let mut packet = packet(LinkType::LinuxCooked, &[0; 16]);
        packet.direction = Some(Direction::Egress);
        assert_eq!(Frames::default().of(&packet).direction, Some(Direction::Egress));
    }

    #[test]
    fn long_packets_are_cut_to_what_a_test_run_takes() {
        let long = [0x45; TEST_RUN_MAX_BYTES + 1];
        assert_eq!(frame(LinkType::Ethernet, &[&long]).0.len(), TEST_RUN_MAX_BYTES);
        assert_eq!(frame(LinkType::Ip, &[&long]).0.len(), TEST_RUN_MAX_BYTES);
    }

    #[test]
    fn a_frame_has_nothing_of_the_last_one() {
        let mut frames = Frames::default();
        frames.of(&packet(LinkType::Ip, &[0x45; 100]));
        assert_eq!(frames.of(&packet(LinkType::Ip, V6)).bytes, made(ETHERTYPE_IPV6, V6));
        assert_eq!(frames.of(&packet(LinkType::LinuxCooked, V6)).bytes, b"");
    }
}
