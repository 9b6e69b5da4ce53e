//! How an uplink is watched, in words.

use serde::Serialize;

use super::hold::HoldError;

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
    /// Another XDP program is there: once it is gone, the hook can be had.
    pub resident: bool,
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
    /// An earlier process had left its programs here, counting, and these took their place.
    pub taken_over: bool,
}

impl Refused {
    /// `ours` says that a program of another instance of this tool is there.
    pub(super) fn by(hook: IngressHook, error: &HoldError, ours: bool) -> Self {
        let resident = matches!(error.errno(), Some(libc::EBUSY | libc::EEXIST));
        let reason = match error.errno() {
            _ if resident && ours => {
                "an XDP program of another anycast-probe, or one that it left, is on this interface: see \
                                      `anycast-probe attach-status`, and `anycast-probe cleanup --all`"
                    .to_owned()
            }
            _ if resident => "another XDP program is on this interface; it is not replaced".to_owned(),
            Some(libc::EOPNOTSUPP) => "the driver has no native XDP".to_owned(),
            _ => chain(error),
        };
        Self { hook, reason, resident }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
