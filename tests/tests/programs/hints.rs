//! ICMP messages that say that nobody listens.

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::Reading;

use crate::{
    frames::{FAMILIES, Family, Ingress, QUERY, SERVICE_VLAN, SYN, VLAN, with_extensions, with_options},
    hooks::{Hook, INGRESS},
    node::{Node, dns, place},
};

fn hint() -> Reading {
    Reading {
        hints: 1,
        ..Reading::default()
    }
}

#[test]
fn port_unreachable_is_a_hint_about_the_service_it_quotes() {
    let Some(mut node) = Node::shared() else { return };
    let extension: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    for family in FAMILIES {
        let query = family.udp(Ingress, 53, &QUERY);
        let of_dns = family.port_unreachable(&query);
        let of_tcp = family.port_unreachable(&family.tcp(Ingress, 853, SYN, b""));
        let with_more = match family {
            Family::V4 => with_options(&query, &[1; 40]),
            Family::V6 => with_extensions(&query, &[extension; 4]),
        };
        let quotes_more = family.port_unreachable(&with_more);
        // As much as RFC 792 asks for.
        let quotes_little = family.port_unreachable(&query[..family.header_bytes() + 8]);
        let tcp = place(family, Classifier::Tcp, 853);
        for (service, packet) in [
            (dns(family), of_dns),
            (tcp, of_tcp),
            (dns(family), quotes_more),
            (dns(family), quotes_little),
        ] {
            for tags in [&[][..], &[VLAN], &[SERVICE_VLAN, VLAN]] {
                let frame = family.tagged(tags, &packet);
                assert_eq!(node.counted(Hook::TcEgress, service, &frame), hint(), "{frame:02x?}");
            }
            assert_eq!(node.counted(Hook::TcEgressIp, service, &packet), hint());
        }
    }
}

#[test]
fn other_messages_and_those_that_come_in_are_none() {
    let Some(mut node) = Node::shared() else { return };
    let before = node.everything();
    for family in FAMILIES {
        let unreachable = family.port_unreachable(&family.udp(Ingress, 53, &QUERY));
        for hook in INGRESS {
            node.programs.pass(hook, &family.frame(&unreachable));
        }
        node.programs.pass(Hook::TcIngressIp, &unreachable);
        let mut host_unreachable = unreachable.clone();
        host_unreachable[family.header_bytes() + 1] = 1;
        let stranger = family.port_unreachable(&family.udp(Ingress, 54, &QUERY));
        for packet in [host_unreachable, stranger] {
            node.programs.pass(Hook::TcEgress, &family.frame(&packet));
        }
    }
    assert_eq!(node.everything(), before);
}

#[test]
fn a_later_fragment_that_looks_like_one_is_none() {
    let Some(mut node) = Node::shared() else { return };
    let before = node.everything();
    let mut fragment = Family::V4.port_unreachable(&Family::V4.udp(Ingress, 53, &QUERY));
    fragment[7] = 185;
    node.programs.pass(Hook::TcEgress, &Family::V4.frame(&fragment));
    let after = node.everything();
    assert_eq!(after.services, before.services);
    assert_eq!(after.unclassified[2], before.unclassified[2] + 1);
}
