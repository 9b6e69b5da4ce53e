//! Strangers on the XDP hooks of the uplinks: met before anything is touched, and watched for afterwards. And what is
//! told of a plan that can't be followed wholly.

use crate::{
    discover::{Plan, Residents, Uplink},
    event::{Notice, UplinkAlert},
    net::Link,
    report::Teller,
};

/// Looks who is on the XDP hooks of the uplinks, and tells. Nobody there keeps the daemon from starting, armed or not: a
/// link that an earlier run has withdrawn has to come back.
///
/// `ours` are the numbers of this tool's programs, also of those that an earlier run has left there.
pub(super) fn meet(plan: &Plan, ours: &[u32], teller: &Teller) -> Residents {
    let mut residents = Residents::default();
    look_at_all(&mut residents, &plan.uplinks, ours, teller);
    residents
}

/// Tells of the services that are only watched.
pub(super) fn tell_watch_only(plan: &Plan, bypass: Option<&str>, teller: &Teller) {
    for planned in &plan.links {
        for service in &planned.services {
            let own = service.watch_only().map(|reason| reason.to_string());
            if let Some(reason) = bypass.or(own.as_deref()) {
                teller.notice(&Notice::WatchOnly {
                    link: &planned.link.name,
                    service: &service.name,
                    address: service.address,
                    reason,
                });
            }
        }
    }
}

/// Tells of configured uplinks that are not there. Nothing leaves by one that does not exist, so the others are enough.
pub(super) fn tell_missing(plan: &Plan, teller: &Teller) {
    for uplink in &plan.missing_uplinks {
        teller.notice(&Notice::UplinkAlert {
            kind: UplinkAlert::Missing,
            uplink: Some(uplink),
            reason: "there is no such interface: is the name right? It is watched as soon as it is there",
        });
    }
}

/// Looks at `uplinks`, which are all that there are.
pub(super) fn look_at_all(residents: &mut Residents, uplinks: &[Uplink], ours: &[u32], teller: &Teller) {
    residents.forget_but(|index| uplinks.iter().any(|uplink| uplink.link.index == index));
    for uplink in uplinks {
        look(residents, &uplink.link, ours, teller);
    }
}

fn look(residents: &mut Residents, uplink: &Link, ours: &[u32], teller: &Teller) {
    if let Some(resident) = residents.look(uplink, ours) {
        teller.notice(&Notice::Resident {
            uplink: &uplink.name,
            resident,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anycast_ebpf::packet::Framing;

    use super::*;
    use crate::{
        event::Names,
        net::testing::{Namespace, bpf, in_namespace},
    };

    fn plan(namespace: &mut Namespace) -> Plan {
        let (link, _far) = namespace.add_pair("up0", "far0");
        Plan {
            links: Vec::new(),
            uplinks: vec![Uplink {
                framing: Ok(Framing::Ethernet),
                native_xdp_is_calm: true,
                link,
            }],
            missing_uplinks: Vec::new(),
            local_addresses: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn look_again(namespace: &mut Namespace, plan: &mut Plan) {
        plan.uplinks[0].link = namespace.netlink().link("up0").unwrap();
    }

    fn teller() -> Teller {
        Teller::new(Arc::new(Names::default()), None)
    }

    #[test]
    fn an_af_xdp_server_may_bypass_and_a_filter_does_not() {
        in_namespace(|namespace| {
            let mut plan = plan(namespace);
            let index = plan.uplinks[0].link.index;
            let filter = bpf::attach_xdp(index, "xdp_filter");
            look_again(namespace, &mut plan);
            assert_eq!(meet(&plan, &[], &teller()).bypass(), None);
            drop(filter);

            let server = bpf::attach_af_xdp(index, "xsk_def_prog");
            look_again(namespace, &mut plan);
            let reason = meet(&plan, &[], &teller()).bypass().unwrap();
            assert!(reason.contains("up0") && reason.contains("`xsk_def_prog`"), "{reason}");
            assert_eq!(reason.lines().count(), 1);
            assert_eq!(meet(&plan, &[server.id], &teller()).bypass(), None);
        });
    }

    #[test]
    fn one_that_comes_later_is_seen_and_one_that_goes_with_its_uplink_too() {
        in_namespace(|namespace| {
            let plan = plan(namespace);
            let index = plan.uplinks[0].link.index;
            let mut residents = meet(&plan, &[], &teller());
            let mut bypass = |namespace: &mut Namespace| {
                let mut uplinks = plan.uplinks.clone();
                let links = namespace.netlink().links().unwrap();
                uplinks.retain_mut(|uplink| {
                    let now = links.iter().find(|link| link.index == uplink.link.index);
                    now.inspect(|&link| uplink.link = link.clone()).is_some()
                });
                look_at_all(&mut residents, &uplinks, &[], &teller());
                residents.bypass().is_some()
            };
            assert!(!bypass(namespace));
            let server = bpf::attach_af_xdp(index, "xsk_def_prog");
            assert!(bypass(namespace));
            namespace.delete_link(index);
            assert!(!bypass(namespace));
            drop(server);
        });
    }
}
