//! Uplinks and what is on them, changing under a running process or between two.

use super::*;

#[test]
fn the_hook_can_change_under_a_running_process() {
    on_a_node(|node| {
        let (mut datapath, _) = node.start(Hook::Tc);
        let mut count = 0;
        for hook in [
            Hook::Xdp,
            Hook::XdpGeneric,
            Hook::Tc,
            Hook::XdpGeneric,
            Hook::Xdp,
            Hook::Xdp,
        ] {
            let attached = node.attach(&mut datapath, hook);
            assert!(attached.refused.is_none() && !attached.taken_over, "{attached:?}");
            assert!(datapath.is_in_place(&node.now()).unwrap());
            assert_eq!(node.attachments(), node.watched_by(hook));
            node.traffic();
            count += 1;
            wait_for(&datapath.bank(), count);
        }
    });
}

#[test]
fn an_xdp_program_of_somebody_else_is_gone_round_and_its_place_taken_once_it_is_free() {
    on_a_node(|node| {
        for starts_anew in [false, true] {
            let uplink = node.now();
            let stranger = stranger(&uplink);
            let (mut datapath, attached) = node.start(Hook::Xdp);
            assert!(attached.refused.is_some_and(|refused| refused.resident));
            assert_eq!(node.attachments(), node.watched_by(Hook::Tc));
            let in_the_way = node.now().xdp_programs;
            // Trying again is no harm.
            if starts_anew {
                drop(datapath);
                datapath = node.start(Hook::Xdp).0;
            } else {
                node.attach(&mut datapath, Hook::Xdp);
            }
            assert_eq!(node.now().xdp_programs, in_the_way);
            let before = datapath.bank().read(0).queries;
            node.traffic();
            wait_for(&datapath.bank(), before + 1);
            drop(stranger);
            let attached = node.attach(&mut datapath, Hook::Xdp);
            assert_eq!(attached.refused, None);
            assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
            node.traffic();
            wait_for(&datapath.bank(), before + 2);
            datapath.detach(uplink.index).unwrap();
        }
    });
}

/// A program of somebody else, in the driver of `uplink` as long as this lives.
fn stranger(uplink: &Link) -> Datapath {
    let mut stranger = load_private().unwrap();
    stranger.attach(uplink, Hook::Xdp, true).unwrap();
    stranger.detach_tc(uplink.index);
    stranger
}

#[test]
fn a_program_that_was_taken_off_is_missed_and_put_back() {
    on_a_node(|node| {
        for hook in [Hook::Xdp, Hook::Tc] {
            let (mut datapath, _) = node.start(hook);
            for point in HookPoint::ALL {
                if datapath.hooks.get(node.uplink.index, point).is_none() {
                    continue;
                }
                assert!(datapath.is_in_place(&node.now()).unwrap());
                take_off(node, point);
                assert!(!datapath.is_in_place(&node.now()).unwrap(), "{point:?}");
                node.attach(&mut datapath, hook);
                assert!(datapath.is_in_place(&node.now()).unwrap(), "{point:?}");
                assert_eq!(node.attachments(), node.watched_by(hook));
            }
            let queries = datapath.bank().read(0).queries;
            node.traffic();
            wait_for(&datapath.bank(), queries + 1);
            datapath.detach(node.uplink.index).unwrap();
        }
    });
}

#[test]
fn whoever_comes_before_the_count_of_answers_is_seen() {
    on_a_node(|node| {
        let (mut datapath, _) = node.start(Hook::Tc);
        assert!(datapath.sees_answers_first(&node.now()).unwrap());
        for without_tcx in [false, true] {
            let mut stranger = load_private().unwrap();
            // A filter comes after all programs of TCX.
            stranger.hooks.without_tcx = without_tcx;
            let comes_first = node.without_tcx || !without_tcx;
            stranger.attach(&node.now(), Hook::Tc, true).unwrap();
            assert_eq!(datapath.sees_answers_first(&node.now()).unwrap(), !comes_first);
            assert!(
                datapath.is_in_place(&node.now()).unwrap(),
                "which is no reason to drive it away"
            );
            drop(stranger);
            assert!(datapath.sees_answers_first(&node.now()).unwrap());
        }
        take_off(node, HookPoint::TcEgress);
        assert!(!datapath.sees_answers_first(&node.now()).unwrap());
        datapath.detach(node.uplink.index).unwrap();
        assert!(!datapath.sees_answers_first(&node.now()).unwrap());
    });
}

/// What an operator does with `bpftool link detach`, or with `tc filter del`.
fn take_off(node: &mut Node<'_>, point: HookPoint) {
    let index = node.uplink.index;
    if node.without_tcx && matches!(point, HookPoint::TcIngress | HookPoint::TcEgress) {
        let netlink = node.namespace.netlink();
        for filter in netlink.filters(index, point.side()).unwrap() {
            netlink.delete_filter(&filter).unwrap();
        }
    } else {
        let found = inventory(node.bpffs).unwrap();
        let pin = found[0].path.join(format!("link-{index}-{}", point.name()));
        KernelLink::open(&pin).unwrap().detach().unwrap();
    }
}

#[test]
fn what_is_left_of_an_uplink_that_is_gone_is_removed() {
    on_a_node(|node| {
        drop(node.start(Hook::Xdp));
        let old = node.uplink.index;
        node.namespace.delete_link(old);
        // Made again under the same name, it is another one.
        let (uplink, peer) = node.namespace.add_wire("up0");
        assert_ne!(uplink.index, old);
        (node.uplink, node.peer) = (uplink, peer);
        let datapath = node.load();
        assert!(datapath.links().is_empty());
        assert_eq!(node.attachments(), [""; 0]);
        drop(datapath);
        let (datapath, attached) = node.start(Hook::Xdp);
        assert!(!attached.taken_over);
        assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
        node.traffic();
        wait_for(&datapath.bank(), 1);
    });
}

#[test]
fn an_uplink_that_vanishes_under_a_running_process_is_let_go() {
    on_a_node(|node| {
        for hook in [Hook::Xdp, Hook::Tc] {
            let (mut datapath, _) = node.start(hook);
            let old = node.uplink.index;
            node.namespace.delete_link(old);
            datapath.detach(old).unwrap();
            assert!(datapath.links().is_empty());
            let (uplink, peer) = node.namespace.add_wire("up0");
            (node.uplink, node.peer) = (uplink, peer);
            node.attach(&mut datapath, hook);
            assert_eq!(node.attachments(), node.watched_by(hook));
            datapath.detach(node.uplink.index).unwrap();
        }
    });
}

#[test]
fn a_second_filter_of_ours_is_removed() {
    on_a_node(|node| {
        if !node.without_tcx {
            return;
        }
        let (mut datapath, _) = node.start(Hook::Tc);
        // As a process would that lost its memory of the first.
        std::mem::forget(datapath.hooks.take(node.uplink.index, HookPoint::TcEgress));
        node.attach(&mut datapath, Hook::Tc);
        assert_eq!(node.programs_of_tc(), 3);
        drop(datapath);
        let (datapath, _) = node.start(Hook::Tc);
        assert_eq!(node.programs_of_tc(), 2);
        node.traffic();
        wait_for(&datapath.bank(), 1);
    });
}

#[test]
fn what_can_not_be_detached_now_is_still_known() {
    on_a_node(|node| {
        let (mut datapath, _) = node.start(Hook::Tc);
        let index = node.uplink.index;
        // In the place of the pin is what is no pin. That the kernel doesn't remove a filter can't be had on demand.
        if !node.without_tcx {
            let pin = inventory(node.bpffs).unwrap()[0]
                .path
                .join(format!("link-{index}-tc-egress"));
            std::fs::remove_file(&pin).unwrap();
            std::fs::create_dir(&pin).unwrap();
            datapath.detach(index).unwrap_err();
            assert!(datapath.links().contains(&index), "it is tried again");
            std::fs::remove_dir(&pin).unwrap();
        }
        datapath.detach(index).unwrap();
        assert!(datapath.links().is_empty());
        assert_eq!(node.programs_of_tc(), 0);
    });
}

#[test]
fn a_hook_that_counts_nothing_is_not_in_place() {
    on_a_node(|node| {
        let (mut datapath, _) = node.start(Hook::Xdp);
        // As where the change from another hook came to nothing half way.
        datapath.exchange(&node.now(), HookPoint::Xdp, BASELINE_XDP).unwrap();
        assert!(!datapath.is_in_place(&node.now()).unwrap());
        node.attach(&mut datapath, Hook::Xdp);
        assert!(datapath.is_in_place(&node.now()).unwrap());
        node.traffic();
        wait_for(&datapath.bank(), 1);
    });
}

#[test]
fn without_its_directory_of_pins_a_running_process_goes_on() {
    on_a_node(|node| {
        for hook in [Hook::Xdp, Hook::Tc] {
            let (mut datapath, _) = node.start(hook);
            assert!(datapath.is_pinned());
            let all = node.bpffs.join("anycast-probe");
            std::fs::remove_dir_all(&all).unwrap();
            assert!(!datapath.is_pinned());
            assert!(datapath.is_in_place(&node.now()).unwrap(), "it holds its links itself");
            // What is held without a pin can be detached all the same, at once.
            datapath.detach(node.uplink.index).unwrap();
            assert_eq!((node.now().xdp_programs, node.programs_of_tc()), (Vec::new(), 0));
            // An uplink that comes later is watched, for as long as this process is there.
            node.attach(&mut datapath, hook);
            assert!(datapath.is_in_place(&node.now()).unwrap());
            node.traffic();
            wait_for(&datapath.bank(), 1);
            // Another process makes its own directory, which is none of this one's business.
            let other = node.pins().unwrap();
            assert!(!datapath.is_pinned());
            drop(datapath);
            assert_eq!((node.now().xdp_programs, node.programs_of_tc()), (Vec::new(), 0));
            drop(other);
            assert!(!all.exists());
        }
    });
}
