use super::*;
use crate::net::testing::{Namespace, bpf, in_namespace, without_admin};

fn uplink(namespace: &mut Namespace) -> Link {
    namespace.netlink().link("up0").unwrap()
}

#[test]
fn who_is_on_the_hook_is_recognised() {
    in_namespace(|namespace| {
        let (link, _far) = namespace.add_pair("up0", "far0");
        assert_eq!(resident(&link, &[]), Resident::None);
        let other = bpf::attach_xdp(link.index, "somebody");
        let there = uplink(namespace);
        let name = "somebody".to_owned();
        assert_eq!(resident(&there, &[]), Resident::Program { id: other.id, name });
        assert_eq!(resident(&there, &[other.id]), Resident::Ours);
        drop(other);
        assert_eq!(resident(&uplink(namespace), &[]), Resident::None);

        let dispatcher = bpf::attach_xdp(link.index, "xdp_dispatcher");
        let found = resident(&uplink(namespace), &[]);
        assert_eq!(found, Resident::Dispatcher { id: dispatcher.id });
        assert!(found.is_foreign() && !found.may_bypass());
    });
}

#[test]
fn an_af_xdp_server_is_recognised() {
    in_namespace(|namespace| {
        let (link, _far) = namespace.add_pair("up0", "far0");
        let server = bpf::attach_af_xdp(link.index, "xsk_def_prog");
        let found = resident(&uplink(namespace), &[]);
        let name = "xsk_def_prog".to_owned();
        assert_eq!(found, Resident::AfXdp { id: server.id, name });
        assert!(found.may_bypass());
    });
}

#[test]
fn a_program_is_ours_by_its_name_and_map() {
    in_namespace(|namespace| {
        let (link, _far) = namespace.add_pair("up0", "far0");
        let ours = bpf::attach_xdp_with_map(link.index, "ingress_xdp", "BANK");
        assert_eq!(resident(&uplink(namespace), &[]), Resident::Ours);
        drop(ours);
        let namesake = bpf::attach_xdp_with_map(link.index, "ingress_xdp", "OTHER");
        let found = resident(&uplink(namespace), &[]);
        assert!(matches!(found, Resident::Program { .. }), "{found:?}");
        drop(namesake);
    });
}

#[test]
fn without_the_privilege_to_look_a_stranger_is_hidden_and_our_own_is_not() {
    in_namespace(|namespace| {
        let (link, _far) = namespace.add_pair("up0", "far0");
        let other = bpf::attach_xdp(link.index, "somebody");
        let there = uplink(namespace);
        without_admin(|| {
            let found = resident(&there, &[]);
            assert_eq!(found, Resident::Hidden { id: other.id });
            assert!(found.may_bypass());
            assert_eq!(resident(&there, &[other.id]), Resident::Ours);
        });
    });
}

#[test]
fn an_af_xdp_server_under_a_dispatcher_is_recognised() {
    let program = |id, name: &str, serves_af_xdp| Program {
        id,
        name: name.as_bytes().to_vec(),
        serves_af_xdp,
        has_our_map: false,
    };
    let filter = program(2, "xdp_filter", false);
    let server = program(3, "xsk_def_prog", true);
    let judge = |name, extensions: &[&Program]| {
        program(1, name, false).judge(extensions.iter().map(|&extension| extension.clone()))
    };
    assert_eq!(judge("xdp_dispatcher", &[&filter]), Resident::Dispatcher { id: 1 });
    let name = "xsk_def_prog".to_owned();
    assert_eq!(
        judge("xdp_dispatcher", &[&filter, &server]),
        Resident::AfXdp { id: 3, name }
    );
    let name = "xdp_filter".to_owned();
    assert_eq!(
        judge("xdp_filter", &[&server]),
        Resident::Program { id: 1, name },
        "it calls none"
    );
}

#[test]
fn the_one_that_matters_most_is_told() {
    let one = Resident::Program {
        id: 9,
        name: "z".to_owned(),
    };
    let other = Resident::AfXdp {
        id: 1,
        name: "a".to_owned(),
    };
    assert!(Resident::None < Resident::Ours && Resident::Ours < one && one < other);
}
