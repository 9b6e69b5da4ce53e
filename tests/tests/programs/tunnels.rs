//! Packets that an L4 load balancer has wrapped.

use anycast_ebpf::{classify::Classifier, packet::Tunnels};
use anycast_user::datapath::{LoadSettings, Reading};

use crate::{
    frames::{Egress, FAMILIES, Family, Ingress, QUERY, VLAN},
    hooks::{Hook, INGRESS},
    node::{GUE_PORT, LOCAL, Node, dns, packet_in, place, query, services, settings},
};

const PROTOCOL_UDP: u8 = 17;

/// A DNS query of `inner` in each tunnel of `outer`.
fn wrapped(outer: Family, inner: Family) -> [Vec<u8>; 4] {
    let query = inner.udp(Ingress, 53, &QUERY);
    let gue = |header: &[u8]| outer.udp(Ingress, GUE_PORT, &[header, &query].concat());
    [
        outer.ip(Ingress, inner.protocol(), &query),
        gue(&[]),
        gue(&[0, inner.protocol(), 0, 0]),
        gue(&[2, inner.protocol(), 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ]
}

fn pairs() -> impl Iterator<Item = (Family, Family)> {
    FAMILIES
        .into_iter()
        .flat_map(|outer| FAMILIES.map(|inner| (outer, inner)))
}

#[test]
fn tunnels_that_are_configured_are_looked_through() {
    let settings = LoadSettings {
        tunnels: Tunnels {
            ip_in_ip: true,
            gue_port: GUE_PORT,
        },
        ..settings()
    };
    let Some(mut node) = Node::load(&services(), &settings) else {
        return;
    };
    for (outer, inner) in pairs() {
        for packet in wrapped(outer, inner) {
            for tags in [&[][..], &[VLAN]] {
                let frame = outer.tagged(tags, &packet);
                for hook in INGRESS {
                    assert_eq!(node.counted(hook, dns(inner), &frame), query(), "{hook:?} {frame:02x?}");
                }
            }
            assert_eq!(
                node.counted(Hook::TcIngressIp, dns(inner), &packet),
                query(),
                "{packet:02x?}"
            );
        }
    }
    // The client is the inner one.
    let query = Family::V4.udp(Ingress, 53, &QUERY);
    let of_local = Family::V4.ip_of(LOCAL, Ingress, PROTOCOL_UDP, &query[20..]);
    let frame = Family::V4.frame(&Family::V4.ip(Ingress, 4, &of_local));
    let local_source = Reading {
        local_sources: 1,
        ..packet_in()
    };
    let service = dns(Family::V4);
    assert_eq!(node.counted(Hook::XdpIngress, service, &frame), local_source);
    // What isn't data, and what leaves, is what it is on the outside.
    let control = Family::V4.udp(Ingress, GUE_PORT, &[0x20, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let of_gue = place(Family::V4, Classifier::Udp, GUE_PORT);
    let frame = Family::V4.frame(&control);
    assert_eq!(node.counted(Hook::XdpIngress, of_gue, &frame), crate::node::query());
    let before = node.everything();
    for (outer, inner) in pairs() {
        let answer = inner.udp(Egress, 53, &QUERY);
        let packet = outer.ip(Egress, inner.protocol(), &answer);
        node.programs.pass(Hook::TcEgress, &outer.frame(&packet));
    }
    assert_eq!(node.everything(), before);
}

#[test]
fn tunnels_that_are_not_configured_are_not() {
    let Some(mut node) = Node::shared() else { return };
    for (outer, inner) in pairs() {
        let before = node.datapath.bank().read(dns(inner));
        let [ip_in_ip, gue @ ..] = wrapped(outer, inner);
        for hook in INGRESS {
            node.programs.pass(hook, &outer.frame(&ip_in_ip));
            for packet in &gue {
                let of_gue = place(outer, Classifier::Udp, GUE_PORT);
                assert_eq!(node.counted(hook, of_gue, &outer.frame(packet)), query());
            }
        }
        assert_eq!(node.datapath.bank().read(dns(inner)), before);
    }
}
