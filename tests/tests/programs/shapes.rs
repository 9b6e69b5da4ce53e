//! What may stand before a datagram, and what must not.

use anycast_ebpf::{layout::UNCLASSIFIED_NAMES, packet::Framing};

use crate::{
    frames::{
        ACK, ANSWER, Egress, FAMILIES, Family, Ingress, QUERY, SERVICE_VLAN, VLAN, with_extensions, with_options,
    },
    hooks::{ALL, ETHERNET, Hook, INGRESS},
    node::{Node, answer, dns, query},
};

#[test]
fn tags_options_and_first_fragments_are_followed() {
    let Some(mut node) = Node::shared() else { return };
    let mut first_fragment = Family::V4.udp(Ingress, 53, &QUERY);
    first_fragment[6] = 0x20;
    let of_v4 = [
        with_options(&Family::V4.udp(Ingress, 53, &QUERY), &[1; 40]),
        first_fragment,
    ];
    let hop: (u8, &[u8]) = (0, &[0, 1, 4, 0, 0, 0, 0]);
    let long: (u8, &[u8]) = (60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let fragment: (u8, &[u8]) = (44, &[0, 0, 1, 0, 0, 0, 9]);
    let of_v6 = [&[hop][..], &[hop, long, fragment], &[long; 4]]
        .map(|extensions| with_extensions(&Family::V6.udp(Ingress, 53, &QUERY), extensions));
    let plain = FAMILIES.map(|family| (family, family.udp(Ingress, 53, &QUERY)));
    let packets = of_v4
        .into_iter()
        .map(|packet| (Family::V4, packet))
        .chain(of_v6.into_iter().map(|packet| (Family::V6, packet)))
        .chain(plain);
    for (family, packet) in packets {
        for tags in [&[][..], &[VLAN], &[SERVICE_VLAN, VLAN]] {
            let frame = family.tagged(tags, &packet);
            for hook in INGRESS {
                assert_eq!(
                    node.counted(hook, dns(family), &frame),
                    query(),
                    "{hook:?} {frame:02x?}"
                );
            }
        }
        assert_eq!(
            node.counted(Hook::TcIngressIp, dns(family), &packet),
            query(),
            "{packet:02x?}"
        );
    }
}

#[test]
fn packets_may_start_with_their_ip_header() {
    let Some(mut node) = Node::shared() else { return };
    for family in FAMILIES {
        let packet = family.udp(Ingress, 53, &QUERY);
        assert_eq!(node.counted(Hook::TcIngressIp, dns(family), &packet), query());
        let packet = family.udp(Egress, 53, &ANSWER);
        assert_eq!(node.counted(Hook::TcEgressIp, dns(family), &packet), answer(0, false));
    }
    // Each framing is nonsense in the other.
    let before = node.everything().services;
    for family in FAMILIES {
        let packet = family.udp(Ingress, 53, &QUERY);
        node.programs.pass(Hook::TcIngressIp, &family.frame(&packet));
        node.programs.pass(Hook::XdpIngress, &packet);
    }
    assert_eq!(node.everything().services, before);
}

#[test]
fn what_cannot_be_followed_is_counted_by_its_reason() {
    let Some(mut node) = Node::shared() else { return };
    let packet = Family::V4.udp(Ingress, 53, &QUERY);
    let mut later = packet.clone();
    later[7] = 1;
    let mut malformed = packet.clone();
    malformed[0] = 0x44;
    let deep = Family::V4.tagged(&[SERVICE_VLAN, VLAN, VLAN], &packet);
    let of_v4 = |packet: &[u8]| Family::V4.frame(packet);
    let cases = [
        ("later-fragment", of_v4(&later)),
        ("malformed", of_v4(&malformed)),
        ("too-deep", deep),
        ("truncated", of_v4(&packet[..26])),
    ];
    let mut check = |hook, name, frame: &[u8]| {
        let before = node.everything().unclassified;
        node.programs.pass(hook, frame);
        let after = node.everything().unclassified;
        let grown: Vec<_> = UNCLASSIFIED_NAMES
            .iter()
            .zip(before.iter().zip(after))
            .filter(|(_, (before, after))| *before != after)
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(grown, [name], "{hook:?} {frame:02x?}");
    };
    for (name, frame) in &cases {
        for hook in ETHERNET {
            check(hook, *name, frame);
        }
    }
    for (hook, direction) in [
        (Hook::XdpIngress, Ingress),
        (Hook::TcIngress, Ingress),
        (Hook::TcEgress, Egress),
    ] {
        let mut frame = of_v4(&Family::V4.udp(direction, 53, &QUERY[..11]));
        check(hook, "truncated", &frame);
        // Nor is it longer for what pads it.
        frame.resize(60, 0);
        check(hook, "truncated", &frame);
    }
    for hook in [Hook::TcIngressIp, Hook::TcEgressIp] {
        check(hook, "later-fragment", &later);
        check(hook, "malformed", &malformed);
        check(hook, "truncated", &packet[..27]);
        check(hook, "truncated", &packet[..19]);
    }
}

#[test]
fn what_is_not_of_a_service_changes_nothing() {
    let Some(mut node) = Node::shared() else { return };
    let before = node.everything();
    for direction in [Ingress, Egress] {
        for family in FAMILIES {
            let mut elsewhere = family.udp(direction, 53, &QUERY);
            let (source, destination) = match family {
                Family::V4 => (15, 19),
                Family::V6 => (23, 39),
            };
            elsewhere[source] = 200;
            elsewhere[destination] = 200;
            for packet in [
                elsewhere,
                family.udp(direction, 54, &QUERY),
                family.tcp(direction, 54, ACK, &QUERY),
                // The ports of services over the other protocol.
                family.tcp(direction, 123, ACK, &QUERY),
                family.udp(direction, 853, &QUERY),
                family.ip(direction, 47, &[0; 20]),
            ] {
                for hook in ALL.into_iter().filter(|hook| hook.direction() == direction) {
                    match hook.framing() {
                        Framing::Ip => node.programs.pass(hook, &packet),
                        Framing::Ethernet => node.programs.pass(hook, &family.frame(&packet)),
                    }
                }
            }
        }
    }
    let mut arp = vec![2; 42];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    for hook in ETHERNET {
        node.programs.pass(hook, &arp);
    }
    assert_eq!(node.everything(), before);
}
