//! Whatever is in a packet: it is passed, as it is.

use anycast_ebpf::packet::Framing;

use crate::{
    frames::{ACK, FAMILIES, Ingress, QUERY},
    hooks::ALL,
    node::Node,
};

#[test]
fn a_packet_cut_or_changed_anywhere_is_passed_unchanged() {
    let Some(mut node) = Node::shared() else { return };
    let mut pass = |frame: &[u8]| {
        for hook in ALL {
            let bytes = match hook.framing() {
                Framing::Ethernet => frame,
                Framing::Ip => frame.get(14..).unwrap_or_default(),
            };
            if hook.takes(bytes) {
                node.programs.pass(hook, bytes);
            }
        }
    };
    for family in FAMILIES {
        let query = family.udp(Ingress, 53, &QUERY);
        for packet in [
            family.tcp(Ingress, 25, ACK, &QUERY),
            family.port_unreachable(&query),
            query,
        ] {
            let frame = family.frame(&packet);
            for length in 14..frame.len() {
                pass(&frame[..length]);
            }
            for position in 0..frame.len() {
                for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let mut changed = frame.clone();
                    changed[position] = value;
                    pass(&changed);
                }
            }
        }
    }
}
