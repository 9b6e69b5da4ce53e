//! Puts the programs on the hooks of an uplink, exchanges them, and takes them away.

use anycast_ebpf::packet::Framing;
use aya::{
    Ebpf,
    programs::{
        LinkOrder, SchedClassifier, Xdp, XdpMode,
        tc::{NlOptions, TcAttachOptions, TcError, qdisc_add_clsact},
    },
};

use super::{
    Attached, BASELINE_XDP, Datapath, DatapathError, EGRESS_TC, EGRESS_TC_IP, EgressHook, INGRESS_TC, INGRESS_TC_IP,
    INGRESS_XDP, IngressHook, Pins, Refused,
    attached::chain,
    hold::{Hold, HoldError, HookPoint, Runnable, tc_side},
    program_mut,
};
use crate::{
    config::Hook,
    net::{Filter, Link, LinkIndex, framing},
};

impl Datapath {
    /// Attaches to `uplink`, as the kernel shows it now: queries by the hook that `preference` names, falling back to tc
    /// ingress; answers at tc egress. What is attached already, also what an earlier process left, is not detached where
    /// it is as wanted: its program is exchanged.
    ///
    /// Where packets start with the IP header only tc is used, with programs made for that.
    ///
    /// `native_xdp_is_calm` says that native XDP is known not to bounce this uplink when it goes on or off; `Hook::Auto`
    /// uses it only then. An XDP program of somebody else is never replaced.
    pub fn attach(
        &mut self,
        uplink: &Link,
        preference: Hook,
        native_xdp_is_calm: bool,
    ) -> Result<Attached, DatapathError> {
        let framing = framing(uplink).map_err(|error| DatapathError::Attach {
            uplink: uplink.name.clone(),
            reason: error.to_string(),
        })?;
        let wanted = match preference {
            // Drivers of such devices have no XDP, and the kernel's own expects an Ethernet header.
            _ if framing == Framing::Ip => None,
            Hook::Xdp => Some(HookPoint::Xdp),
            Hook::XdpGeneric => Some(HookPoint::XdpGeneric),
            Hook::Auto => native_xdp_is_calm.then_some(HookPoint::Xdp),
            Hook::Tc => None,
        };
        self.attach_both(uplink, wanted)
            .map_err(|error| attach_error(&uplink.name, &error))
    }

    /// Takes the programs off an interface.
    pub fn detach(&mut self, index: LinkIndex) -> Result<(), DatapathError> {
        let detached = HookPoint::ALL.map(|point| self.hooks.detach(index, point));
        detached
            .into_iter()
            .collect::<Result<(), _>>()
            .map_err(|error| attach_error(&format!("link {index}"), &error))
    }

    fn attach_both(&mut self, uplink: &Link, wanted: Option<HookPoint>) -> Result<Attached, HoldError> {
        for point in self.lost(uplink)? {
            self.hooks.detach(uplink.index, point)?;
        }
        let earlier = |point| self.hooks.get(uplink.index, point).is_some_and(|held| !held.current);
        let taken_over = HookPoint::ALL.into_iter().any(earlier);
        // Egress first: see the order of `HookPoint::ALL`.
        self.attach_tc(uplink, HookPoint::TcEgress)?;
        let (point, refused) = self.attach_ingress(uplink, wanted)?;
        let egress = self.hooks.get(uplink.index, HookPoint::TcEgress);
        Ok(Attached {
            ingress: match point {
                HookPoint::Xdp => IngressHook::Xdp,
                HookPoint::XdpGeneric => IngressHook::XdpGeneric,
                HookPoint::TcIngress | HookPoint::TcEgress => IngressHook::Tc,
            },
            egress: if egress.is_some_and(|held| held.hold.is_filter()) {
                EgressHook::Clsact
            } else {
                EgressHook::Tcx
            },
            refused,
            taken_over,
        })
    }

    /// Counts queries at one point and no other.
    ///
    /// A change of the point is never seen as queries that weren't answered: none is counted twice. The new point first
    /// gets a program that counts nothing, so that a refusal, or a driver that takes its time, costs no count; then the
    /// old one stops counting and the new one starts, microseconds apart.
    fn attach_ingress(
        &mut self,
        uplink: &Link,
        wanted: Option<HookPoint>,
    ) -> Result<(HookPoint, Option<Refused>), HoldError> {
        let index = uplink.index;
        let Some(wanted) = wanted else {
            for point in [HookPoint::Xdp, HookPoint::XdpGeneric] {
                if self.hooks.get(index, point).is_some() {
                    self.exchange(uplink, point, BASELINE_XDP)?;
                }
            }
            self.attach_tc(uplink, HookPoint::TcIngress)?;
            self.hooks.detach(index, HookPoint::Xdp)?;
            self.hooks.detach(index, HookPoint::XdpGeneric)?;
            return Ok((HookPoint::TcIngress, None));
        };
        // One interface takes one of them only.
        let other = if wanted == HookPoint::Xdp {
            HookPoint::XdpGeneric
        } else {
            HookPoint::Xdp
        };
        self.hooks.detach(index, other)?;
        if self.hooks.get(index, wanted).is_none() {
            let waits = self.hooks.get(index, HookPoint::TcIngress).is_some();
            let program = if waits { BASELINE_XDP } else { INGRESS_XDP };
            if let Err(refused) = self.put_xdp(uplink, wanted, program)? {
                self.attach_tc(uplink, HookPoint::TcIngress)?;
                return Ok((HookPoint::TcIngress, Some(refused)));
            }
        }
        self.hooks.detach(index, HookPoint::TcIngress)?;
        if self.hooks.get(index, wanted).is_some_and(|held| !held.current) {
            self.exchange(uplink, wanted, INGRESS_XDP)?;
        }
        Ok((wanted, None))
    }

    /// Puts an XDP program where none of ours is, or says why it isn't taken.
    fn put_xdp(
        &mut self,
        uplink: &Link,
        point: HookPoint,
        name: &'static str,
    ) -> Result<Result<(), Refused>, HoldError> {
        self.hooks.clear_pin(uplink.index, point)?;
        let (mode, hook) = match point {
            HookPoint::Xdp => (XdpMode::Driver, IngressHook::Xdp),
            _ => (XdpMode::Skb, IngressHook::XdpGeneric),
        };
        let program = loaded_xdp(&mut self.ebpf, name)?;
        let id = match program.attach_to_if_index(uplink.index.0, mode) {
            Ok(id) => id,
            Err(error) => {
                let ours = self.hooks.pinned_programs();
                let ours = uplink.xdp_programs.iter().any(|id| ours.contains(id));
                return Ok(Err(Refused::by(hook, &error.into(), ours)));
            }
        };
        let hold = Hold::Xdp(program.take_link(id)?);
        self.held(uplink, point, hold, name == INGRESS_XDP)?;
        Ok(Ok(()))
    }

    /// Counts at a tc point: exchanges the program that is there, or puts one.
    fn attach_tc(&mut self, uplink: &Link, point: HookPoint) -> Result<(), HoldError> {
        let name = program_at(point, uplink);
        match self.hooks.get(uplink.index, point) {
            Some(held) if held.current => return Ok(()),
            Some(_) => return self.exchange(uplink, point, name),
            None => self.hooks.clear_pin(uplink.index, point)?,
        }
        let without_tcx = self.hooks.without_tcx;
        let side = tc_side(point.side());
        let program: &mut SchedClassifier = program_mut(&mut self.ebpf, name)?;
        let tcx = TcAttachOptions::TcxOrder(LinkOrder::first());
        let attached = if without_tcx {
            None
        } else {
            match program
                .attach_with_options(&uplink.name, side, tcx)
                .map_err(HoldError::from)
            {
                // The kernel is older than TCX, or was built without it.
                Err(error) if error.errno() == Some(libc::EINVAL) => None,
                attached => Some(attached?),
            }
        };
        let id = if let Some(id) = attached {
            id
        } else {
            make_clsact(uplink, self.hooks.pins())?;
            if let Some(pins) = self.hooks.pins() {
                pins.pin_program(program)?;
            }
            let first = TcAttachOptions::Netlink(NlOptions {
                priority: 1,
                ..Default::default()
            });
            program.attach_with_options(&uplink.name, side, first)?
        };
        let hold = Hold::Tc(program.take_link(id)?);
        self.held(uplink, point, hold, true)
    }

    /// Holds what was attached, and pins it where there are pins.
    fn held(&mut self, uplink: &Link, point: HookPoint, hold: Hold, current: bool) -> Result<(), HoldError> {
        let index = uplink.index;
        let hold = match self.hooks.pins() {
            None => {
                if self.hooks.are_pins_lost() {
                    tracing::warn!(
                        "{}: the directory of pins was removed; what is attached here from now on ends with this process, \
                         restart it to pin again",
                        uplink.name
                    );
                }
                hold
            }
            Some(pins) => hold.pin(pins.link(index, point), &uplink.name, |priority, handle| {
                Filter::of_all_packets(index, point.side(), priority, handle)
            })?,
        };
        self.hooks.hold(index, point, hold, current);
        Ok(())
    }

    /// Exchanges the program at a point where one of ours is.
    pub(super) fn exchange(&mut self, uplink: &Link, point: HookPoint, name: &'static str) -> Result<(), HoldError> {
        let Some(held) = self.hooks.get(uplink.index, point) else {
            return Ok(());
        };
        // What can fail without a trace comes first.
        let runnable = match point {
            HookPoint::Xdp | HookPoint::XdpGeneric => Runnable::Xdp(loaded_xdp(&mut self.ebpf, name)?),
            HookPoint::TcIngress | HookPoint::TcEgress => {
                let program: &mut SchedClassifier = program_mut(&mut self.ebpf, name)?;
                if let Some(pins) = self.hooks.pins().filter(|_| held.hold.is_filter()) {
                    pins.pin_program(program)?;
                }
                Runnable::Tc(program)
            }
        };
        let Some(held) = self.hooks.take(uplink.index, point) else {
            return Ok(());
        };
        match held.hold.run(runnable, &uplink.name) {
            Ok(exchanged) => {
                self.hooks.hold(uplink.index, point, exchanged, name != BASELINE_XDP);
                Ok(())
            }
            Err(error) => {
                // It isn't held any more, and must not go on unseen.
                self.hooks.clear_pin(uplink.index, point)?;
                Err(error)
            }
        }
    }
}

/// Makes the clsact qdisc of `uplink`, or finds that there is one.
fn make_clsact(uplink: &Link, pins: Option<&Pins>) -> Result<(), HoldError> {
    // Noted before it is made: if this process dies in between, a note of nothing does no harm, but a qdisc that nobody
    // knows of would stay.
    let newly_noted = pins.map_or(Ok(false), |pins| pins.note_clsact(uplink.index))?;
    let made = qdisc_add_clsact(&uplink.name);
    if let Some(pins) = pins.filter(|_| newly_noted && made.is_err()) {
        pins.forget_clsact(uplink.index)?;
    }
    match made {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        made => Ok(made.map_err(aya::programs::ProgramError::from)?),
    }
}

/// An XDP program; the one that counts nothing is loaded when it is needed.
fn loaded_xdp<'ebpf>(ebpf: &'ebpf mut Ebpf, name: &'static str) -> Result<&'ebpf mut Xdp, HoldError> {
    let program: &mut Xdp = program_mut(ebpf, name)?;
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program)
}

/// The program that counts at a point of `uplink`.
pub(super) fn program_at(point: HookPoint, uplink: &Link) -> &'static str {
    let is_ethernet = framing(uplink) != Ok(Framing::Ip);
    match point {
        HookPoint::Xdp | HookPoint::XdpGeneric => INGRESS_XDP,
        HookPoint::TcIngress if is_ethernet => INGRESS_TC,
        HookPoint::TcIngress => INGRESS_TC_IP,
        HookPoint::TcEgress if is_ethernet => EGRESS_TC,
        HookPoint::TcEgress => EGRESS_TC_IP,
    }
}

pub(super) fn attach_error(uplink: &str, error: &HoldError) -> DatapathError {
    DatapathError::Attach {
        uplink: uplink.to_owned(),
        reason: chain(error),
    }
}
