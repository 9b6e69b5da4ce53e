mod broken;
mod writer;

use super::*;
use writer::*;

/// A packet as the tests compare it: when, which way, its bytes.
type Seen = (Option<Duration>, Option<Direction>, Vec<u8>);

/// All packets of a file, up to an error; with checks of what is true for any.
fn read(file: &[u8]) -> (Vec<Seen>, Option<CaptureError>) {
    let mut packets = Vec::new();
    let mut capture = match Capture::open(file) {
        Ok(capture) => capture,
        Err(error) => return (packets, Some(error)),
    };
    loop {
        match capture.next_packet() {
            Ok(Some(packet)) => {
                assert_eq!(packet.number, packets.len() as u64 + 1);
                packets.push((packet.time, packet.direction, packet.bytes.to_vec()));
            }
            Ok(None) => {
                assert_eq!(capture.bytes_read(), file.len() as u64, "all of it was read");
                return (packets, None);
            }
            Err(error) => return (packets, Some(error)),
        }
    }
}

fn whole(file: &[u8]) -> Vec<Seen> {
    let (packets, error) = read(file);
    assert!(error.is_none(), "{error:?}");
    packets
}

#[expect(clippy::unnecessary_wraps, reason = "it is what the times are compared with")]
fn at(seconds: u64, nanoseconds: u32) -> Option<Duration> {
    Some(Duration::new(seconds, nanoseconds))
}

#[test]
fn pcap_of_either_order_and_either_clock() {
    for order in ORDERS {
        for (magic, nanoseconds) in [(MICROSECONDS, 7000), (NANOSECONDS, 7)] {
            let file = [
                pcap(order, magic, 1),
                record(order, 1_700_000_000, 7, b"first"),
                record(order, u32::MAX, 0, b""),
            ];
            let expected = [
                (at(1_700_000_000, nanoseconds), None, b"first".to_vec()),
                (at(u32::MAX.into(), 0), None, Vec::new()),
            ];
            assert_eq!(whole(&file.concat()), expected, "{order:?} {magic:x}");
        }
    }
}

#[test]
fn a_pcap_header_alone_is_a_capture_without_packets() {
    assert_eq!(whole(&pcap(Order::Little, MICROSECONDS, 1)), []);
}

#[test]
fn the_upper_bits_of_pcaps_link_type_tell_of_checksums() {
    let order = Order::Little;
    let file = [pcap(order, MICROSECONDS, 0x2400_0001), record(order, 1, 0, b"x")].concat();
    let mut capture = Capture::open(&file[..]).unwrap();
    assert_eq!(capture.next_packet().unwrap().unwrap().link_type, LinkType::Ethernet);
}

#[test]
fn pcapng_with_several_interfaces_and_sections() {
    let milliseconds = |order| option(order, 9, &[3]);
    let halves = |order| option(order, 9, &[0x81]);
    let mut file = Vec::new();
    for order in ORDERS {
        file.extend(section(order));
        file.extend(interface(order, 1, 0, &[]));
        file.extend(interface(order, 276, 0, &milliseconds(order)));
        file.extend(block(order, 0x0bad_cafe, b"what nobody knows"));
        file.extend(enhanced(order, 1, 5_000_000_250, b"cooked", &[]));
        file.extend(enhanced(order, 0, 1_700_000_000_000_001, b"ether", &[]));
        // One that is described after packets of others.
        file.extend(interface(order, 101, 0, &halves(order)));
        file.extend(enhanced(order, 2, 7, b"raw", &[]));
    }
    let mut capture = Capture::open(&file[..]).unwrap();
    for number in [0, 3] {
        let expected = [
            (LinkType::LinuxCooked2, at(5_000_000, 250_000_000), &b"cooked"[..]),
            (LinkType::Ethernet, at(1_700_000_000, 1000), b"ether"),
            (LinkType::Ip, at(3, 500_000_000), b"raw"),
        ];
        for (offset, (link_type, time, bytes)) in (1..).zip(expected) {
            let packet = Packet {
                number: number + offset,
                time,
                direction: None,
                link_type,
                bytes,
            };
            assert_eq!(capture.next_packet().unwrap(), Some(packet));
        }
    }
    assert_eq!(capture.next_packet().unwrap(), None);
}

#[test]
fn a_new_section_has_none_of_the_interfaces_of_the_last() {
    let order = Order::Big;
    let file = [
        section(order),
        interface(order, 1, 0, &[]),
        enhanced(order, 0, 0, b"x", &[]),
        section(order),
        enhanced(order, 0, 0, b"y", &[]),
    ];
    let (packets, error) = read(&file.concat());
    assert_eq!(packets.len(), 1);
    let expected = CaptureError::UnknownInterface {
        packet: 2,
        interface: 0,
    };
    assert_eq!(error.unwrap().to_string(), expected.to_string());
}

#[test]
fn the_direction_is_read_from_the_flags_of_a_packet() {
    for order in ORDERS {
        let mut file = [section(order), interface(order, 1, 0, &[])].concat();
        for flags in [0, 1, 2, 3, 0xffff_fffe] {
            let comment = option(order, 1, b"a comment");
            let flags = option(order, 2, &order.u32(flags));
            file.extend(enhanced(order, 0, 0, b"", &[comment, flags].concat()));
        }
        file.extend(enhanced(order, 0, 0, b"", &option(order, 2, b"short")));
        let directions: Vec<_> = whole(&file).into_iter().map(|(_, direction, _)| direction).collect();
        let (ingress, egress) = (Some(Direction::Ingress), Some(Direction::Egress));
        assert_eq!(directions, [None, ingress, egress, None, egress, None]);
    }
}

#[test]
fn a_time_offset_is_added_and_a_time_that_is_none_is_left_out() {
    for order in ORDERS {
        let offset = |seconds: i64| {
            let bytes = match order {
                Order::Little => seconds.to_le_bytes(),
                Order::Big => seconds.to_be_bytes(),
            };
            option(order, 14, &bytes)
        };
        let resolution = |value| option(order, 9, &[value]);
        let cases = [
            (offset(1000), 2_000_000, at(1002, 0)),
            (offset(-1), 2_500_000, at(1, 500_000_000)),
            (offset(-3), 2_000_000, None),
            (
                offset(i64::MAX),
                u64::MAX,
                at(i64::MAX as u64 + u64::MAX / 1_000_000, 551_615_000),
            ),
            (resolution(0), u64::MAX, at(u64::MAX, 0)),
            (resolution(19), u64::MAX, at(1, 844_674_407)),
            (resolution(20), 1, None),
            (resolution(0xbf), u64::MAX, at(1, 999_999_999)),
            (resolution(0xc0), 1, None),
            (resolution(0xff), 1, None),
        ];
        for (options, time, expected) in cases {
            let file = [
                section(order),
                interface(order, 1, 0, &options),
                enhanced(order, 0, time, b"", &[]),
            ];
            assert_eq!(whole(&file.concat())[0].0, expected, "{order:?} {options:?} {time}");
        }
    }
}

#[test]
fn a_simple_packet_is_cut_where_its_interface_cuts() {
    for order in ORDERS {
        for (snap_length, original_length, expected) in [(0, 5, &b"abcde"[..]), (3, 5, b"abc"), (9, 2, b"ab")] {
            let file = [
                section(order),
                interface(order, 1, snap_length, &[]),
                simple(order, original_length, b"abcde"),
            ];
            assert_eq!(whole(&file.concat()), [(None, None, expected.to_vec())]);
        }
    }
}
