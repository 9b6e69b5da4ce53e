//! What the daemon says when it starts and ends.

use std::{fmt, net::IpAddr};

use serde_json::{Value, json};

use super::line;
use crate::{
    clock::MonotonicTime,
    datapath::{Attached, EgressHook, IngressHook},
    net::Resident,
};

/// What the daemon says when it starts and stops, besides [`Event`](super::Event)s; these know their names themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The daemon runs.
    Started {
        /// Whether it may touch links.
        armed: bool,
        /// The links that it watches.
        links: &'a [String],
    },
    /// An uplink is watched.
    Attached {
        /// Its name.
        uplink: &'a str,
        /// How.
        attached: &'a Attached,
    },
    /// An uplink would not take the first choice of a hook.
    AttachFallback {
        /// Its name.
        uplink: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A stranger came to the XDP hook of an uplink, or went.
    Resident {
        /// The name of the uplink.
        uplink: &'a str,
        /// Who is there now.
        resident: &'a Resident,
    },
    /// A service is only watched.
    WatchOnly {
        /// Its link.
        link: &'a str,
        /// Its name.
        service: &'a str,
        /// The service address.
        address: IpAddr,
        /// Why.
        reason: &'a str,
    },
    /// An uplink is watched no more.
    Detached {
        /// Its name.
        uplink: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// Something about uplinks needs a person.
    UplinkAlert {
        /// What.
        kind: UplinkAlert,
        /// The uplink, when it is about one.
        uplink: Option<&'a str>,
        /// Why.
        reason: &'a str,
    },
    /// The daemon ends; links stay as they are.
    Stopped {
        /// The programs stay where they are, and count.
        counting: bool,
    },
}

/// What needs a person, of uplinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UplinkAlert {
    /// No hook took the programs.
    AttachFailed,
    /// There is none.
    NoUplink,
    /// One that is configured is not there.
    Missing,
}

impl UplinkAlert {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AttachFailed => "attach-failed",
            Self::NoUplink => "no-uplink",
            Self::Missing => "uplink-missing",
        }
    }
}

impl Notice<'_> {
    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self, at: MonotonicTime) -> Value {
        match self {
            Self::Started { armed, links } => line(
                at,
                "started",
                json!({"version": env!("CARGO_PKG_VERSION"), "armed": armed, "links": links}),
            ),
            Self::Attached { uplink, attached } => line(
                at,
                "attached",
                json!({
                    "uplink": uplink, "ingress": attached.ingress, "egress": attached.egress,
                    "taken_over": attached.taken_over,
                }),
            ),
            Self::AttachFallback { uplink, reason } => {
                line(at, "attach_fallback", json!({"uplink": uplink, "reason": reason}))
            }
            Self::Resident { uplink, resident } => line(
                at,
                "resident",
                json!({
                    "uplink": uplink, "kind": resident.kind(), "program": resident.name(), "id": resident.id(),
                    "reason": resident.to_string(),
                }),
            ),
            Self::WatchOnly {
                link,
                service,
                address,
                reason,
            } => line(
                at,
                "watch_only",
                json!({"link": link, "service": service, "address": address, "reason": reason}),
            ),
            Self::Detached { uplink, reason } => line(at, "detached", json!({"uplink": uplink, "reason": reason})),
            Self::UplinkAlert { kind, uplink, reason } => line(
                at,
                "alert",
                json!({"uplink": uplink, "kind": kind.name(), "reason": reason}),
            ),
            Self::Stopped { counting } => line(at, "stopped", json!({"counting": counting})),
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { armed: true, links } => write!(f, "ARMED: may put down {}", links.join(", ")),
            Self::Started { armed: false, links } => {
                write!(
                    f,
                    "observing {}: nothing is touched (--arm or `armed = true` lets it act)",
                    links.join(", ")
                )
            }
            Self::Attached {
                uplink,
                attached:
                    Attached {
                        ingress,
                        egress,
                        taken_over,
                        ..
                    },
            } => {
                let ingress = match ingress {
                    IngressHook::Xdp => "native XDP",
                    IngressHook::XdpGeneric => "generic XDP",
                    IngressHook::Tc => "tc ingress",
                };
                let egress = match egress {
                    EgressHook::Tcx => "TCX egress",
                    EgressHook::Clsact => "clsact egress",
                };
                write!(f, "uplink {uplink}: queries by {ingress}, answers by {egress}")?;
                if *taken_over {
                    f.write_str("; taken over from an earlier run")?;
                }
                Ok(())
            }
            Self::AttachFallback { uplink, reason } => {
                write!(
                    f,
                    "uplink {uplink}: no XDP ({reason}); using tc ingress, which counts the same"
                )
            }
            Self::Resident {
                uplink,
                resident: Resident::None | Resident::Ours,
            } => write!(f, "uplink {uplink}: no XDP program of others is there any more"),
            Self::Resident { uplink, resident } if resident.may_bypass() => write!(
                f,
                "uplink {uplink}: its XDP hook is taken by {resident}: answers may leave uncounted, so services are only \
                 watched"
            ),
            Self::Resident { uplink, resident } => write!(
                f,
                "uplink {uplink}: its XDP hook is taken by {resident}, which stays; what it drops or redirects is not \
                 counted at tc ingress"
            ),
            Self::WatchOnly {
                link,
                service,
                address,
                reason,
            } => write!(f, "{service} at {address} on {link}: only watched: {reason}"),
            Self::Detached { uplink, reason } => write!(f, "uplink {uplink}: watched no more: {reason}"),
            Self::UplinkAlert { uplink, reason, .. } => match uplink {
                Some(uplink) => write!(f, "uplink {uplink}: {reason}"),
                None => f.write_str(reason),
            },
            Self::Stopped { counting: false } => f.write_str("stopped; links stay as they are"),
            Self::Stopped { counting: true } => f.write_str(
                "stopped; links stay as they are, and the programs go on counting (`anycast-probe cleanup --all` removes them)",
            ),
        }
    }
}
