use proptest::{prelude::*, sample};

use super::*;
use crate::testing::{ACK, Egress, Ingress, NO_TUNNELS, QUERY, TUNNELS, with_extensions, with_options};

fn view() -> impl Strategy<Value = View> {
    (
        sample::select(vec![Ingress, Egress]),
        sample::select(vec![Framing::Ethernet, Framing::Ip]),
        sample::select(vec![NO_TUNNELS, TUNNELS]),
    )
        .prop_map(|(direction, framing, tunnels)| View {
            direction,
            framing,
            tunnels,
        })
}

/// The shapes that the fast path knows, and where it starts to look.
fn common(view: View) -> impl Strategy<Value = Vec<u8>> {
    (
        sample::select(Family::ALL.to_vec()),
        any::<bool>(),
        sample::select(vec![&[][..], &[0x8100]]),
        prop::collection::vec(any::<u8>(), 12..40),
        sample::select(vec![53, 853, 6080]),
    )
        .prop_map(move |(family, is_tcp, tags, payload, port)| {
            let packet = if is_tcp {
                family.tcp(view.direction, port, ACK, &payload)
            } else {
                family.udp(view.direction, port, &payload)
            };
            match view.framing {
                Framing::Ethernet => family.tagged(tags, &packet),
                Framing::Ip => packet,
            }
        })
}

/// Shapes that only the general parser knows.
fn rare(view: View) -> impl Strategy<Value = Vec<u8>> {
    let query = |family: Family| family.udp(view.direction, 53, &QUERY);
    let extension: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    let quoted = |family: Family| family.port_unreachable(&family.udp(Ingress, 53, &QUERY));
    let tunnel = |outer: Family, inner: Family| outer.ip(view.direction, inner.protocol(), &query(inner));
    let gue = |outer: Family, inner: Family| outer.udp(view.direction, 6080, &query(inner));
    let packets = vec![
        (Family::V4, with_options(&query(Family::V4), &[1; 8])),
        (Family::V6, with_extensions(&query(Family::V6), &[extension; 2])),
        (Family::V4, quoted(Family::V4)),
        (Family::V6, quoted(Family::V6)),
        (Family::V4, tunnel(Family::V4, Family::V6)),
        (Family::V6, tunnel(Family::V6, Family::V4)),
        (Family::V4, gue(Family::V4, Family::V4)),
        (Family::V6, gue(Family::V6, Family::V6)),
    ];
    let tags = sample::select(vec![&[][..], &[0x88a8, 0x8100]]);
    (sample::select(packets), tags).prop_map(move |((family, packet), tags)| match view.framing {
        Framing::Ethernet => family.tagged(tags, &packet),
        Framing::Ip => packet,
    })
}

/// Bytes that are changed, and a length: most changes are in the headers, and to values that mean something.
fn mutated(packet: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        any::<u8>(),
        sample::select(vec![
            0, 1, 4, 5, 6, 7, 8, 17, 20, 40, 41, 43, 44, 45, 58, 60, 0x45, 0x46, 0x60, 0x80, 0x81, 0x86, 0xdd, 0xff,
        ])
    ];
    let changes = prop::collection::vec((prop_oneof![0_usize..24, 0_usize..80], value), 0..4);
    (packet, changes, prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..110]).prop_map(
        |(mut packet, changes, length)| {
            for (place, value) in changes {
                if let Some(byte) = packet.get_mut(place) {
                    *byte = value;
                }
            }
            if length != usize::MAX {
                packet.resize(length, 0);
            }
            packet
        },
    )
}

/// What [`follow`] says of a packet must be possible.
fn check(packet: &[u8], view: View) {
    if let Ok(Followed::Flow(flow)) = read(packet, view) {
        let header_bytes = if flow.service.protocol() == PROTOCOL_TCP { 20 } else { 8 };
        assert!(flow.transport + header_bytes <= packet.len(), "{flow:?}");
        let has_head = flow.transport_bytes.is_some_and(|bytes| bytes >= 20) && packet.len() >= flow.transport + 20;
        assert_eq!(
            flow.head.is_known,
            flow.service.protocol() == PROTOCOL_UDP && has_head,
            "{flow:?}"
        );
        if flow.service.protocol() == PROTOCOL_TCP {
            assert_ne!(tcp(&packet, &flow), Err(Unclassified::Truncated));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn where_the_fast_path_answers_the_general_one_agrees((view, packet) in view().prop_flat_map(|view| (Just(view), mutated(common(view))))) {
        check(&packet, view);
    }

    #[test]
    fn a_mutated_packet_is_survived((view, packet) in view().prop_flat_map(|view| (Just(view), mutated(rare(view))))) {
        check(&packet, view);
    }

    #[test]
    fn any_bytes_are_survived(view in view(), packet: Vec<u8>) {
        check(&packet, view);
    }

    #[test]
    fn any_bytes_behind_a_plausible_start_are_survived(
        view in view(),
        start in sample::select(vec![
            &[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 8, 0, 0x45][..],
            &[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x86, 0xdd, 0x60],
            &[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x81, 0, 0, 5, 8, 0, 0x45],
            &[0x45],
            &[0x60],
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&[start, &rest].concat(), view);
    }
}

/// Without this the agreement above may be one of two that never speak.
#[test]
fn the_fast_path_knows_the_common_shapes_and_no_others() {
    for direction in [Ingress, Egress] {
        for family in Family::ALL {
            let datagram = family.udp(direction, 53, &QUERY);
            let segment = family.tcp(direction, 853, ACK, b"");
            for packet in [&datagram, &segment] {
                for tags in [&[][..], &[0x8100]] {
                    let frame = family.tagged(tags, packet);
                    assert!(fast(&frame, ethernet(direction)).is_some(), "{frame:02x?}");
                    assert!(fast(&frame[..frame.len() - 1], ethernet(direction)).is_none(), "cut");
                }
                let view = View {
                    framing: Framing::Ip,
                    ..ethernet(direction)
                };
                assert!(fast(packet, view).is_some(), "{packet:02x?}");
                for tags in [&[0x88a8][..], &[0x8100, 0x8100]] {
                    assert!(fast(&family.tagged(tags, packet), ethernet(direction)).is_none());
                }
            }
        }
    }
}
