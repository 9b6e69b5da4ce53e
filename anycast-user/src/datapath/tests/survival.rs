//! From one process to the next.

use super::*;

const HOOKS: [Hook; 3] = [Hook::Xdp, Hook::XdpGeneric, Hook::Tc];

#[test]
fn programs_go_on_counting_and_the_next_process_takes_over() {
    on_a_node(|node| {
        for hook in HOOKS {
            let (first, attached) = node.start(hook);
            assert!(!attached.taken_over);
            node.traffic();
            wait_for(&first.bank(), 1);
            let before = links(node);
            // However a process ends, this is all that the kernel sees of it.
            drop(first);
            assert_eq!(node.attachments(), node.watched_by(hook));
            node.traffic();

            let second = node.load();
            // Nobody has attached anything: what counts is what was left.
            wait_for(&second.bank(), 2);
            node.traffic();
            wait_for(&second.bank(), 3);
            let mut second = second;
            let attached = node.attach(&mut second, hook);
            assert!(attached.taken_over && attached.refused.is_none(), "{attached:?}");
            assert!(second.is_in_place(&node.now()).unwrap());
            node.traffic();
            wait_for(&second.bank(), 4);
            assert_eq!(node.attachments(), node.watched_by(hook));
            assert_eq!(
                links(node),
                before,
                "the links are the same, only their programs are new"
            );
            second.keep().unwrap();
            let programs = if hook == Hook::Tc { 2 } else { 1 };
            let expected = if node.without_tcx { programs } else { 0 };
            assert_eq!(
                pinned_programs(node),
                expected,
                "those of the first process are not needed any more"
            );
            second.detach(node.uplink.index).unwrap();
            drop(second);
            clear(node);
        }
    });
}

#[test]
fn the_hook_can_change_from_one_process_to_the_next() {
    on_a_node(|node| {
        let mut count = 0;
        for hook in [
            Hook::Tc,
            Hook::Xdp,
            Hook::XdpGeneric,
            Hook::Tc,
            Hook::XdpGeneric,
            Hook::Xdp,
            Hook::Tc,
        ] {
            let (datapath, _) = node.start(hook);
            assert_eq!(node.attachments(), node.watched_by(hook));
            node.traffic();
            count += 1;
            wait_for(&datapath.bank(), count);
        }
    });
}

#[test]
fn a_first_start_that_comes_to_nothing_leaves_nothing() {
    on_a_node(|node| {
        let mut datapath = node.load();
        node.attach(&mut datapath, Hook::Xdp);
        assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
        drop(datapath);
        assert_eq!(node.attachments(), [""; 0]);
        assert!(!node.bpffs.join("anycast-probe").exists());
        // Nor is anything on the uplink, which the inventory would not know of.
        assert_eq!(node.now().xdp_programs, [0; 0]);
        assert_eq!(node.namespace.netlink().clsact_links().unwrap(), []);
    });
}

#[test]
fn a_later_start_that_comes_to_nothing_leaves_what_was_there() {
    on_a_node(|node| {
        drop(node.start(Hook::Xdp));
        drop(node.load());
        assert_eq!(node.attachments(), node.watched_by(Hook::Xdp));
    });
}

#[test]
fn without_pins_everything_ends_with_the_process() {
    on_a_node(|node| {
        for hook in HOOKS {
            let mut datapath = load_private().unwrap();
            datapath.hooks.without_tcx = node.without_tcx;
            let attached = node.attach(&mut datapath, hook);
            let egress = if node.without_tcx {
                EgressHook::Clsact
            } else {
                EgressHook::Tcx
            };
            assert_eq!((attached.egress, attached.taken_over), (egress, false));
            assert!(datapath.is_in_place(&node.now()).unwrap());
            datapath.keep().unwrap();
            node.traffic();
            wait_for(&datapath.bank(), 1);
            drop(datapath);
            assert_eq!(node.now().xdp_programs, [0; 0]);
            assert_eq!(node.programs_of_tc(), 0);
        }
    });
}

#[test]
fn one_process_at_a_time_has_the_pins() {
    on_a_node(|node| {
        let (first, _) = node.start(Hook::Xdp);
        let me = std::process::id().cast_signed();
        let refused = node.pins().unwrap_err();
        assert!(
            matches!(&refused, PinsError::InUse { pid: Some(pid), .. } if *pid == me),
            "{refused}"
        );
        assert!(refused.is_avoidable());
        assert_eq!(inventory(node.bpffs).unwrap()[0].daemon, Some(me));
        drop(first);
        assert_eq!(inventory(node.bpffs).unwrap()[0].daemon, None);
        node.pins().unwrap();
    });
}

/// The kernel's numbers of the links that are pinned.
fn links(node: &Node<'_>) -> Vec<Option<u32>> {
    let found = inventory(node.bpffs).unwrap();
    found
        .iter()
        .flat_map(|instance| &instance.attachments)
        .map(|attachment| attachment.link)
        .collect()
}

fn pinned_programs(node: &Node<'_>) -> usize {
    let directory = inventory(node.bpffs).unwrap().remove(0).path;
    let names = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("program-"))
        .count()
}

fn clear(node: &Node<'_>) {
    let which = crate::datapath::Which::One(Node::instance());
    crate::datapath::cleanup(node.bpffs, &which).unwrap();
}
