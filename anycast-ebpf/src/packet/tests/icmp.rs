use super::*;
use crate::testing::{ACK, Ingress, QUERY, with_extensions, with_options};

#[expect(clippy::unnecessary_wraps, reason = "it is what the calls are compared with")]
fn unreachable(family: Family, protocol: u8, port: u16) -> Found {
    Ok(Followed::Unreachable(family.service(protocol, port)))
}

#[test]
fn port_unreachable_that_leaves_names_the_service_it_quotes() {
    for family in Family::ALL {
        let datagram = family.udp(Ingress, 53, &QUERY);
        let segment = family.tcp(Ingress, 853, ACK, b"");
        for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
            assert_eq!(
                leaving(&family.tagged(tags, &family.port_unreachable(&datagram))),
                unreachable(family, PROTOCOL_UDP, 53),
                "{family:?} {tags:x?}"
            );
            assert_eq!(
                leaving(&family.tagged(tags, &family.port_unreachable(&segment))),
                unreachable(family, PROTOCOL_TCP, 853),
                "{family:?} {tags:x?}"
            );
        }
    }
}

#[test]
fn that_which_arrives_is_somebody_elses() {
    for family in Family::ALL {
        let quoted = family.udp(Ingress, 53, &QUERY);
        let frame = family.frame(&family.port_unreachable(&quoted));
        assert_eq!(arriving(&frame), Ok(Followed::Other), "{family:?}");
    }
}

#[test]
fn options_and_extension_headers_are_skipped_outside_and_in_the_quote() {
    let quoted = Family::V4.udp(Ingress, 53, &QUERY);
    for quoted in [&quoted, &with_options(&quoted, &[1; 40])] {
        let packet = Family::V4.port_unreachable(quoted);
        for packet in [&packet, &with_options(&packet, &[1; 8])] {
            assert_eq!(
                leaving(&Family::V4.frame(packet)),
                unreachable(Family::V4, PROTOCOL_UDP, 53)
            );
        }
    }
    let quoted = Family::V6.udp(Ingress, 53, &QUERY);
    let extension: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    for quoted in [&quoted, &with_extensions(&quoted, &[extension; 4])] {
        let packet = Family::V6.port_unreachable(quoted);
        for packet in [&packet, &with_extensions(&packet, &[extension])] {
            assert_eq!(
                leaving(&Family::V6.frame(packet)),
                unreachable(Family::V6, PROTOCOL_UDP, 53)
            );
        }
    }
}

#[test]
fn only_port_unreachable_says_that_nobody_listens() {
    let place = |family| transport_in_frame(family);
    for family in Family::ALL {
        let frame = family.frame(&family.port_unreachable(&family.udp(Ingress, 53, &QUERY)));
        let [kind, code] = [frame[place(family)], frame[place(family) + 1]];
        for other in (0..=255).filter(|&other| other != code) {
            let mut frame = frame.clone();
            frame[place(family) + 1] = other;
            assert_eq!(leaving(&frame), Ok(Followed::Other), "{family:?} code {other}");
        }
        for other in (0..=255).filter(|&other| other != kind) {
            let mut frame = frame.clone();
            frame[place(family)] = other;
            assert_eq!(leaving(&frame), Ok(Followed::Other), "{family:?} type {other}");
        }
    }
    // The numbers of one version mean something else in the other.
    let quoted = Family::V4.udp(Ingress, 53, &QUERY);
    let mut frame = Family::V4.frame(&Family::V4.port_unreachable(&quoted));
    frame[34..36].copy_from_slice(&[1, 4]);
    assert_eq!(leaving(&frame), Ok(Followed::Other));
}

#[test]
fn a_quote_of_another_protocol_is_nobodys_business() {
    for family in Family::ALL {
        for protocol in [1, 47, 58, 132] {
            let quoted = family.ip(Ingress, protocol, &[0; 20]);
            assert_eq!(
                leaving(&family.frame(&family.port_unreachable(&quoted))),
                Ok(Followed::Other),
                "{family:?} {protocol}"
            );
        }
    }
}

#[test]
fn a_quote_needs_ports_and_no_more() {
    for family in Family::ALL {
        let quoted = family.udp(Ingress, 53, &QUERY);
        for length in 0..quoted.len() {
            let frame = family.frame(&family.port_unreachable(&quoted[..length]));
            let expected = if length < family.header_bytes() + 4 {
                Err(Unclassified::Truncated)
            } else {
                unreachable(family, PROTOCOL_UDP, 53)
            };
            assert_eq!(leaving(&frame), expected, "{family:?} {length}");
        }
    }
}

#[test]
fn a_quote_that_contradicts_itself_is_malformed() {
    for (family, first) in [(Family::V4, 0x44), (Family::V4, 0x60), (Family::V6, 0x45)] {
        let mut quoted = family.udp(Ingress, 53, &QUERY);
        quoted[0] = first;
        let frame = family.frame(&family.port_unreachable(&quoted));
        assert_eq!(leaving(&frame), Err(Unclassified::Malformed), "{family:?} {first:x}");
    }
}

#[test]
fn a_later_fragment_is_no_message() {
    for family in Family::ALL {
        let mut quoted = family.udp(Ingress, 53, &QUERY);
        let message = family.port_unreachable(&quoted);
        let fragment = match family {
            Family::V4 => {
                let mut packet = message;
                packet[7] = 185;
                packet
            }
            Family::V6 => with_extensions(&message, &[(44, &[0, 5, 0xc8, 0, 0, 0, 1])]),
        };
        // An echo reply, for one, is what its request was, byte by byte: it may look like a message anywhere.
        assert_eq!(
            leaving(&family.frame(&fragment)),
            Err(Unclassified::LaterFragment),
            "{family:?}"
        );
        if family == Family::V4 {
            quoted[7] = 185;
            let frame = family.frame(&family.port_unreachable(&quoted));
            assert_eq!(leaving(&frame), Err(Unclassified::LaterFragment), "in the quote");
        }
    }
}
