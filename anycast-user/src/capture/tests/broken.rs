//! Captures that are cut, damaged or no captures at all.

use proptest::prelude::*;

use super::*;

/// A file of either format in either order, with two packets each, and where in it records start; the last is its end.
fn good() -> Vec<(Vec<u8>, Vec<usize>)> {
    let joined = |parts: Vec<Vec<u8>>| {
        let starts = parts.iter().scan(0, |start, part| {
            *start += part.len();
            Some(*start)
        });
        let starts = std::iter::once(0).chain(starts).collect();
        (parts.concat(), starts)
    };
    let classic = |order| {
        joined(vec![
            pcap(order, MICROSECONDS, 1),
            record(order, 1, 2, &[3; 60]),
            record(order, 1, 3, &[4; 70]),
        ])
    };
    let next_generation = |order| {
        joined(vec![
            section(order),
            interface(order, 1, 0, &option(order, 9, &[9])),
            enhanced(order, 0, 1, &[3; 60], &option(order, 2, &order.u32(1))),
            block(order, 5, &[0; 12]),
            simple(order, 70, &[4; 70]),
        ])
    };
    ORDERS
        .into_iter()
        .flat_map(|order| [classic(order), next_generation(order)])
        .collect()
}

/// The words of the error that must come when `file` is read after `packets` packets.
fn refusal(file: &[u8], packets: usize) -> String {
    let (read, error) = read(file);
    assert_eq!(read.len(), packets);
    let words = error.expect("an error").to_string();
    assert!(!words.contains('\n'), "{words}");
    words
}

#[test]
fn an_empty_file_and_other_files_are_told_apart() {
    assert!(refusal(b"", 0).contains("empty"));
    for file in [&b"{\"t\":1}\n"[..], b"abc", b"\x7fELF", &[0; 4096]] {
        assert!(refusal(file, 0).contains("no capture"), "{file:?}");
    }
    assert!(refusal(&[0x1f, 0x8b, 8, 0, 0], 0).contains("compressed"));
    assert!(refusal(&[0x34, 0xcd, 0xb2, 0xa1, 2, 0, 4, 0], 0).contains("editcap"));
    let mut old = pcap(Order::Little, MICROSECONDS, 1);
    old[6] = 2;
    assert!(refusal(&old, 0).contains("before 2.4"));
}

#[test]
fn a_file_cut_anywhere_gives_what_is_whole_and_then_an_error_with_the_number() {
    for (file, starts) in good() {
        for length in 4..file.len() {
            let (packets, error) = read(&file[..length]);
            let Some(error) = error else {
                assert!(starts.contains(&length), "cut at {length}");
                continue;
            };
            assert!(!starts[1..].contains(&length), "cut at {length}: {error}");
            let words = format!(
                "packet {} is cut off: the file ends at byte {length}",
                packets.len() + 1
            );
            assert!(error.to_string().starts_with(&words), "{error}");
        }
        assert_eq!(whole(&file).len(), 2);
    }
}

#[test]
fn a_length_that_no_record_has_is_refused_before_memory_is_taken() {
    for order in ORDERS {
        for length in [MAX_RECORD_BYTES, 0x7fff_ffff, u32::MAX - 16, u32::MAX] {
            let mut file = [
                pcap(order, MICROSECONDS, 1),
                record(order, 1, 0, b"ok"),
                record(order, 1, 0, b"x"),
            ]
            .concat();
            let at = file.len() - 9;
            file[at..at + 4].copy_from_slice(&order.u32(length));
            let words = refusal(&file, 1);
            assert!(
                words.starts_with("packet 2 is broken: at byte 42 of the file it claims"),
                "{words}"
            );

            let mut file = [section(order), interface(order, 1, 0, &[])].concat();
            let at = file.len();
            file.extend(enhanced(order, 0, 0, b"x", &[]));
            file[at + 4..at + 8].copy_from_slice(&order.u32(length.saturating_add(1)));
            let words = refusal(&file, 0);
            assert!(
                words.starts_with("packet 1 is broken: at byte 48 of the file it claims"),
                "{words}"
            );

            // What is not read may be as long as it likes, but has to be there.
            let mut file = section(order);
            file.extend(block(order, 4, b"names"));
            file[32..36].copy_from_slice(&order.u32(length));
            assert!(refusal(&file, 0).starts_with("packet 1 is cut off: the file ends at byte 48"));
        }
    }
}

#[test]
fn lengths_within_a_block_that_do_not_fit_it_are_broken() {
    for order in ORDERS {
        let start = [section(order), interface(order, 1, 0, &[]), simple(order, 1, b"x")].concat();
        let at = start.len();
        let enhanced = enhanced(order, 0, 0, b"12345678", &[]);
        for length in [9_u32, 13, 1000, 0x7fff_ffff, u32::MAX - 3, u32::MAX] {
            let mut file = [&start[..], &enhanced, &enhanced].concat();
            file[at + 20..at + 24].copy_from_slice(&order.u32(length));
            let words = refusal(&file, 1);
            assert!(
                words.starts_with(&format!("packet 2 is broken, at or after byte {at}")),
                "{words}"
            );
        }
        for length in [0, 4, 11] {
            let mut file = [&start[..], &enhanced].concat();
            file[at + 4..at + 8].copy_from_slice(&order.u32(length));
            assert!(refusal(&file, 1).contains("shorter than its own header"));
        }
        for kind in [0x0a0d_0d0a, 1, 3, 6] {
            let file = [&start[..], &block(order, kind, b"")].concat();
            assert!(refusal(&file, 1).starts_with("packet 2 is"), "{kind}");
        }
        let mut file = [&start[..], &enhanced].concat();
        *file.last_mut().unwrap() ^= 0x80;
        assert!(refusal(&file, 1).contains("two lengths differ"));
    }
}

#[test]
fn sections_that_are_not_understood_are_refused() {
    let mut file = section(Order::Little);
    file[8] = 0;
    assert!(refusal(&file, 0).contains("byte-order magic"));
    let mut file = section(Order::Little);
    file[12] = 2;
    assert!(refusal(&file, 0).contains("version"));
    let file = [section(Order::Little), block(Order::Little, 2, &[0; 32])].concat();
    assert!(refusal(&file, 0).contains("obsolete"));
}

#[test]
fn a_link_type_is_refused_with_the_first_packet_that_has_it() {
    let order = Order::Little;
    let file = [pcap(order, MICROSECONDS, 105), record(order, 1, 0, b"802.11")].concat();
    assert!(refusal(&file, 0).starts_with("packet 1 has link type 105,"));
    let file = [
        section(order),
        interface(order, 1, 0, &[]),
        interface(order, 189, 0, &[]),
        enhanced(order, 0, 0, b"Ethernet", &[]),
        enhanced(order, 1, 0, b"USB", &[]),
    ];
    assert!(refusal(&file.concat(), 1).starts_with("packet 2 has link type 189,"));
}

#[test]
fn a_section_has_a_bounded_number_of_interfaces() {
    let order = Order::Little;
    let file = [section(order), interface(order, 1, 0, &[]).repeat((1 << 16) + 1)].concat();
    assert!(refusal(&file, 0).contains("interfaces"));
}

#[test]
fn a_file_that_cannot_be_read_is_said_with_the_systems_words() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is on fire"))
        }
    }
    let good = pcap(Order::Little, MICROSECONDS, 1);
    let mut capture = Capture::open(good.as_slice().chain(Failing)).unwrap();
    let error = capture.next_packet().unwrap_err().to_string();
    assert_eq!(error, "packet 1 can't be read: the disk is on fire");
}

/// One byte at a time, as a pipe may give them.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn how_the_bytes_come_makes_no_difference() {
    for (file, _) in good() {
        let mut capture = Capture::open(Dripping(&file)).unwrap();
        for (time, direction, bytes) in whole(&file) {
            let packet = capture.next_packet().unwrap().unwrap();
            assert_eq!(
                (packet.time, packet.direction, packet.bytes),
                (time, direction, &bytes[..])
            );
        }
        assert_eq!(capture.next_packet().unwrap(), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(mut file: Vec<u8>, start in 0_usize..6) {
        let (good, _) = &good()[start % 4];
        // Half of them after a header, or hardly any would be taken for a capture.
        file.splice(0..0, good[..24 * (start / 2)].iter().copied());
        read(&file);
    }

    #[test]
    fn damage_anywhere_is_survived(which in 0_usize..4, damage: Vec<(prop::sample::Index, u8)>, cut: prop::sample::Index) {
        let (mut file, _) = good().swap_remove(which);
        for (position, value) in damage {
            let position = position.index(file.len());
            file[position] = value;
        }
        file.truncate(file.len() - cut.index(file.len()) / 2);
        read(&file);
    }
}
