use super::*;
use crate::testing::{ACK, FIN, Ingress, QUERY, RST, SYN};

/// The flow of a frame that arrives.
fn flow_of(frame: &[u8]) -> Flow {
    match arriving(frame) {
        Ok(Followed::Flow(flow)) => flow,
        other => panic!("a flow, not {other:?}"),
    }
}

fn segment_of(frame: &[u8]) -> Result<Segment, Unclassified> {
    tcp(&frame, &flow_of(frame))
}

#[test]
fn a_udp_length_below_its_header_is_malformed() {
    for family in Family::ALL {
        for length in 0..8 {
            let mut frame = family.frame(&family.udp(Ingress, 53, &QUERY));
            let whole = arriving(&frame);
            frame[transport_in_frame(family) + 5] = length;
            let expected = if length == 0 && matches!(family, Family::V6) {
                // Linux delivers it.
                whole
            } else {
                Err(Unclassified::Malformed)
            };
            assert_eq!(arriving(&frame), expected, "{family:?} {length}");
        }
    }
}

#[test]
fn a_jumbogram_over_udp_is_as_long_as_its_packet() {
    let mut frame = Family::V6.frame(&Family::V6.udp(Ingress, 53, &QUERY));
    frame[18..20].fill(0);
    frame[transport_in_frame(Family::V6) + 4..][..2].fill(0);
    let flow = flow_of(&frame);
    assert_eq!((flow.transport_bytes, flow.head), (Some(u16::MAX), head(&QUERY)));
}

#[test]
fn the_start_of_a_payload_is_known_from_twelve_bytes_on() {
    for family in Family::ALL {
        for length in 0..20 {
            let payload = &[0x5a; 20][..length];
            let frame = family.frame(&family.udp(Ingress, 53, payload));
            let head = if length < 12 {
                Head::UNKNOWN
            } else {
                Head {
                    is_known: true,
                    word: 0x5a5a_5a5a,
                }
            };
            assert_eq!(flow_of(&frame).head, head, "{family:?} {length}");
        }
    }
}

#[test]
fn segments_are_read_with_their_flags_and_payload() {
    for family in Family::ALL {
        for flags in [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK] {
            for payload in [&b""[..], b"x", b"a long message"] {
                let frame = family.frame(&family.tcp(Ingress, 853, flags, payload));
                let segment = Segment {
                    flags,
                    has_payload: !payload.is_empty(),
                };
                assert_eq!(segment_of(&frame), Ok(segment), "{family:?}");
            }
        }
    }
}

#[test]
fn tcp_options_are_no_payload() {
    for family in Family::ALL {
        for words in 5_u8..=15 {
            let options = vec![1; usize::from(words - 5) * 4];
            for (more, has_payload) in [(&b""[..], false), (b"x", true)] {
                let mut frame = family.frame(&family.tcp(Ingress, 53, ACK, &[&options, more].concat()));
                frame[transport_in_frame(family) + 12] = words << 4;
                assert_eq!(
                    segment_of(&frame).map(|segment| segment.has_payload),
                    Ok(has_payload),
                    "{family:?} {words}"
                );
            }
        }
    }
}

#[test]
fn padding_is_no_payload() {
    let mut frame = Family::V4.frame(&Family::V4.tcp(Ingress, 53, ACK, b""));
    frame.resize(60, 0);
    assert_eq!(segment_of(&frame).map(|segment| segment.has_payload), Ok(false));
}

#[test]
fn a_tcp_header_that_contradicts_itself_is_malformed() {
    for family in Family::ALL {
        let frame = family.frame(&family.tcp(Ingress, 53, ACK, b"four"));
        for words in [0_u8, 4, 7, 15] {
            let mut frame = frame.clone();
            frame[transport_in_frame(family) + 12] = words << 4;
            assert_eq!(segment_of(&frame), Err(Unclassified::Malformed), "{family:?} {words}");
        }
    }
}

#[test]
fn a_segment_of_unknown_length_is_taken_to_carry_payload() {
    for (family, place) in [(Family::V4, 16), (Family::V6, 18)] {
        let mut frame = family.frame(&family.tcp(Ingress, 53, ACK, b""));
        frame[place..place + 2].fill(0);
        assert_eq!(
            segment_of(&frame).map(|segment| segment.has_payload),
            Ok(true),
            "{family:?}"
        );
    }
}

#[test]
fn a_header_beyond_the_end_is_truncated() {
    let frame = Family::V4.frame(&Family::V4.tcp(Ingress, 53, ACK, b""));
    let flow = flow_of(&frame);
    let cut = &frame[..frame.len() - 1];
    assert_eq!(tcp(&cut, &flow), Err(Unclassified::Truncated));
}

#[test]
fn what_pads_a_frame_is_no_payload_of_udp() {
    for family in Family::ALL {
        for length in 0..12 {
            let mut frame = family.frame(&family.udp(Ingress, 53, &QUERY[..length]));
            frame.resize(frame.len() + 18, 0);
            let flow = flow_of(&frame);
            assert_eq!(flow.head, Head::UNKNOWN, "{family:?} {length}");
            assert_eq!(flow.transport_bytes, Some(8 + length as u16), "{family:?}");
        }
    }
}
