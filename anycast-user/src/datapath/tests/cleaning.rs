//! Pins that are of no use, and how everything is removed.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{
    datapath::{Cleaned, Which, cleanup},
    net::{Resident, resident},
};
use anycast_ebpf::layout::LAYOUT_VERSION;

fn clean(node: &Node<'_>) -> Cleaned {
    let mut cleaned = cleanup(node.bpffs, &Which::One(Node::instance())).unwrap();
    assert_eq!(cleaned.len(), 1);
    cleaned.remove(0)
}

/// All files below the bpffs that are ours.
fn pinned(node: &Node<'_>) -> Vec<String> {
    fn below(directory: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            found.push(entry.path().display().to_string());
            below(&entry.path(), found);
        }
    }
    let mut found = Vec::new();
    below(&node.bpffs.join("anycast-probe"), &mut found);
    found.sort();
    found
}

#[test]
fn cleanup_leaves_nothing() {
    on_a_node(|node| {
        for hook in [Hook::Xdp, Hook::Tc] {
            drop(node.start(hook));
            let cleaned = clean(node);
            assert!(cleaned.error.is_none(), "{cleaned:?}");
            assert_eq!(cleaned.detached.len(), 2, "{cleaned:?}");
            assert!(
                cleaned.unpinned.iter().any(|path| path.ends_with("BANK")),
                "{cleaned:?}"
            );
            assert_eq!(pinned(node), [""; 0]);
            assert!(!node.bpffs.join("anycast-probe").exists());
            assert_eq!(node.programs_of_tc(), 0);
            assert_eq!(node.now().xdp_programs, [0; 0]);
            assert_eq!(node.namespace.netlink().clsact_links().unwrap(), []);
            assert!(cleanup(node.bpffs, &Which::All).unwrap().is_empty());
        }
    });
}

#[test]
fn cleanup_keeps_its_hands_off_what_a_daemon_uses() {
    on_a_node(|node| {
        let (datapath, _) = node.start(Hook::Xdp);
        let before = pinned(node);
        let cleaned = clean(node);
        assert!(
            cleaned
                .error
                .is_some_and(|error| error.contains("another anycast-probe (process"))
        );
        assert_eq!(pinned(node), before);
        assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
        node.traffic();
        wait_for(&datapath.bank(), 1);
    });
}

#[test]
fn a_qdisc_goes_only_when_we_made_it_and_nobody_else_uses_it() {
    on_a_node(|node| {
        if !node.without_tcx {
            return;
        }
        let uplink = node.now();
        // Theirs.
        aya::programs::tc::qdisc_add_clsact("up0").unwrap();
        drop(node.start(Hook::Tc));
        assert_eq!(clean(node).clsact_removed, []);
        assert_eq!(node.namespace.netlink().clsact_links().unwrap(), [uplink.index]);
        node.namespace.netlink().delete_clsact(uplink.index).unwrap();
        assert_eq!(node.namespace.netlink().clsact_links().unwrap(), []);
        // Ours, with a filter of theirs on it.
        drop(node.start(Hook::Tc));
        let mut stranger = load_private().unwrap();
        stranger.hooks.without_tcx = true;
        node.attach(&mut stranger, Hook::Tc);
        assert_eq!(node.programs_of_tc(), 4);
        let cleaned = clean(node);
        assert_eq!(
            (cleaned.detached.len(), cleaned.clsact_removed.len()),
            (2, 0),
            "{cleaned:?}"
        );
        assert_eq!(node.programs_of_tc(), 2);
        assert!(stranger.is_in_place(&node.now()).unwrap());
        // Ours alone.
        drop(stranger);
        node.namespace.netlink().delete_clsact(uplink.index).unwrap();
        drop(node.start(Hook::Tc));
        assert_eq!(clean(node).clsact_removed, [uplink.index]);
    });
}

#[test]
fn another_layout_is_refused_and_left_alone() {
    on_a_node(|node| {
        drop(node.start(Hook::Xdp));
        let instance = node.bpffs.join("anycast-probe").join(Node::instance().to_string());
        std::fs::rename(instance.join(format!("v{LAYOUT_VERSION}")), instance.join("v0")).unwrap();
        let before = pinned(node);
        let refused = node.pins().unwrap_err();
        assert!(matches!(refused, PinsError::OtherLayout { found: 0, .. }), "{refused}");
        assert!(!refused.is_avoidable());
        let words = refused.to_string();
        assert!(
            words.contains("cleanup --link anycast0") && words.lines().count() == 1,
            "{words}"
        );
        assert_eq!(pinned(node), before);
        let found = inventory(node.bpffs).unwrap();
        assert!(matches!(&found[..], [found] if found.layout == 0 && !found.usable && found.attachments.len() == 2));
        let cleaned = clean(node);
        assert_eq!(cleaned.detached.len(), 2, "{cleaned:?}");
        node.start(Hook::Xdp);
    });
}

#[test]
fn a_map_of_another_size_is_refused_and_left_alone() {
    on_a_node(|node| {
        drop(node.start(Hook::Xdp));
        let pins = node.pins().unwrap();
        let refused = pins.maps(super::super::PROGRAMS, &[("BANK", 7)]).unwrap_err();
        assert!(
            matches!(&refused, PinsError::MapDiffers { path, .. } if path.ends_with("BANK")),
            "{refused}"
        );
        assert!(!refused.is_avoidable());
        drop(pins);
        assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
    });
}

#[test]
fn a_place_that_is_no_bpffs_is_said_to_be_none() {
    let place = tempfile::tempdir().unwrap();
    for path in [place.path(), &place.path().join("missing")] {
        let refused = Pins::open(path, Node::instance()).unwrap_err();
        assert!(
            matches!(refused, PinsError::NotBpffs(_)) && refused.is_avoidable(),
            "{refused}"
        );
        assert!(matches!(inventory(path), Err(PinsError::NotBpffs(_))));
        assert!(matches!(cleanup(path, &Which::All), Err(PinsError::NotBpffs(_))));
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn instances_do_not_touch_each_other() {
    on_a_node(|node| {
        let (first, _) = node.start(Hook::Xdp);
        let other = Instance::here("anycast1").unwrap();
        let pins = Pins::open(node.bpffs, other.clone()).unwrap();
        let mut second = Datapath::load_pinned(&services(), &LoadSettings::default(), Some(pins)).unwrap();
        second.hooks.without_tcx = node.without_tcx;
        let attached = node.attach(&mut second, Hook::Xdp);
        second.keep().unwrap();
        let refused = attached.refused.unwrap();
        assert!(
            refused.resident && refused.reason.contains("attach-status"),
            "{refused:?}"
        );
        node.traffic();
        wait_for(&first.bank(), 1);
        wait_for(&second.bank(), 1);
        drop(second);
        let cleaned = cleanup(node.bpffs, &Which::All).unwrap();
        let errors: Vec<bool> = cleaned.iter().map(|cleaned| cleaned.error.is_some()).collect();
        assert_eq!(errors, [true, false], "{cleaned:?}");
        assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
        assert!(first.is_in_place(&node.now()).unwrap());
    });
}

#[test]
fn what_another_instance_has_on_an_uplink_is_no_stranger() {
    on_a_node(|node| {
        // What it left, and what it has while it runs.
        for runs in [false, true] {
            let first = node.start(Hook::Xdp).0;
            let _first = runs.then_some(first);
            let pins = Pins::open(node.bpffs, Instance::here("anycast1").unwrap()).unwrap();
            let second = Datapath::load_pinned(&services(), &LoadSettings::default(), Some(pins)).unwrap();
            let uplink = node.now();
            assert_eq!(uplink.xdp_programs.len(), 1);
            // This process may not look at programs that it didn't load.
            assert!(matches!(resident(&uplink, &[]), Resident::Hidden { .. }));
            assert_eq!(resident(&uplink, &second.program_numbers()), Resident::Ours);
        }
    });
}

/// Makes what the instance has pinned that of another network namespace, out of sight from here.
fn move_elsewhere(node: &Node<'_>) -> std::path::PathBuf {
    let all = node.bpffs.join("anycast-probe");
    let elsewhere = all.join(format!("anycast0@{}", u64::MAX));
    std::fs::rename(all.join(Node::instance().to_string()), &elsewhere).unwrap();
    elsewhere
}

#[test]
fn filters_of_another_namespace_are_not_made_unknown() {
    on_a_node(|node| {
        drop(node.start(Hook::Tc));
        let elsewhere = move_elsewhere(node);
        let before = pinned(node);
        let cleaned = cleanup(node.bpffs, &Which::All).unwrap().remove(0);
        if node.without_tcx {
            let error = cleaned.error.unwrap_or_default();
            assert!(error.contains("another network namespace"), "{error}");
            assert_eq!((pinned(node), cleaned.detached), (before, Vec::new()));
            assert_eq!(node.programs_of_tc(), 2);
            // At home it goes.
            let home = elsewhere.with_file_name(Node::instance().to_string());
            std::fs::rename(&elsewhere, home).unwrap();
            assert!(clean(node).error.is_none());
        } else {
            assert!(cleaned.error.is_none(), "{cleaned:?}");
            assert!(!elsewhere.exists());
        }
        assert_eq!(node.programs_of_tc(), 0);
    });
}

#[test]
fn what_a_gone_namespace_left_is_removed_and_nothing_else() {
    on_a_node(|node| {
        drop(node.start(Hook::Xdp));
        let elsewhere = move_elsewhere(node);
        // Its programs are still attached.
        drop(node.pins().unwrap());
        assert!(elsewhere.exists());
        // The interfaces go with the namespace.
        node.namespace.delete_link(node.uplink.index);
        drop(node.pins().unwrap());
        assert_eq!(elsewhere.exists(), node.without_tcx, "filters may be out of sight");
    });
}

#[test]
fn a_qdisc_is_not_made_before_it_is_noted() {
    on_a_node(|node| {
        if !node.without_tcx {
            return;
        }
        let mut datapath = node.load();
        // The note can't be made: what is there belongs to anybody.
        let directory = inventory(node.bpffs).unwrap().remove(0).path;
        let note = directory.join(format!("clsact-{}", node.uplink.index));
        std::fs::create_dir(&note).unwrap();
        std::fs::set_permissions(&note, std::fs::Permissions::from_mode(0o777)).unwrap();
        let uplink = node.now();
        datapath.attach(&uplink, Hook::Tc, true).unwrap_err();
        assert_eq!(node.namespace.netlink().clsact_links().unwrap(), []);
    });
}
