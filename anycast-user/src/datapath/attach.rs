//! Puts the programs on the hooks of an uplink.

use anycast_ebpf::packet::Framing;
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
    tc::{NlOptions, TcAttachOptions, TcError, qdisc_add_clsact},
    xdp::XdpError,
};
use serde::Serialize;

use super::{Datapath, DatapathError, EGRESS_TC, EGRESS_TC_IP, INGRESS_TC, INGRESS_TC_IP, INGRESS_XDP, program_mut};
use crate::{
    config::Hook,
    net::{Link, framing},
};

/// Where queries are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IngressHook {
    /// XDP in the driver, before the kernel allocates anything.
    Xdp,
    /// XDP emulated by the kernel's stack.
    XdpGeneric,
    /// tc ingress.
    Tc,
}

/// Where answers are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EgressHook {
    /// A TCX link, first in order. Minimum kernel version: 6.6.
    Tcx,
    /// A filter of the clsact qdisc, where TCX is not to be had.
    Clsact,
}

/// A hook that was tried first and would not take the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The hook.
    pub hook: IngressHook,
    /// Why, in words for the operator.
    pub reason: String,
}

/// How an uplink is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Where queries are counted.
    pub ingress: IngressHook,
    /// Where answers are counted.
    pub egress: EgressHook,
    /// What was tried before `ingress`.
    pub refused: Option<Refused>,
}

impl Datapath {
    /// Attaches to `uplink`: queries by the hook that `preference` names, falling back to tc ingress; answers at tc egress.
    ///
    /// Where packets start with the IP header only tc is used, with programs made for that.
    ///
    /// `native_xdp_is_calm` says that native XDP is known not to bounce this uplink when it goes on or off; `Hook::Auto`
    /// uses it only then. An XDP program that is there already is never replaced.
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
        let (ingress_tc, egress_tc) = match framing {
            Framing::Ethernet => (INGRESS_TC, EGRESS_TC),
            Framing::Ip => (INGRESS_TC_IP, EGRESS_TC_IP),
        };
        let wanted = match preference {
            // Drivers of such devices have no XDP, and the kernel's own expects an Ethernet header.
            _ if framing == Framing::Ip => None,
            Hook::Xdp => Some((IngressHook::Xdp, XdpMode::Driver)),
            Hook::XdpGeneric => Some((IngressHook::XdpGeneric, XdpMode::Skb)),
            Hook::Auto => native_xdp_is_calm.then_some((IngressHook::Xdp, XdpMode::Driver)),
            Hook::Tc => None,
        };
        let (taken, refused) = match wanted {
            None => (None, None),
            Some((hook, mode)) => match self.attach_xdp(uplink, mode)? {
                Ok(()) => (Some(hook), None),
                Err(reason) => (None, Some(Refused { hook, reason })),
            },
        };
        let ingress = if let Some(hook) = taken {
            hook
        } else {
            self.attach_tc(ingress_tc, uplink, TcAttachType::Ingress)?;
            IngressHook::Tc
        };
        let egress = self.attach_tc(egress_tc, uplink, TcAttachType::Egress)?;
        Ok(Attached {
            ingress,
            egress,
            refused,
        })
    }

    fn attach_xdp(&mut self, uplink: &Link, mode: XdpMode) -> Result<Result<(), String>, DatapathError> {
        let program: &mut Xdp = program_mut(&mut self.ebpf, INGRESS_XDP)?;
        match program.attach_to_if_index(uplink.index.0, mode) {
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(xdp_refusal(&error))),
        }
    }

    fn attach_tc(
        &mut self,
        program: &'static str,
        uplink: &Link,
        side: TcAttachType,
    ) -> Result<EgressHook, DatapathError> {
        let classifier: &mut SchedClassifier = program_mut(&mut self.ebpf, program)?;
        let failed = |error: &dyn std::error::Error| DatapathError::Attach {
            uplink: uplink.name.clone(),
            reason: chain(error),
        };
        let tcx = TcAttachOptions::TcxOrder(LinkOrder::first());
        match classifier.attach_with_options(&uplink.name, side, tcx) {
            Ok(_) => return Ok(EgressHook::Tcx),
            // The kernel is older than TCX, or was built without it.
            Err(error) if os_error(&error) == Some(libc::EINVAL) => {}
            Err(error) => return Err(failed(&error)),
        }
        match qdisc_add_clsact(&uplink.name) {
            Ok(()) | Err(TcError::AlreadyAttached) => {}
            Err(error) => return Err(failed(&error)),
        }
        let first = TcAttachOptions::Netlink(NlOptions {
            priority: 1,
            ..Default::default()
        });
        classifier
            .attach_with_options(&uplink.name, side, first)
            .map_err(|error| failed(&error))?;
        Ok(EgressHook::Clsact)
    }
}

fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) | ProgramError::TcError(TcError::NetlinkError(error)) => {
            error.raw_os_error()
        }
        _ => None,
    }
}

fn xdp_refusal(error: &ProgramError) -> String {
    match os_error(error) {
        Some(libc::EBUSY | libc::EEXIST) => "another XDP program is on this interface; it is not replaced".to_owned(),
        Some(libc::EOPNOTSUPP) => "the driver has no native XDP".to_owned(),
        _ => chain(error),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
