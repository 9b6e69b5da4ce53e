//! A datagram of each kind of service, in and out.

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::Reading;

use crate::{
    frames::{Egress, FAMILIES, Family, Ingress},
    hooks::Hook,
    node::{Node, packet_in, packet_out, place, query},
};

/// An answer that has no rcode.
fn answer() -> Reading {
    Reading {
        answers: 1,
        ..packet_out()
    }
}

/// A payload that starts with `head`.
fn payload(head: &[u8], length: usize) -> Vec<u8> {
    let mut payload = head.to_vec();
    payload.resize(length, 0xa5);
    payload
}

fn ike(version: u8, flags: u8) -> Vec<u8> {
    let mut message = [[0x11; 8], [0; 8]].concat();
    message.extend([33, version, 34, flags]);
    payload(&message, 100)
}

fn marked(message: &[u8]) -> Vec<u8> {
    [&[0; 4], message].concat()
}

/// Sends a payload to the service and from it, by every hook, and compares what that adds to its counters.
fn check(node: &mut Node, (classifier, port): (Classifier, u16), payload: &[u8], expected: &(Reading, Reading)) {
    let &(of_arriving, of_leaving) = expected;
    for family in FAMILIES {
        let service = place(family, classifier, port);
        let arriving = family.udp(Ingress, port, payload);
        let leaving = family.udp(Egress, port, payload);
        for (hook, frame, expected) in [
            (Hook::XdpIngress, family.frame(&arriving), of_arriving),
            (Hook::TcIngress, family.frame(&arriving), of_arriving),
            (Hook::TcIngressIp, arriving, of_arriving),
            (Hook::TcEgress, family.frame(&leaving), of_leaving),
            (Hook::TcEgressIp, leaving, of_leaving),
        ] {
            let counted = node.counted(hook, service, &frame);
            assert_eq!(counted, expected, "{classifier:?} {hook:?} {family:?} {payload:02x?}");
        }
    }
}

#[test]
fn ntp_by_its_mode() {
    let Some(mut node) = Node::shared() else { return };
    let service = (Classifier::Ntp, 123);
    check(&mut node, service, &payload(&[0x23], 48), &(query(), packet_out()));
    check(&mut node, service, &payload(&[0x24], 68), &(packet_in(), answer()));
    check(&mut node, service, &payload(&[0x16], 48), &(packet_in(), packet_out()));
}

#[test]
fn quic_by_its_initial() {
    let Some(mut node) = Node::shared() else { return };
    let service = (Classifier::Quic, 443);
    for first in [
        &[0xc3, 0, 0, 0, 1][..],
        &[0xd3, 0x6b, 0x33, 0x43, 0xcf],
        &[0xe3, 0x1a, 0x2a, 0x3a, 0x4a],
    ] {
        check(&mut node, service, &payload(first, 1200), &(query(), answer()));
    }
    for first in [
        &[0xe3, 0, 0, 0, 1][..],
        &[0xc3, 0x6b, 0x33, 0x43, 0xcf],
        &[0x43, 0, 0, 0, 1],
    ] {
        check(&mut node, service, &payload(first, 60), &(packet_in(), answer()));
    }
}

#[test]
fn wireguard_by_its_handshake() {
    let Some(mut node) = Node::shared() else { return };
    let service = (Classifier::WireGuard, 51_820);
    check(
        &mut node,
        service,
        &payload(&[1, 0, 0, 0], 148),
        &(query(), packet_out()),
    );
    check(
        &mut node,
        service,
        &payload(&[2, 0, 0, 0], 92),
        &(packet_in(), answer()),
    );
    check(
        &mut node,
        service,
        &payload(&[3, 0, 0, 0], 64),
        &(packet_in(), answer()),
    );
    check(
        &mut node,
        service,
        &payload(&[4, 0, 0, 0], 32),
        &(packet_in(), packet_out()),
    );
}

#[test]
fn ike_by_its_flags() {
    let Some(mut node) = Node::shared() else { return };
    for (service, message) in [
        ((Classifier::Ike, 500), ike as fn(u8, u8) -> Vec<u8>),
        ((Classifier::IkeNatTraversal, 4500), |version, flags| {
            marked(&ike(version, flags))
        }),
    ] {
        check(&mut node, service, &message(0x20, 0x08), &(query(), packet_out()));
        check(&mut node, service, &message(0x20, 0x20), &(packet_in(), answer()));
        check(&mut node, service, &message(0x10, 0x00), &(query(), answer()));
    }
    let service = (Classifier::IkeNatTraversal, 4500);
    for other in [&[0xff][..], &payload(&[0x11], 64), &payload(&[0, 0, 0, 9], 64)] {
        check(&mut node, service, other, &(packet_in(), packet_out()));
    }
}

#[test]
fn any_other_protocol_by_its_direction() {
    let Some(mut node) = Node::shared() else { return };
    for payload in [&b""[..], b"x", b"OPTIONS sip:example.com SIP/2.0\r\n"] {
        check(&mut node, (Classifier::Udp, 5060), payload, &(query(), answer()));
        check(
            &mut node,
            (Classifier::UdpOneWay, 514),
            payload,
            &(query(), packet_out()),
        );
    }
}

#[test]
fn what_is_too_short_is_a_packet_that_could_not_be_classified() {
    let Some(mut node) = Node::shared() else { return };
    for (service, least) in [
        ((Classifier::DnsUdp, 5353), 12),
        ((Classifier::Ntp, 123), 48),
        ((Classifier::Quic, 443), 5),
        ((Classifier::WireGuard, 51_820), 12),
        ((Classifier::Ike, 500), 28),
        ((Classifier::IkeNatTraversal, 4500), 32),
    ] {
        let before = node.everything().unclassified;
        check(&mut node, service, &vec![0; least - 1], &(packet_in(), packet_out()));
        let mut expected = before;
        expected[0] += 10;
        assert_eq!(node.everything().unclassified, expected, "{service:?}");
        // Nor is it longer for what pads its frame.
        let mut frame = Family::V4.frame(&Family::V4.udp(Ingress, service.1, &[]));
        frame.resize(200, 0);
        let place = place(Family::V4, service.0, service.1);
        assert_eq!(node.counted(Hook::XdpIngress, place, &frame), packet_in());
        expected[0] += 1;
        assert_eq!(node.everything().unclassified, expected, "{service:?}");
    }
}
