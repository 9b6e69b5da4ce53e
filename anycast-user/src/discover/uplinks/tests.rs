use anycast_ebpf::packet::Tunnels;

use super::*;
use crate::net::testing::{Tun, in_namespace, link};
use crate::net::{LinkIndex, NextHop};

fn on(index: u32, name: &str, kind: &str, lower: u32) -> Link {
    Link {
        lower: Some(LinkIndex(lower)),
        ..link(index, name, Some(kind))
    }
}

fn port(index: u32, name: &str, master: u32) -> Link {
    Link {
        master: Some(LinkIndex(master)),
        ..link(index, name, None)
    }
}

fn named(names: &[&str]) -> Config {
    Config {
        uplinks: Some(names.iter().map(|&name| name.to_owned()).collect()),
        ..Config::for_link("anycast0")
    }
}

/// A route by way of each of these links.
fn routes(links: &[u32]) -> Vec<Route> {
    let route = |&link: &u32| Route {
        prefix_length: 0,
        next_hops: vec![NextHop {
            link: LinkIndex(link),
            gateway: true,
        }],
    };
    links.iter().map(route).collect()
}

fn names(uplinks: &[Uplink]) -> String {
    let names: Vec<&str> = uplinks.iter().map(|uplink| uplink.link.name.as_str()).collect();
    names.join(" ")
}

fn host() -> Vec<Link> {
    vec![
        link(2, "eth0", None),
        on(3, "eth0.5", "vlan", 2),
        on(4, "eth0.6", "vlan", 2),
        link(5, "br0", Some("bridge")),
        port(6, "eth1", 5),
        on(7, "ipip0", "ipip", 2),
        on(8, "br0.7", "vlan", 5),
    ]
}

#[test]
fn of_stacked_ones_that_routes_lead_to_the_one_that_sees_all_is_kept() {
    let config = Config::for_link("anycast0");
    let found = candidates(&config, &host(), &routes(&[2, 3, 4, 5, 6, 7]));
    let (kept, taken_out) = one_level(&config, found, &host());
    assert_eq!(names(&kept), "eth0 br0 ipip0");
    kept.iter().try_for_each(Uplink::check).unwrap();
    assert_eq!(
        taken_out,
        [
            "routes lead to eth0.5 and to eth0, and eth0 sees the packets of both: counting there only",
            "routes lead to eth0.6 and to eth0, and eth0 sees the packets of both: counting there only",
            "routes lead to br0 and to eth1, and br0 sees the packets of both: counting there only",
        ]
    );
    assert_eq!(names(&uplinks(&config, &host(), &routes(&[3, 4]))), "eth0.5 eth0.6");
}

#[test]
fn stacked_ones_that_were_named_are_refused_with_both_names() {
    let refused = |config: &Config, routes: &[Route]| {
        let uplinks = uplinks(config, &host(), routes);
        uplinks
            .iter()
            .find_map(|uplink| uplink.check().err())
            .unwrap()
            .to_string()
    };
    let error = refused(&named(&["eth0", "eth0.5"]), &[]);
    assert!(
        error.starts_with("uplink `eth0.5`: it lies on `eth0`") && error.contains("name only `eth0`"),
        "{error}"
    );
    let error = refused(&named(&["eth1", "br0"]), &[]);
    assert!(
        error.starts_with("uplink `br0`: it lies on `eth1`") && error.contains("name only `br0`"),
        "{error}"
    );
    // A port sees a part of the bridge, and a VLAN on it another one.
    for (config, routes) in [
        (named(&["eth1", "br0.7"]), Vec::new()),
        (Config::for_link("anycast0"), routes(&[6, 8])),
    ] {
        let error = refused(&config, &routes);
        assert!(
            error.starts_with("uplink `br0.7`: it lies on `eth1`") && error.contains("between them"),
            "{error}"
        );
    }
    assert_eq!(
        names(&uplinks(&named(&["eth0.6", "eth0.5", "no-such"]), &host(), &[])),
        "eth0.6 eth0.5"
    );
}

#[test]
fn a_tunnel_over_an_uplink_counts_twice_only_when_it_is_looked_through() {
    let kept = |tunnels| {
        let config = Config {
            encapsulation: tunnels,
            ..Config::for_link("anycast0")
        };
        names(&uplinks(&config, &host(), &routes(&[2, 7])))
    };
    let nothing = Tunnels::default();
    assert_eq!(kept(nothing), "eth0 ipip0");
    let gue_port = 6080;
    assert_eq!(kept(Tunnels { gue_port, ..nothing }), "eth0");
    let ip_in_ip = true;
    assert_eq!(kept(Tunnels { ip_in_ip, ..nothing }), "eth0");
}

#[test]
fn vrfs_are_refused() {
    let links = [
        link(2, "vrf0", Some("vrf")),
        port(3, "eth0", 2),
        Link {
            master: Some(LinkIndex(2)),
            ..link(4, "br0", Some("bridge"))
        },
        port(5, "eth1", 4),
        link(6, "eth2", None),
    ];
    for uplink in &links[..4] {
        let found = uplinks(&named(&[uplink.name.as_str()]), &links, &[]);
        let error = found[0].check().unwrap_err().to_string();
        let expected = format!("uplink `{}`: it belongs to the VRF `vrf0`", uplink.name);
        assert!(error.starts_with(&expected), "{error}");
    }
    uplinks(&named(&["eth2"]), &links, &[])[0].check().unwrap();
    let circle = [port(3, "a", 4), port(4, "b", 3)];
    assert_eq!(vrf_of(&circle[0], &circle), None);
}

#[test]
fn unknown_hardware_is_refused_by_name() {
    let infiniband = Link {
        hardware_type: libc::ARPHRD_INFINIBAND,
        ..link(2, "ib0", None)
    };
    let found = uplinks(&named(&["ib0"]), &[infiniband], &[]);
    let error = found[0].check().unwrap_err().to_string();
    assert!(error.starts_with("uplink `ib0`: its hardware type is 32"), "{error}");
    assert!(!found[0].native_xdp_is_calm);
}

#[test]
fn real_uplinks_are_examined() {
    in_namespace(|namespace| {
        namespace.add_pair("up0", "far0");
        namespace.add_link("br0", "bridge");
        let Some(_tun) = Tun::open("up1", libc::IFF_TUN) else {
            return;
        };
        let links = namespace.netlink().links().unwrap();
        let seen: Vec<_> = uplinks(&named(&["up0", "br0", "up1"]), &links, &[])
            .into_iter()
            .map(|uplink| (uplink.framing, uplink.native_xdp_is_calm))
            .collect();
        assert_eq!(
            seen,
            [
                (Ok(Framing::Ethernet), true),
                (Ok(Framing::Ethernet), false),
                (Ok(Framing::Ip), false)
            ]
        );
    });
}
