//! The shapes that a DNS query and its answer come in: tags, options, extension headers, fragments, tunnels, cuts.

use super::Seeds;
use super::build::{Family, SERVICE, SERVICE_V6, Way, cut, ethernet, extended, set, with_options};
use crate::corpus::Input;

const QUERY: [u8; 12] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
const ANSWER: [u8; 12] = [0x12, 0x34, 0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0];
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const UDP: u8 = 17;

/// What there is of either family.
pub(super) fn add(seeds: &mut Seeds, family: Family) {
    let query = family.udp(Way::In, 53, &QUERY);
    let answer = family.udp(Way::Out, 53, &ANSWER);
    let name = |rest: &str| format!("{}-{rest}", family.name());
    for (rest, tags) in [
        ("vlan", &[VLAN][..]),
        ("service-vlan", &[SERVICE_VLAN]),
        ("qinq", &[SERVICE_VLAN, VLAN]),
        ("three-tags", &[SERVICE_VLAN, VLAN, VLAN]),
    ] {
        seeds.add(Way::In, &name(rest), 0, &ethernet(family, tags, &query));
        seeds.add(Way::Out, &name(rest), 0, &ethernet(family, tags, &answer));
    }

    seeds.add(Way::In, &name("raw-query"), Input::IP, &query);
    seeds.add(Way::Out, &name("raw-answer"), Input::IP, &answer);
    seeds.add(
        Way::In,
        &name("raw-cut"),
        Input::IP,
        cut(&query, family.header_bytes() - 1),
    );

    for (rest, offset, bytes) in [
        ("wrong-version", 0, &[0x55][..]),
        ("udp-length-too-small", family.header_bytes() + 4, &[0, 7]),
        ("udp-length-zero", family.header_bytes() + 4, &[0, 0]),
    ] {
        let mut packet = query.clone();
        set(&mut packet, offset, bytes);
        seeds.add_ethernet(Way::In, family, rest, &packet);
    }

    // One byte short of the end of each header.
    let frame = ethernet(family, &[], &query);
    for (rest, length) in [
        ("cut-ip", 14 + family.header_bytes() - 1),
        ("cut-udp", 14 + family.header_bytes() + 7),
        ("cut-dns", frame.len() - 1),
    ] {
        seeds.add(Way::In, &name(rest), 0, cut(&frame, length));
    }
    add_tunnels(seeds, family, &query);
    add_local_source(seeds, family);
}

fn add_tunnels(seeds: &mut Seeds, family: Family, query: &[u8]) {
    let protocol = family.protocol();
    let gue_0 = [&[0, protocol, 0, 0][..], query].concat();
    let gue_0_optional = [&[1, protocol, 0, 0, 0, 0, 0, 0][..], query].concat();
    let gue_control = [&[0x20, protocol, 0, 0][..], query].concat();
    for outer in Family::ALL {
        let name = |rest: &str| format!("{}-in-{}-{rest}", family.name(), outer.name());
        let put = |ip: &[u8]| ethernet(outer, &[], ip);
        let gue = |payload: &[u8]| put(&outer.udp(Way::In, Input::GUE_PORT, payload));
        let tunnelled = outer.carrying(protocol, query);
        seeds.add(Way::In, &name("ipip"), Input::IP_IN_IP, &put(&tunnelled));
        seeds.add(Way::In, &name("ipip-not-looked-through"), 0, &put(&tunnelled));
        let twice = outer.carrying(outer.protocol(), &tunnelled);
        seeds.add(Way::In, &name("ipip-twice"), Input::IP_IN_IP, &put(&twice));
        seeds.add(Way::Out, &name("ipip"), Input::IP_IN_IP, &put(&tunnelled));
        seeds.add(Way::In, &name("gue-0"), Input::GUE, &gue(&gue_0));
        seeds.add(Way::In, &name("gue-0-optional"), Input::GUE, &gue(&gue_0_optional));
        seeds.add(Way::In, &name("gue-control"), Input::GUE, &gue(&gue_control));
        seeds.add(Way::In, &name("gue-1"), Input::GUE, &gue(query));
        seeds.add(Way::In, &name("gue-1-not-looked-through"), 0, &gue(query));
        seeds.add(Way::In, &name("gue-cut"), Input::GUE, &gue(cut(&gue_0, 3)));
    }
}

/// A query whose source is the service address itself.
fn add_local_source(seeds: &mut Seeds, family: Family) {
    let mut packet = family.udp(Way::In, 53, &QUERY);
    match family {
        Family::V4 => set(&mut packet, 12, &SERVICE),
        Family::V6 => set(&mut packet, 8, &SERVICE_V6),
    }
    seeds.add_ethernet(Way::In, family, "dns-query-from-service", &packet);
}

/// What only one family has, or none.
pub(super) fn add_others(seeds: &mut Seeds) {
    add_v4(seeds);
    add_v6(seeds);
    let mut arp = vec![2; 42];
    set(&mut arp, 12, &[0x08, 0x06]);
    seeds.add(Way::In, "arp", 0, &arp);
    seeds.add(Way::In, "empty", 0, &[]);
    seeds.add(Way::In, "raw-empty", Input::IP, &[]);
    seeds.add(Way::In, "raw-unknown-version", Input::IP, &arp);
    seeds.add(Way::In, "cut-ethernet", 0, cut(&arp, 13));
    let vlan = ethernet(Family::V4, &[VLAN], &[]);
    seeds.add(Way::In, "cut-vlan", 0, cut(&vlan, 17));
}

fn add_v4(seeds: &mut Seeds) {
    let query = Family::V4.udp(Way::In, 53, &QUERY);
    let answer = Family::V4.udp(Way::Out, 53, &ANSWER);
    // Router alert (RFC 2113).
    seeds.add_ethernet(Way::In, Family::V4, "options", &with_options(&query, &[148, 4, 0, 0]));
    seeds.add_ethernet(Way::Out, Family::V4, "options-full", &with_options(&answer, &[1; 40]));
    for (name, offset, bytes) in [
        ("first-fragment", 6, &[0x20, 0][..]),
        ("later-fragment", 6, &[0x20, 1]),
        ("last-fragment", 6, &[0, 1]),
        ("header-length-too-small", 0, &[0x44]),
        ("header-length-too-large", 0, &[0x4f]),
        ("total-length-too-small", 2, &[0, 19]),
        ("total-length-zero", 2, &[0, 0]),
    ] {
        let mut packet = query.clone();
        set(&mut packet, offset, bytes);
        seeds.add_ethernet(Way::In, Family::V4, name, &packet);
    }
}

fn add_v6(seeds: &mut Seeds) {
    /// Hop-by-hop options (RFC 8200) that are all padding.
    const fn padding(next: u8) -> [u8; 8] {
        [next, 0, 1, 4, 0, 0, 0, 0]
    }
    const fn fragment(next: u8, offset: u8) -> [u8; 8] {
        [next, 0, 0, offset, 0, 0, 0, 9]
    }
    let query = Family::V6.udp(Way::In, 53, &QUERY);
    let mut add = |name: &str, first: u8, extensions: &[&[u8]]| {
        let packet = extended(&query, first, &extensions.concat());
        seeds.add_ethernet(Way::In, Family::V6, name, &packet);
    };
    add("hop-by-hop", 0, &[&padding(UDP)]);
    add("destination-options-long", 60, &[&[UDP, 1], &[1; 14]]);
    add("routing", 43, &[&[UDP, 0, 4, 0, 0, 0, 0, 0]]);
    add("first-fragment", 44, &[&fragment(UDP, 1)]);
    add("later-fragment", 44, &[&fragment(UDP, 9)]);
    let chain = [padding(60), padding(43), padding(44), fragment(UDP, 0)];
    add("four-extensions", 0, &chain.each_ref().map(<[u8; 8]>::as_slice));
    add("five-extensions", 0, &[&[padding(0); 4].concat(), &padding(UDP)]);
    add("authentication-header", 51, &[&[UDP, 4], &[1; 22]]);
    add("no-next-header", 59, &[]);
    add("extension-beyond-the-end", 0, &[&[UDP, 255]]);
    let mut jumbogram = query.clone();
    set(&mut jumbogram, 4, &[0, 0]);
    seeds.add_ethernet(Way::In, Family::V6, "payload-length-zero", &jumbogram);
    let mut short = extended(&query, 0, &padding(UDP));
    set(&mut short, 4, &[0, 7]);
    seeds.add_ethernet(Way::In, Family::V6, "payload-length-too-small", &short);
}
