use anycast_ebpf::{classify::Classifier, packet::Direction};
use etherparse::PacketBuilder;

use super::*;
use crate::{
    config::Hook,
    datapath::{LoadSettings, Service},
    discover::UplinkError,
    event::Names,
    net::framing,
    net::testing::{Namespace, bpf, in_namespace},
};

/// A daemon that watches what the routing table says, or `names`.
fn start(namespace: &mut Namespace, names: Option<&[&str]>) -> Option<Uplinks> {
    let service = Service::new([192, 0, 2, 53], 53, Classifier::DnsUdp);
    let datapath = match Datapath::load(&[service], &LoadSettings::default()) {
        Err(DatapathError::NotBuilt) => return None,
        loaded => loaded.unwrap(),
    };
    let mut config = Config::for_link("anycast0");
    config.hook = Hook::Xdp;
    config.uplinks = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let (links, routes) = (
        namespace.netlink().links().unwrap(),
        namespace.netlink().routes().unwrap(),
    );
    let found = uplinks(&config, &links, &routes);
    let teller = Teller::new(Names::default().into(), None);
    Some(Uplinks::start(datapath, &config, &found, Residents::default(), &teller).unwrap())
}

/// The uplinks that are watched, after a look; each has its programs in place.
fn look(uplinks: &mut Uplinks, namespace: &mut Namespace) -> Vec<String> {
    uplinks.look().unwrap();
    let watched: Vec<LinkIndex> = uplinks.watched.keys().copied().collect();
    assert!(
        uplinks.datapath.links().into_iter().eq(watched),
        "{:?}",
        uplinks.datapath.links()
    );
    let links = namespace.netlink().links().unwrap();
    uplinks
        .watched
        .iter()
        .map(|(index, watched)| {
            let link = links.iter().find(|link| link.index == *index).unwrap();
            assert!(uplinks.datapath.is_in_place(link).unwrap(), "{}", watched.name);
            watched.name.clone()
        })
        .collect()
}

/// An uplink as a look finds it.
fn found(link: Link) -> Uplink {
    Uplink {
        framing: framing(&link).map_err(UplinkError::from),
        link,
        native_xdp_is_calm: true,
    }
}

fn uplink(namespace: &mut Namespace, name: &str, gateway: &str) -> Link {
    let (link, _) = namespace.add_wire(name);
    let address = gateway.rsplit_once('.').unwrap().0;
    namespace.add_address(&link, &format!("{address}.1/24"));
    link
}

#[test]
fn uplinks_of_the_routing_table_are_followed() {
    in_namespace(|namespace| {
        let first = uplink(namespace, "up0", "10.0.0.2");
        namespace.add_default_route(&[("10.0.0.2", &first)]);
        let Some(mut uplinks) = start(namespace, None) else {
            return;
        };
        assert_eq!(look(&mut uplinks, namespace), ["up0"]);
        // One more.
        let second = uplink(namespace, "up1", "10.0.1.2");
        assert_eq!(look(&mut uplinks, namespace), ["up0"], "it has no route yet");
        namespace.add_route("10.1.0.0/16", "10.0.1.2", &second);
        assert_eq!(look(&mut uplinks, namespace), ["up0", "up1"]);
        // Gone, and with it its routes.
        namespace.delete_link(first.index);
        assert_eq!(look(&mut uplinks, namespace), ["up1"]);
        namespace.delete_link(second.index);
        assert_eq!(look(&mut uplinks, namespace), [""; 0]);
        assert!(uplinks.none);
        // Made again.
        let first = uplink(namespace, "up0", "10.0.0.2");
        namespace.add_default_route(&[("10.0.0.2", &first)]);
        assert_eq!(look(&mut uplinks, namespace), ["up0"]);
        assert!(!uplinks.none);
    });
}

#[test]
fn a_route_that_is_gone_for_a_moment_costs_nothing_and_one_that_moved_is_followed_at_once() {
    in_namespace(|namespace| {
        let first = uplink(namespace, "up0", "10.0.0.2");
        let second = uplink(namespace, "up1", "10.0.1.2");
        namespace.add_default_route(&[("10.0.0.2", &first)]);
        let Some(mut uplinks) = start(namespace, None) else {
            return;
        };
        // Down, a link loses its routes.
        namespace.set_up(first.index, false);
        assert_eq!(look(&mut uplinks, namespace), ["up0"]);
        assert!(uplinks.watched[&first.index].unwanted.is_some());
        namespace.set_up(first.index, true);
        namespace.add_default_route(&[("10.0.0.2", &first)]);
        assert_eq!(look(&mut uplinks, namespace), ["up0"]);
        assert!(uplinks.watched[&first.index].unwanted.is_none());
        namespace.set_up(first.index, false);
        namespace.add_default_route(&[("10.0.1.2", &second)]);
        assert_eq!(look(&mut uplinks, namespace), ["up1"]);
        // For good.
        namespace.set_up(second.index, false);
        assert_eq!(look(&mut uplinks, namespace), ["up1"]);
        let watched = uplinks.watched.get_mut(&second.index).unwrap();
        watched.unwanted = Some(MonotonicTime(0));
        assert_eq!(look(&mut uplinks, namespace), [""; 0]);
    });
}

#[test]
fn uplinks_by_name_are_followed_through_being_made_again_and_taken_off() {
    in_namespace(|namespace| {
        let (first, _) = namespace.add_wire("up0");
        namespace.add_wire("up1");
        let Some(mut uplinks) = start(namespace, Some(&["up0", "up1"])) else {
            return;
        };
        assert_eq!(look(&mut uplinks, namespace), ["up0", "up1"]);
        namespace.delete_link(first.index);
        assert_eq!(look(&mut uplinks, namespace), ["up1"]);
        namespace.add_wire("up0");
        assert_eq!(
            look(&mut uplinks, namespace),
            ["up1", "up0"],
            "in the order of their indices"
        );
        // Made again between two looks.
        let now = namespace.netlink().link("up0").unwrap();
        namespace.delete_link(now.index);
        namespace.add_wire("up0");
        assert_eq!(look(&mut uplinks, namespace), ["up1", "up0"]);
    });
}

#[test]
fn an_uplink_that_cannot_be_watched_is_remembered_and_tried_again() {
    in_namespace(|namespace| {
        let (first, _) = namespace.add_wire("up0");
        let Some(mut uplinks) = start(namespace, Some(&["up0"])) else {
            return;
        };
        // One that vanished between being seen and being attached to, and one of a kind that nobody knows.
        for (index, hardware_type) in [(4_000_000, first.hardware_type), (4_000_001, 0xfff)] {
            let link = Link {
                index: LinkIndex(index),
                name: "up9".to_owned(),
                hardware_type,
                ..first.clone()
            };
            let strange = found(link);
            for _ in 0..2 {
                uplinks.see_to(&strange);
                assert!(
                    uplinks.failing[&strange.link.index].contains("up9"),
                    "{:?}",
                    uplinks.failing
                );
            }
        }
        assert_eq!(look(&mut uplinks, namespace), ["up0"]);
        assert!(uplinks.failing.is_empty());
    });
}

#[test]
fn it_starts_with_the_uplinks_that_can_be_watched_and_not_without_any() {
    in_namespace(|namespace| {
        let (first, _) = namespace.add_wire("up0");
        // It vanished since it was seen.
        let gone = Link {
            index: LinkIndex(4_000_000),
            name: "up9".to_owned(),
            ..first.clone()
        };
        let config = Config::for_link("anycast0");
        let start = |uplinks: &[Uplink]| {
            let service = Service::new([192, 0, 2, 53], 53, Classifier::DnsUdp);
            let datapath = match Datapath::load(&[service], &LoadSettings::default()) {
                Err(DatapathError::NotBuilt) => return None,
                loaded => loaded.unwrap(),
            };
            let teller = Teller::new(Names::default().into(), None);
            Some(Uplinks::start(
                datapath,
                &config,
                uplinks,
                Residents::default(),
                &teller,
            ))
        };
        let Some(started) = start(&[found(gone.clone()), found(first)]) else {
            return;
        };
        let bypass = started.unwrap().bypass();
        assert!(
            bypass.as_ref().is_some_and(|reason| reason.contains("up9")),
            "{bypass:?}"
        );
        assert!(start(&[found(gone)]).unwrap().is_err());
    });
}

#[test]
fn as_long_as_an_uplink_cannot_be_watched_answers_may_leave_uncounted() {
    in_namespace(|namespace| {
        let (port, _far) = namespace.add_pair("up0", "far0");
        let Some(mut uplinks) = start(namespace, Some(&["up0", "br0"])) else {
            return;
        };
        assert_eq!(uplinks.look().unwrap(), None);
        // A second uplink that sees the packets of the first: refused.
        let bridge = namespace.add_link("br0", "bridge");
        namespace.set_master(port.index, bridge.index);
        let reason = uplinks.look().unwrap().unwrap();
        assert!(reason.contains("br0") && reason.contains("uncounted"), "{reason}");
        assert_eq!(reason.lines().count(), 1);
        namespace.delete_link(bridge.index);
        assert_eq!(uplinks.look().unwrap(), None);
    });
}

#[test]
fn an_uplink_that_cannot_be_watched_takes_no_others_place() {
    in_namespace(|namespace| {
        let first = uplink(namespace, "up0", "10.0.0.2");
        let second = uplink(namespace, "up1", "10.0.1.2");
        namespace.add_default_route(&[("10.0.0.2", &first)]);
        let Some(mut uplinks) = start(namespace, None) else {
            return;
        };
        assert_eq!(look(&mut uplinks, namespace), ["up0"]);
        namespace.set_up(first.index, false);
        let links = namespace.netlink().links().unwrap();
        let unwatchable = Uplink {
            framing: Err(UplinkError::InVrf { vrf: "red".to_owned() }),
            ..found(second.clone())
        };
        uplinks.leave(&links, &[unwatchable], MonotonicTime::now());
        assert!(uplinks.watched.contains_key(&first.index), "no packets can be read");
        uplinks
            .failing
            .insert(second.index, "no hook took the programs".to_owned());
        uplinks.leave(&links, &[found(second)], MonotonicTime::now());
        assert!(uplinks.watched.contains_key(&first.index), "no hook took the programs");
    });
}

#[test]
fn xdp_is_had_once_a_resident_has_gone_and_not_tried_for_one_on_a_device_above() {
    in_namespace(|namespace| {
        let (link, _) = namespace.add_wire("up0");
        let is_by_xdp = |namespace: &mut Namespace| !namespace.netlink().link("up0").unwrap().xdp_programs.is_empty();
        let resident = bpf::attach_xdp(link.index, "xdp_filter");
        let Some(mut uplinks) = start(namespace, Some(&["up0"])) else {
            return;
        };
        look(&mut uplinks, namespace);
        assert!(uplinks.watched[&link.index].waits_for_xdp);
        drop(resident);
        assert!(!is_by_xdp(namespace));
        look(&mut uplinks, namespace);
        assert!(is_by_xdp(namespace) && !uplinks.watched[&link.index].waits_for_xdp);

        drop(uplinks);
        let above = namespace.add_link_on("mv0", "macvlan", link.index);
        let resident = bpf::attach_xdp(above.index, "xdp_filter");
        let mut uplinks = start(namespace, Some(&["up0"])).unwrap();
        assert!(uplinks.watched[&link.index].waits_for_xdp, "the kernel refuses it");
        // Attaching again would make this anew.
        uplinks.watched.get_mut(&link.index).unwrap().unwanted = Some(MonotonicTime(0));
        let now = namespace.netlink().link("up0").unwrap();
        let found = found(now);
        uplinks.see_to(&found);
        assert!(uplinks.watched[&link.index].unwanted.is_some(), "it is left at tc");
        drop(resident);
    });
}

#[test]
fn what_cannot_be_seen_is_taken_to_be_in_place_and_told_once() {
    in_namespace(|namespace| {
        let (link, _) = namespace.add_wire("up0");
        let Some(mut uplinks) = start(namespace, Some(&["up0"])) else {
            return;
        };
        let now = namespace.netlink().link("up0").unwrap();
        let found = found(now);
        uplinks.see_to(&found);
        assert!(!uplinks.watched[&link.index].unseen);
        // It goes between being seen and being looked at.
        namespace.delete_link(link.index);
        uplinks.see_to(&found);
        assert!(uplinks.watched[&link.index].unseen);
    });
}

#[test]
fn an_address_of_the_host_that_is_new_is_no_client_s() {
    in_namespace(|namespace| {
        let link = uplink(namespace, "up0", "10.0.0.2");
        let Some(mut uplinks) = start(namespace, Some(&["up0"])) else {
            return;
        };
        let mut frame = Vec::new();
        let udp = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 99], [192, 0, 2, 53], 64)
            .udp(1024, 53);
        udp.write(&mut frame, &[0; 12]).unwrap();
        // Queries, and packets from the host's own addresses.
        let sent_and_counted = |uplinks: &mut Uplinks| {
            uplinks.datapath.test_run(Direction::Ingress, &frame).unwrap();
            let reading = uplinks.datapath.bank().read(0);
            (reading.queries, reading.local_sources)
        };
        assert_eq!(sent_and_counted(&mut uplinks), (1, 0));
        namespace.add_address(&link, "10.0.0.99/32");
        look(&mut uplinks, namespace);
        assert_eq!(sent_and_counted(&mut uplinks), (1, 1));
    });
}

#[test]
fn answers_pass_the_counters_only_while_nothing_is_missing_or_in_front_of_them() {
    in_namespace(|namespace| {
        let (link, _) = namespace.add_wire("up0");
        let Some(mut uplinks) = start(namespace, Some(&["up0"])) else {
            return;
        };
        assert!(!uplinks.answers_pass(), "by what they leave is not known yet");
        uplinks.look().unwrap();
        assert!(!uplinks.answers_pass(), "nobody has asked before");
        assert!(uplinks.answers_pass());
        uplinks.look().unwrap();
        assert!(uplinks.answers_pass());
        // Put back before anybody has asked.
        uplinks.datapath.detach(link.index).unwrap();
        uplinks.look().unwrap();
        assert!(!uplinks.answers_pass(), "something left uncounted meanwhile");
        assert!(uplinks.answers_pass());
        // Missing as they ask, and put back.
        uplinks.datapath.detach(link.index).unwrap();
        assert!(!uplinks.answers_pass());
        uplinks.look().unwrap();
        assert!(!uplinks.answers_pass());
        assert!(uplinks.answers_pass());
        // Another one, which comes first.
        let mut stranger = Datapath::load(&[], &LoadSettings::default()).unwrap();
        stranger.attach(&link, Hook::Tc, true).unwrap();
        assert!(!uplinks.answers_pass());
        drop(stranger);
        assert!(!uplinks.answers_pass());
        assert!(uplinks.answers_pass());
        // What led to the uplink only leads elsewhere too.
        let (other, _) = namespace.add_wire("up1");
        let bridge = namespace.add_link("br0", "bridge");
        namespace.set_master(link.index, bridge.index);
        uplinks.look().unwrap();
        assert!(!uplinks.answers_pass(), "by what they leave was another thing");
        assert!(uplinks.answers_pass());
        namespace.set_master(other.index, bridge.index);
        assert!(!uplinks.answers_pass());
        uplinks.look().unwrap();
        assert!(!uplinks.answers_pass());
        assert!(uplinks.answers_pass());
        namespace.delete_link(link.index);
        assert!(!uplinks.answers_pass());
    });
}
