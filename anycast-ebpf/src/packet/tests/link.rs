use super::*;
use crate::testing::{ACK, Egress, Ingress, NO_TUNNELS, QUERY};

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;

#[test]
fn the_service_is_the_destination_in_and_the_source_out() {
    for family in Family::ALL {
        for direction in [Ingress, Egress] {
            let transport = transport_in_frame(family);
            let datagram = family.frame(&family.udp(direction, 53, &QUERY));
            assert_eq!(
                read(&datagram, ethernet(direction)),
                dns(family, transport, &QUERY),
                "{family:?} {direction:?}"
            );
            let segment = family.frame(&family.tcp(direction, 853, ACK, b"hello"));
            let flow = flow(family, (PROTOCOL_TCP, 853), transport, 25, Head::UNKNOWN);
            assert_eq!(
                read(&segment, ethernet(direction)),
                Ok(Followed::Flow(flow)),
                "{family:?} {direction:?}"
            );
        }
    }
}

#[test]
fn the_other_end_of_a_packet_in_the_wrong_direction_is_taken_for_a_service() {
    let family = Family::V4;
    let frame = family.frame(&family.udp(Ingress, 53, &QUERY));
    let Ok(Followed::Flow(flow)) = leaving(&frame) else {
        panic!("a datagram")
    };
    assert_eq!(flow.service.address, family.client(7));
    assert_eq!(flow.service.wire_port(), CLIENT_PORT.to_be());
    assert_eq!(flow.client, family.service(PROTOCOL_UDP, 53).address);
    assert_eq!(flow.client_port, 53_u16.to_be());
}

#[test]
fn up_to_two_vlan_tags_are_followed() {
    for family in Family::ALL {
        let ip = family.udp(Ingress, 53, &QUERY);
        let transport = transport_in_frame(family);
        for tag in [VLAN, SERVICE_VLAN] {
            assert_eq!(
                arriving(&family.tagged(&[tag], &ip)),
                dns(family, transport + 4, &QUERY),
                "{family:?} {tag:x}"
            );
        }
        for tags in [[VLAN, VLAN], [SERVICE_VLAN, VLAN], [VLAN, SERVICE_VLAN]] {
            let frame = family.tagged(&tags, &ip);
            assert_eq!(arriving(&frame), dns(family, transport + 8, &QUERY), "{family:?}");
        }
        let frame = family.tagged(&[SERVICE_VLAN, VLAN, VLAN], &ip);
        assert_eq!(arriving(&frame), Err(Unclassified::TooDeep), "{family:?}");
    }
}

#[test]
fn a_packet_may_start_with_its_ip_header() {
    for family in Family::ALL {
        for direction in [Ingress, Egress] {
            let view = View {
                direction,
                framing: Framing::Ip,
                tunnels: NO_TUNNELS,
            };
            let packet = family.udp(direction, 53, &QUERY);
            assert_eq!(read(&packet, view), dns(family, family.header_bytes(), &QUERY));
            let packet = family.tcp(direction, 53, ACK, &[]);
            let flow = flow(family, (PROTOCOL_TCP, 53), family.header_bytes(), 20, Head::UNKNOWN);
            assert_eq!(read(&packet, view), Ok(Followed::Flow(flow)));
            for version in [0_u8, 3, 5, 7, 15] {
                let mut packet = packet.clone();
                packet[0] = version << 4 | 5;
                assert_eq!(read(&packet, view), Ok(Followed::Other), "version {version}");
            }
        }
    }
}

#[test]
fn other_protocols_than_ip_are_nobodys_business() {
    let frame = Family::V4.frame(&Family::V4.udp(Ingress, 53, &QUERY));
    // ARP, MPLS, PPPoE, and the length of an 802.3 frame.
    for ethertype in [0x0806_u16, 0x8847, 0x8864, 0x0040] {
        let mut frame = frame.clone();
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        assert_eq!(arriving(&frame), Ok(Followed::Other), "{ethertype:04x}");
        let mut tagged = Family::V4.tagged(&[VLAN], &frame[14..]);
        tagged[16..18].copy_from_slice(&ethertype.to_be_bytes());
        assert_eq!(arriving(&tagged), Ok(Followed::Other), "{ethertype:04x} in a VLAN");
    }
}

#[test]
fn a_version_that_contradicts_the_ethertype_is_malformed() {
    for (family, first) in [
        (Family::V4, 0x65),
        (Family::V4, 0x55),
        (Family::V6, 0x45),
        (Family::V6, 0x70),
    ] {
        for tags in [&[][..], &[VLAN]] {
            let mut frame = family.tagged(tags, &family.udp(Ingress, 53, &QUERY));
            frame[14 + 4 * tags.len()] = first;
            assert_eq!(arriving(&frame), Err(Unclassified::Malformed), "{family:?} {first:x}");
        }
    }
}
