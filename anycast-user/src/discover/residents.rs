//! Who is on the XDP hooks of the uplinks, and what that means.

use std::collections::BTreeMap;

use crate::net::{Link, LinkIndex, Resident, resident};

/// Who is on the XDP hooks of the uplinks, followed as it changes.
#[derive(Debug, Default)]
pub struct Residents(BTreeMap<LinkIndex, Seen>);

/// The last look at an uplink.
#[derive(Debug, Default)]
struct Seen {
    name: String,
    programs: Vec<u32>,
    resident: Resident,
}

impl Residents {
    /// Takes a look at an uplink, as it was read just now; `ours` are the numbers of programs known to be this tool's.
    /// Returns who is there now, when a stranger came or went since the last look.
    ///
    /// Costs nothing as long as the same programs are there and can be looked at; libxdp makes a new dispatcher for every
    /// change.
    pub fn look(&mut self, uplink: &Link, ours: &[u32]) -> Option<&Resident> {
        let seen = self.0.entry(uplink.index).or_default();
        // One of this tool's is attached a moment before it is pinned, by which it is known where it can't be looked at.
        let is_judged = !matches!(seen.resident, Resident::Hidden { .. });
        if is_judged && seen.programs == uplink.xdp_programs {
            return None;
        }
        seen.name.clone_from(&uplink.name);
        seen.programs.clone_from(&uplink.xdp_programs);
        let before = std::mem::replace(&mut seen.resident, resident(uplink, ours));
        let is_strange = seen.resident.is_foreign() || before.is_foreign();
        (is_strange && seen.resident != before).then_some(&seen.resident)
    }

    /// Forgets the uplinks that are none any more: all but those that `is_uplink` knows.
    pub fn forget_but(&mut self, is_uplink: impl Fn(LinkIndex) -> bool) {
        self.0.retain(|index, _| is_uplink(*index));
    }

    /// Who was on the hook of an uplink at the last look.
    #[must_use]
    pub fn of(&self, uplink: LinkIndex) -> &Resident {
        self.0.get(&uplink).map_or(&Resident::None, |seen| &seen.resident)
    }

    /// Why answers may leave past the counters, in words that name the uplink and the program; `None` when they can't.
    /// As long as they may, every service is only watched.
    #[must_use]
    pub fn bypass(&self) -> Option<String> {
        let seen = self.0.values().find(|seen| seen.resident.may_bypass())?;
        let (name, resident) = (&seen.name, &seen.resident);
        Some(format!(
            "the XDP hook of {name} is taken by {resident}: answers may leave uncounted"
        ))
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    use super::*;
    use crate::net::testing::{bpf, in_namespace};

    #[test]
    fn whoever_comes_and_goes_is_told_once() {
        in_namespace(|namespace| {
            let (link, _far) = namespace.add_pair("up0", "far0");
            let mut residents = Residents::default();
            assert_eq!(residents.look(&link, &[]), None);
            let filter = bpf::attach_xdp(link.index, "xdp_filter");
            let there = namespace.netlink().link("up0").unwrap();
            let name = "xdp_filter".to_owned();
            let expected = Resident::Program { id: filter.id, name };
            assert_eq!(residents.look(&there, &[]), Some(&expected));
            assert_eq!(residents.look(&there, &[]), None);
            assert_eq!((residents.of(link.index), residents.bypass()), (&expected, None));

            drop(filter);
            let server = bpf::attach_af_xdp(link.index, "xsk_def_prog");
            let there = namespace.netlink().link("up0").unwrap();
            assert!(residents.look(&there, &[]).is_some_and(Resident::may_bypass));
            let expected = format!(
                "the XDP hook of up0 is taken by the program `xsk_def_prog` ({}), which serves AF_XDP sockets: answers may \
                 leave uncounted",
                server.id
            );
            assert_eq!(residents.bypass(), Some(expected));

            drop(server);
            let there = namespace.netlink().link("up0").unwrap();
            assert_eq!(residents.look(&there, &[]), Some(&Resident::None));
            assert_eq!(residents.bypass(), None);
        });
    }

    #[test]
    fn an_uplink_that_is_gone_bypasses_nothing() {
        in_namespace(|namespace| {
            let (link, _far) = namespace.add_pair("up0", "far0");
            let server = bpf::attach_af_xdp(link.index, "xsk_def_prog");
            let mut residents = Residents::default();
            residents.look(&namespace.netlink().link("up0").unwrap(), &[]);
            assert!(residents.bypass().is_some());
            residents.forget_but(|index| index != link.index);
            assert_eq!((residents.bypass(), residents.of(link.index)), (None, &Resident::None));
            drop(server);
        });
    }

    #[test]
    fn one_that_could_not_be_looked_at_is_known_once_it_is_pinned() {
        in_namespace(|namespace| {
            let (link, _far) = namespace.add_pair("up0", "far0");
            let other = bpf::attach_xdp(link.index, "ingress_xdp");
            let there = namespace.netlink().link("up0").unwrap();
            // Those of the daemon's unit, which may not look at programs of others.
            let capabilities = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
            let sets = CapabilitySets {
                effective: capabilities,
                permitted: capabilities,
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, sets).unwrap();
            let mut residents = Residents::default();
            let hidden = Resident::Hidden { id: other.id };
            assert_eq!(residents.look(&there, &[]), Some(&hidden));
            assert_eq!(residents.look(&there, &[]), None, "it is told once");
            assert_eq!(residents.look(&there, &[other.id]), Some(&Resident::Ours));
            assert_eq!(residents.bypass(), None);
        });
    }

    #[test]
    fn our_own_program_is_nobody_of_note() {
        in_namespace(|namespace| {
            let (link, _far) = namespace.add_pair("up0", "far0");
            let ours = bpf::attach_af_xdp(link.index, "whatever");
            let mut residents = Residents::default();
            let there = namespace.netlink().link("up0").unwrap();
            assert_eq!(residents.look(&there, &[ours.id]), None);
            assert_eq!((residents.of(link.index), residents.bypass()), (&Resident::Ours, None));
        });
    }
}
