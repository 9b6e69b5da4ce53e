use super::*;

const QUERY: fn(u64) -> Result<Message, Unclassified> = |id| Ok(Message::Query { id });
const ANSWER: fn(u64) -> Result<Message, Unclassified> = |id| Ok(Message::answer(id));
const OTHER: Result<Message, Unclassified> = Ok(Message::Other);

/// A payload that starts with `head`.
fn payload(head: &[u8], length: usize) -> Vec<u8> {
    let mut payload = head.to_vec();
    payload.resize(length, 0xa5);
    payload
}

mod dns {
    use super::*;

    /// `example.com A`, with these octets of flags.
    fn header(flags: u8, codes: u8) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, flags, codes, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(b"\x07example\x03com\x00\x00\x01\x00\x01");
        message
    }

    const ID: u64 = 1 << 16 | u16::from_ne_bytes([0x12, 0x34]) as u64;

    #[test]
    fn the_flags_tell_queries_from_answers() {
        for direction in [Ingress, Egress] {
            let of = |flags, codes| read(Classifier::DnsUdp, direction, &header(flags, codes));
            // RD; RD, AD and CD; NOTIFY with AA; UPDATE.
            for (flags, codes) in [(0x01, 0x00), (0x01, 0x30), (0x24, 0x00), (0x28, 0x00)] {
                assert_eq!(of(flags, codes), QUERY(ID), "{flags:x}");
            }
            let answer = |truncated, codes| {
                Ok(Message::Answer {
                    id: ID,
                    truncated,
                    codes,
                })
            };
            assert_eq!(of(0x84, 0x00), answer(false, 0));
            assert_eq!(of(0x86, 0x02), answer(true, 2));
            assert_eq!(of(0x80, 0x85), answer(false, 0x85));
            assert_eq!(of(0xa4, 0x00), answer(false, 0), "to a NOTIFY");
        }
    }
}

mod ntp {
    use super::*;

    /// With times whose seconds say which they are: reference, origin, receive, transmit.
    fn packet(first: u8) -> Vec<u8> {
        let mut packet = payload(&[first, 2, 6, 0xec], 16);
        for time in [0xd0, 0xd1, 0xd2, 0xd3] {
            packet.extend_from_slice(&[0xea, 0x70, 0, time, 0x12, 0x34, 0x56, 0x78]);
        }
        packet
    }

    fn id(time: u8) -> u64 {
        u64::from_ne_bytes([0xea, 0x70, 0, time, 0x12, 0x34, 0x56, 0x78])
    }

    #[test]
    fn the_mode_tells_clients_from_servers() {
        for direction in [Ingress, Egress] {
            // Versions 3 and 4, and the leap indicator of a client that doesn't know the time.
            for first in [0x1b, 0x23, 0xe3] {
                assert_eq!(read(Classifier::Ntp, direction, &packet(first)), QUERY(id(0xd3)));
            }
            for first in [0x1c, 0x24, 0xe4] {
                assert_eq!(read(Classifier::Ntp, direction, &packet(first)), ANSWER(id(0xd1)));
            }
            // Peers, broadcast, control and private messages.
            for first in [0x21, 0x22, 0x25, 0x16, 0x17, 0x20] {
                assert_eq!(read(Classifier::Ntp, direction, &packet(first)), OTHER, "{first:x}");
            }
        }
    }

    #[test]
    fn an_answer_has_its_query_s_id() {
        let query = packet(0x23);
        let mut answer = packet(0x24);
        answer[24..32].copy_from_slice(&query[40..48]);
        answer.extend_from_slice(&[0; 20]);
        let Ok(Message::Query { id }) = read(Classifier::Ntp, Ingress, &query) else {
            panic!("a query")
        };
        assert_eq!(
            read(Classifier::Ntp, Egress, &answer),
            ANSWER(id),
            "with a message authentication code"
        );
    }
}

mod quic {
    use super::*;

    const VERSION_1: [u8; 4] = [0, 0, 0, 1];
    const VERSION_2: [u8; 4] = [0x6b, 0x33, 0x43, 0xcf];

    fn long(first: u8, version: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![first];
        packet.extend_from_slice(&version);
        packet.extend_from_slice(&[8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]);
        payload(&packet, 1200)
    }

    #[test]
    fn an_initial_that_comes_in_is_a_query() {
        // Initial, 0-RTT, Handshake, Retry: the types of version 2 are those of version 1, rotated.
        let types = [0xc3, 0xd3, 0xe3, 0xf0];
        let arriving = |version| types.map(|first| read(Classifier::Quic, Ingress, &long(first, version)));
        assert_eq!(arriving(VERSION_1), [QUERY(0), OTHER, OTHER, OTHER]);
        assert_eq!(arriving(VERSION_2), [OTHER, QUERY(0), OTHER, OTHER]);
    }

    #[test]
    fn every_long_header_of_an_unknown_version_is_a_query() {
        // One to force negotiation, a draft, and one of long ago.
        for version in [[0x1a, 0x2a, 0x3a, 0x4a], [0xff, 0, 0, 29], *b"Q046"] {
            for first in [0x80, 0xc3, 0xd3, 0xe3, 0xff] {
                assert_eq!(read(Classifier::Quic, Ingress, &long(first, version)), QUERY(0));
            }
        }
    }

    #[test]
    fn a_short_header_is_of_a_connection_that_stands() {
        // Whatever the bytes are that would be a version.
        for version in [VERSION_1, VERSION_2, [0x1a, 0x2a, 0x3a, 0x4a]] {
            for first in [0x43, 0x53, 0x7f] {
                assert_eq!(read(Classifier::Quic, Ingress, &long(first, version)), OTHER);
            }
        }
    }

    #[test]
    fn whatever_leaves_is_an_answer() {
        for packet in [
            long(0xc1, VERSION_1),
            long(0xe3, VERSION_1),
            long(0xf0, VERSION_2),
            payload(&[0x43], 40),
            // Version negotiation, a stateless reset.
            payload(&[0x80, 0, 0, 0, 0, 8], 40),
            payload(&[0x5d], 21),
        ] {
            assert_eq!(read(Classifier::Quic, Egress, &packet), ANSWER(0));
        }
    }
}

mod wireguard {
    use super::*;

    const CLIENT: [u8; 4] = [0xc1, 0xc2, 0xc3, 0xc4];
    const SERVER: [u8; 4] = [0x51, 0x52, 0x53, 0x54];

    #[test]
    fn a_handshake_is_a_query_and_its_answer() {
        let id = u64::from(u32::from_ne_bytes(CLIENT));
        for direction in [Ingress, Egress] {
            let of = |kind: u8, first: [u8; 4], second: [u8; 4], length| {
                let message = payload(&[&[kind, 0, 0, 0][..], &first, &second].concat(), length);
                read(Classifier::WireGuard, direction, &message)
            };
            assert_eq!(of(1, CLIENT, [9; 4], 148), QUERY(id), "initiation");
            assert_eq!(of(2, SERVER, CLIENT, 92), ANSWER(id), "response");
            assert_eq!(of(3, CLIENT, [9; 4], 64), ANSWER(id), "cookie reply");
            assert_eq!(of(4, CLIENT, [0; 4], 32), OTHER, "data: a keepalive");
            assert_eq!(of(0, CLIENT, SERVER, 148), OTHER);
        }
    }

    #[test]
    fn reserved_bytes_that_are_not_zero_make_it_something_else() {
        for place in 1..4 {
            let mut message = payload(&[1, 0, 0, 0], 148);
            message[place] = 1;
            assert_eq!(read(Classifier::WireGuard, Ingress, &message), OTHER);
        }
    }
}

mod ike {
    use super::*;

    const SPI: [u8; 8] = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
    const INITIATOR: u8 = 0x08;
    const RESPONSE: u8 = 0x20;
    const IKE_SA_INIT: u8 = 34;

    fn message(spi: [u8; 8], version: u8, flags: u8, number: u32) -> Vec<u8> {
        let mut message = spi.to_vec();
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&[33, version, IKE_SA_INIT, flags]);
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&[0, 0, 1, 0]);
        payload(&message, 256)
    }

    fn marked(message: &[u8]) -> Vec<u8> {
        [&[0; 4], message].concat()
    }

    /// The id of the messages whose number this is.
    fn id(number: u32) -> u64 {
        match read(Classifier::Ike, Ingress, &message(SPI, 0x20, INITIATOR, number)) {
            Ok(Message::Query { id }) => id,
            other => panic!("a query, not {other:?}"),
        }
    }

    #[test]
    fn version_2_says_which_is_a_response() {
        for direction in [Ingress, Egress] {
            for (flags, expected) in [
                (INITIATOR, QUERY(id(0))),
                (0, QUERY(id(0))),
                (RESPONSE, ANSWER(id(0))),
                (RESPONSE | INITIATOR, ANSWER(id(0))),
            ] {
                let message = message(SPI, 0x20, flags, 0);
                assert_eq!(read(Classifier::Ike, direction, &message), expected);
                assert_eq!(
                    read(Classifier::IkeNatTraversal, direction, &marked(&message)),
                    expected
                );
            }
        }
    }

    #[test]
    fn of_version_1_only_the_direction_tells() {
        for flags in [0, RESPONSE] {
            let message = message(SPI, 0x10, flags, 0);
            for (classifier, message) in [
                (Classifier::Ike, message.clone()),
                (Classifier::IkeNatTraversal, marked(&message)),
            ] {
                assert_eq!(read(classifier, Ingress, &message), QUERY(id(0)));
                assert_eq!(read(classifier, Egress, &message), ANSWER(id(0)));
            }
        }
    }

    #[test]
    fn the_number_of_a_message_and_the_connection_make_its_id() {
        assert_ne!(id(0), id(1));
        let other = message([7; 8], 0x20, INITIATOR, 0);
        assert_ne!(read(Classifier::Ike, Ingress, &other), QUERY(id(0)));
    }

    #[test]
    fn esp_and_keepalives_say_nothing() {
        let esp = payload(&[0xc0, 0xff, 0xee, 1, 0, 0, 0, 7], 100);
        let esp_with_a_zero_first = payload(&[0, 0xff, 0xee, 1, 0, 0, 0, 7], 100);
        let esp_with_three_zeros = payload(&[0, 0, 0, 1, 0, 0, 0, 7], 100);
        for datagram in [&[0xff][..], &esp, &esp_with_a_zero_first, &esp_with_three_zeros] {
            for direction in [Ingress, Egress] {
                assert_eq!(read(Classifier::IkeNatTraversal, direction, datagram), OTHER);
            }
        }
    }
}

mod generic {
    use super::*;

    #[test]
    fn the_direction_tells() {
        for datagram in [&b""[..], b"x", b"OPTIONS sip:example.com SIP/2.0\r\n"] {
            assert_eq!(read(Classifier::Udp, Ingress, datagram), QUERY(0));
            assert_eq!(read(Classifier::Udp, Egress, datagram), ANSWER(0));
        }
    }

    #[test]
    fn one_way_has_no_answers() {
        for datagram in [&b""[..], b"<34>Oct 11 22:14:15 host su: failed"] {
            for direction in [Ingress, Egress] {
                assert_eq!(read(Classifier::UdpOneWay, direction, datagram), QUERY(0));
            }
        }
    }
}
