use super::*;
use crate::testing::{Egress, Ingress, NO_TUNNELS, QUERY, TUNNELS, udp, with_extensions, with_options};

const IP_IN_IP: Tunnels = Tunnels {
    ip_in_ip: true,
    gue_port: 0,
};
const GUE: Tunnels = Tunnels {
    ip_in_ip: false,
    gue_port: 6080,
};

fn read_with(tunnels: Tunnels, family: Family, ip: &[u8]) -> Found {
    let view = View {
        tunnels,
        ..ethernet(Ingress)
    };
    read(&family.frame(ip), view)
}

/// All pairs of versions.
fn outer_and_inner() -> impl Iterator<Item = (Family, Family)> {
    Family::ALL
        .into_iter()
        .flat_map(|outer| Family::ALL.map(|inner| (outer, inner)))
}

/// A GUE packet whose UDP payload is `payload`.
fn gue(outer: Family, payload: &[u8]) -> Vec<u8> {
    outer.udp(Ingress, 6080, payload)
}

/// The header of GUE, version 0, with `words` of optional fields.
fn gue_header(words: u8, protocol: u8) -> Vec<u8> {
    let mut header = vec![words, protocol, 0, 0];
    header.resize(4 + usize::from(words) * 4, 0xee);
    header
}

#[test]
fn ip_in_ip_is_looked_through_where_it_is_configured() {
    for (outer, inner) in outer_and_inner() {
        let packet = outer.ip(Ingress, inner.protocol(), &inner.udp(Ingress, 53, &QUERY));
        let transport = transport_in_frame(outer) + inner.header_bytes();
        for tunnels in [IP_IN_IP, TUNNELS] {
            assert_eq!(
                read_with(tunnels, outer, &packet),
                dns(inner, transport, &QUERY),
                "{inner:?} in {outer:?}"
            );
        }
        for tunnels in [NO_TUNNELS, GUE] {
            assert_eq!(
                read_with(tunnels, outer, &packet),
                Ok(Followed::Other),
                "{inner:?} in {outer:?}"
            );
        }
    }
}

#[test]
fn gue_is_looked_through_where_it_is_configured() {
    for (outer, inner) in outer_and_inner() {
        let query = inner.udp(Ingress, 53, &QUERY);
        let payload = transport_in_frame(outer) + 8;
        // Version 1 has no header; version 0 has one, and up to 31 words of optional fields.
        assert_eq!(
            read_with(GUE, outer, &gue(outer, &query)),
            dns(inner, payload + inner.header_bytes(), &QUERY),
            "{inner:?} in {outer:?}"
        );
        for words in 0..=31 {
            let header = gue_header(words, inner.protocol());
            let packet = gue(outer, &[&*header, &*query].concat());
            let transport = payload + header.len() + inner.header_bytes();
            for tunnels in [GUE, TUNNELS] {
                assert_eq!(
                    read_with(tunnels, outer, &packet),
                    dns(inner, transport, &QUERY),
                    "{inner:?} in {outer:?}, {words} words"
                );
            }
        }
    }
}

#[test]
fn gue_that_is_not_configured_is_a_datagram() {
    for (outer, inner) in outer_and_inner() {
        let payload = inner.udp(Ingress, 53, &QUERY);
        let expected = flow(
            outer,
            (PROTOCOL_UDP, 6080),
            transport_in_frame(outer),
            8 + payload.len(),
            head(&payload),
        );
        let other_port = Tunnels {
            gue_port: 6081,
            ..NO_TUNNELS
        };
        for tunnels in [NO_TUNNELS, IP_IN_IP, other_port] {
            assert_eq!(
                read_with(tunnels, outer, &gue(outer, &payload)),
                Ok(Followed::Flow(expected)),
                "{inner:?} in {outer:?}"
            );
        }
    }
}

#[test]
fn only_the_destination_port_makes_it_gue() {
    for family in Family::ALL {
        let mut packet = family.udp(Ingress, 53, &QUERY);
        let source_port = family.header_bytes();
        packet[source_port..source_port + 2].copy_from_slice(&6080_u16.to_be_bytes());
        let Ok(Followed::Flow(flow)) = read_with(GUE, family, &packet) else {
            panic!("a datagram")
        };
        assert_eq!(flow.service, family.service(PROTOCOL_UDP, 53));
    }
}

#[test]
fn what_is_no_data_in_gue_is_a_datagram() {
    for family in Family::ALL {
        let query = family.udp(Ingress, 53, &QUERY);
        // A control message, an unknown version, a protocol that isn't IP, and an IP version that isn't one.
        for header in [
            [0x20, family.protocol(), 0, 0],
            [0x80, family.protocol(), 0, 0],
            [0xc0, family.protocol(), 0, 0],
            [0x00, 17, 0, 0],
            [0x55, family.protocol(), 0, 0],
            [0x75, family.protocol(), 0, 0],
        ] {
            let payload = [&header, &*query].concat();
            let expected = flow(
                family,
                (PROTOCOL_UDP, 6080),
                transport_in_frame(family),
                8 + payload.len(),
                head(&payload),
            );
            assert_eq!(
                read_with(GUE, family, &gue(family, &payload)),
                Ok(Followed::Flow(expected)),
                "{family:?} {header:x?}"
            );
        }
    }
}

#[test]
fn on_the_way_out_nothing_is_looked_through() {
    for (outer, inner) in outer_and_inner() {
        let answer = inner.udp(Egress, 53, &QUERY);
        let view = View {
            tunnels: TUNNELS,
            ..ethernet(Egress)
        };
        let packet = outer.ip(Egress, inner.protocol(), &answer);
        assert_eq!(read(&outer.frame(&packet), view), Ok(Followed::Other));
        // To a client's port 6080.
        let mut packet = outer.udp(Egress, 53, &answer);
        let destination_port = outer.header_bytes() + 2;
        packet[destination_port..destination_port + 2].copy_from_slice(&6080_u16.to_be_bytes());
        let Ok(Followed::Flow(flow)) = read(&outer.frame(&packet), view) else {
            panic!("a datagram")
        };
        assert_eq!(flow.service, outer.service(PROTOCOL_UDP, 53));
    }
}

#[test]
fn one_tunnel_is_looked_through() {
    for family in Family::ALL {
        let query = family.udp(Ingress, 53, &QUERY);
        let tunnel = family.ip(Ingress, family.protocol(), &query);
        let twice = family.ip(Ingress, family.protocol(), &tunnel);
        assert_eq!(read_with(TUNNELS, family, &twice), Ok(Followed::Other));
        // GUE in IP in IP is a datagram for the port of GUE.
        let tunnel = family.ip(Ingress, family.protocol(), &gue(family, &query));
        let Ok(Followed::Flow(flow)) = read_with(TUNNELS, family, &tunnel) else {
            panic!("a datagram")
        };
        assert_eq!(flow.service, family.service(PROTOCOL_UDP, 6080));
    }
}

#[test]
fn options_and_extension_headers_are_skipped_outside_and_inside() {
    let query = with_options(&Family::V4.udp(Ingress, 53, &QUERY), &[1; 8]);
    let packet = with_options(&Family::V4.ip(Ingress, 4, &query), &[1; 4]);
    assert_eq!(
        read_with(IP_IN_IP, Family::V4, &packet),
        dns(Family::V4, 14 + 24 + 28, &QUERY)
    );
    let extension: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    let query = with_extensions(&Family::V6.udp(Ingress, 53, &QUERY), &[extension; 4]);
    let packet = with_extensions(&Family::V6.ip(Ingress, 41, &query), &[extension; 4]);
    assert_eq!(
        read_with(IP_IN_IP, Family::V6, &packet),
        dns(Family::V6, 14 + 72 + 72, &QUERY)
    );
}

#[test]
fn a_tunnel_cut_before_the_inner_payload_is_truncated() {
    for (outer, inner) in outer_and_inner() {
        let query = inner.udp(Ingress, 53, &QUERY);
        let header = gue_header(2, inner.protocol());
        for packet in [
            outer.ip(Ingress, inner.protocol(), &query),
            gue(outer, &query),
            gue(outer, &[&*header, &*query].concat()),
        ] {
            for length in 0..packet.len() - QUERY.len() {
                assert_eq!(
                    read_with(TUNNELS, outer, &packet[..length]),
                    Err(Unclassified::Truncated),
                    "{inner:?} in {outer:?}, {length} bytes"
                );
            }
        }
    }
}

#[test]
fn a_later_fragment_of_a_tunnel_has_no_inner_packet() {
    let query = Family::V4.udp(Ingress, 53, &QUERY);
    for mut packet in [
        Family::V4.ip(Ingress, 4, &query),
        Family::V4.ip(Ingress, 17, &udp(Ingress, 6080, &query)),
    ] {
        packet[7] = 185;
        assert_eq!(
            read_with(TUNNELS, Family::V4, &packet),
            Err(Unclassified::LaterFragment)
        );
    }
}
