//! What happens, told twice: in words for people and as a JSON line for programs.
//!
//! The sampling thread makes [`Event`]s: numbers only, nothing allocated. The names of links and services are put in
//! where they are read, by [`Described`].

use std::{fmt, net::IpAddr, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    clock::MonotonicTime,
    datapath::{Attached, EgressHook, IngressHook},
    detect::Nats,
    policy::{Guard, State},
};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: MonotonicTime,
    /// What.
    pub kind: EventKind,
}

/// The numbers behind a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Evidence, bursts of probes not included.
    pub evidence: Nats,
    /// Evidence at which silence alone is proof.
    pub threshold: Nats,
    /// Time since the last answer.
    pub silence: Duration,
}

/// Why a service changed its state, or its route was withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Enough answers were seen for long enough, and a probe was answered.
    Armed,
    /// Watching from zero.
    Restarted,
    /// No query for a while.
    NoQueries,
    /// Queries come again.
    QueriesAgain,
    /// Answers that should have come did not.
    AnswersMissing,
    /// Answers come again.
    AnswersAgain,
    /// Answers are missing, but a local probe was answered.
    ProbesAnswered,
    /// Neither clients nor probes get an answer.
    SilentAndProbesFail,
    /// Nobody listens on the port.
    NoSocket,
    /// The link was put down.
    LinkDown,
    /// Every probe is answered; the hold-down runs.
    ProbesGood,
    /// A probe failed; the hold-down starts anew.
    ProbesBad,
    /// The link is up again.
    LinkUp,
}

/// What needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertKind {
    /// Probes are answered, but no answer leaves by the uplinks.
    EgressBroken,
    /// The link could not be put down.
    LinkDownFailed,
    /// The link could not be put up.
    LinkUpFailed,
    /// The service answers its clients, but not local probes: it can't be armed.
    ProbesUnanswered,
}

/// Kinds of [`Event`]. `service` and `link` are indices into the daemon's lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind {
    /// A service changed its state.
    State {
        /// Whose.
        service: usize,
        /// Before.
        from: State,
        /// After.
        to: State,
        /// The numbers at that moment.
        figures: Figures,
        /// Why.
        reason: Reason,
    },
    /// A burst of probes came back during a suspicion.
    Probe {
        /// Who was asked.
        service: usize,
        /// Probes sent.
        sent: u8,
        /// Probes answered.
        answered: u8,
        /// Probes that found no socket.
        refused: u8,
    },
    /// The route of a service is being withdrawn; the event's time is that of the decision.
    Withdraw {
        /// For whose sake.
        service: usize,
        /// The numbers.
        figures: Figures,
        /// Why.
        reason: Reason,
    },
    /// It would have been withdrawn.
    WouldWithdraw {
        /// For whose sake.
        service: usize,
        /// The numbers.
        figures: Figures,
        /// Why.
        reason: Reason,
        /// What spoke against it.
        guard: Guard,
    },
    /// The kernel acknowledged that a link is down, and it was read back so.
    LinkDown {
        /// Which.
        link: usize,
        /// From the decision to the acknowledgement.
        took: Duration,
    },
    /// A link has to wait before it is announced again.
    HoldDown {
        /// Which.
        link: usize,
        /// How long all of its services must answer.
        hold: Duration,
    },
    /// A link is being put up.
    Announce {
        /// Which.
        link: usize,
    },
    /// The kernel acknowledged that a link is up, and it was read back so.
    LinkUp {
        /// Which.
        link: usize,
        /// From the decision to the acknowledgement.
        took: Duration,
    },
    /// Something needs a person.
    Alert {
        /// The link it is about.
        link: usize,
        /// The service, when it is about one.
        service: Option<usize>,
        /// What.
        kind: AlertKind,
    },
}

/// The names behind the indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Links by index.
    pub links: Vec<String>,
    /// Services by index.
    pub services: Vec<ServiceName>,
}

/// What a service is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// Index of its link.
    pub link: usize,
    /// Name of the service.
    pub service: String,
    /// The service address.
    pub address: IpAddr,
}

impl Names {
    fn link(&self, link: usize) -> &str {
        self.links.get(link).map_or("?", String::as_str)
    }
}

/// An event with names.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The event.
    pub event: &'a Event,
    /// The names.
    pub names: &'a Names,
}

impl Described<'_> {
    /// The event as one JSON object: `t_ms`, `event` and the fields of its kind.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let fields = match self.event.kind {
            EventKind::State {
                service,
                from,
                to,
                figures,
                reason,
            } => self.service(
                service,
                json!({"from": from, "to": to, "reason": reason.to_string()}),
                Some(figures),
            ),
            EventKind::Probe {
                service,
                sent,
                answered,
                refused,
            } => self.service(
                service,
                json!({"sent": sent, "answered": answered, "refused": refused}),
                None,
            ),
            EventKind::Withdraw {
                service,
                figures,
                reason,
            } => self.service(service, json!({"reason": reason.to_string()}), Some(figures)),
            EventKind::WouldWithdraw {
                service,
                figures,
                reason,
                guard,
            } => self.service(
                service,
                json!({"reason": reason.to_string(), "guard": guard}),
                Some(figures),
            ),
            EventKind::LinkDown { link, took } | EventKind::LinkUp { link, took } => {
                json!({"link": self.names.link(link), "took_ms": milliseconds(took)})
            }
            EventKind::HoldDown { link, hold } => {
                json!({"link": self.names.link(link), "for_ms": milliseconds(hold)})
            }
            EventKind::Announce { link } => json!({"link": self.names.link(link)}),
            EventKind::Alert { link, service, kind } => {
                let fields = json!({"link": self.names.link(link), "kind": kind.name(), "reason": kind.to_string()});
                service.map_or(fields.clone(), |service| self.service(service, fields, None))
            }
        };
        line(self.event.at, self.event.kind.name(), fields)
    }

    fn service(&self, service: usize, fields: Value, figures: Option<Figures>) -> Value {
        let mut object = Map::new();
        if let Some(name) = self.names.services.get(service) {
            object.insert("link".into(), self.names.link(name.link).into());
            object.insert("service".into(), name.service.clone().into());
            object.insert("address".into(), name.address.to_string().into());
        }
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        if let Some(Figures {
            evidence,
            threshold,
            silence,
        }) = figures
        {
            object.insert("evidence".into(), evidence.into());
            object.insert("threshold".into(), threshold.into());
            object.insert("silence_ms".into(), milliseconds(silence).into());
        }
        object.into()
    }

    fn of(&self, service: usize) -> String {
        self.names.services.get(service).map_or_else(
            || "?".into(),
            |name| format!("{} at {} on {}", name.service, name.address, self.names.link(name.link)),
        )
    }
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event.kind {
            EventKind::State {
                service,
                from,
                to,
                figures,
                reason,
            } => {
                write!(f, "{}: {} -> {}: {reason}", self.of(service), from.name(), to.name())?;
                if matches!(to, State::Suspect | State::Blackholed) {
                    write!(f, " ({figures})")
                } else {
                    Ok(())
                }
            }
            EventKind::Probe {
                service,
                sent,
                answered,
                refused,
            } => write!(
                f,
                "{}: of {sent} local probes {answered} were answered, {refused} refused",
                self.of(service)
            ),
            EventKind::Withdraw {
                service,
                figures,
                reason,
            } => {
                write!(f, "{}: WITHDRAWING: {reason} ({figures})", self.of(service))
            }
            EventKind::WouldWithdraw {
                service,
                figures,
                reason,
                guard,
            } => {
                write!(
                    f,
                    "{}: would withdraw, but {guard}: {reason} ({figures})",
                    self.of(service)
                )
            }
            EventKind::LinkDown { link, took } => write!(
                f,
                "{}: link is down, {:.2} ms after the decision; routing daemons withdraw its addresses",
                self.names.link(link),
                milliseconds(took)
            ),
            EventKind::HoldDown { link, hold } => write!(
                f,
                "{}: stays down until every probe has been answered for {:.1} s",
                self.names.link(link),
                hold.as_secs_f64()
            ),
            EventKind::Announce { link } => write!(f, "{}: ANNOUNCING again", self.names.link(link)),
            EventKind::LinkUp { link, took } => {
                write!(
                    f,
                    "{}: link is up, {:.2} ms after the decision",
                    self.names.link(link),
                    milliseconds(took)
                )
            }
            EventKind::Alert { link, service, kind } => match service {
                Some(service) => write!(f, "{}: ALERT: {kind}", self.of(service)),
                None => write!(f, "{}: ALERT: {kind}", self.names.link(link)),
            },
        }
    }
}

impl EventKind {
    /// Its name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Probe { .. } => "probe",
            Self::Withdraw { .. } => "withdraw",
            Self::WouldWithdraw { .. } => "would_withdraw",
            Self::LinkDown { .. } => "link_down",
            Self::HoldDown { .. } => "hold_down",
            Self::Announce { .. } => "announce",
            Self::LinkUp { .. } => "link_up",
            Self::Alert { .. } => "alert",
        }
    }
}

impl AlertKind {
    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EgressBroken => "egress-broken",
            Self::LinkDownFailed => "link-down-failed",
            Self::LinkUpFailed => "link-up-failed",
            Self::ProbesUnanswered => "probes-unanswered",
        }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EgressBroken => {
                "the server answers local probes, but no answer leaves by the uplinks: look for a firewall rule, a lost \
                 route or a missing uplink; the route is not withdrawn for this"
            }
            Self::LinkDownFailed => {
                "the link could not be put down and is still announced; trying again: put it down by hand with \
                 `ip link set dev <link> down`"
            }
            Self::LinkUpFailed => "the link could not be put up; trying again after another hold-down",
            Self::ProbesUnanswered => {
                "clients are answered, but local probes are not: the service stays unarmed; does the server answer \
                 queries from this host for id.server CH TXT, without a rate limit?"
            }
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Armed => "enough answers were seen and a local probe was answered",
            Self::Restarted => "watching from zero",
            Self::NoQueries => "no queries come",
            Self::QueriesAgain => "queries come again",
            Self::AnswersMissing => "queries come, answers don't",
            Self::AnswersAgain => "answers come again",
            Self::ProbesAnswered => "a local probe was answered",
            Self::SilentAndProbesFail => "queries come, no answer leaves, and local probes are not answered",
            Self::NoSocket => "no answer leaves, and nobody listens on the port",
            Self::LinkDown => "its link was put down",
            Self::ProbesGood => "every local probe is answered",
            Self::ProbesBad => "a local probe was not answered",
            Self::LinkUp => "its link is up again",
        })
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observing => "this daemon only observes (--arm or `armed = true` lets it act)",
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            evidence,
            threshold,
            silence,
        } = self;
        write!(
            f,
            "silent for {:.1} ms, evidence {evidence:.1} of {threshold:.1} nats",
            milliseconds(*silence)
        )
    }
}

/// What the daemon says when it starts and stops, besides [`Event`]s; these know their names themselves.
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
    /// The daemon ends; links stay as they are.
    Stopped,
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
                json!({"uplink": uplink, "ingress": attached.ingress, "egress": attached.egress}),
            ),
            Self::AttachFallback { uplink, reason } => {
                line(at, "attach_fallback", json!({"uplink": uplink, "reason": reason}))
            }
            Self::Stopped => line(at, "stopped", json!({})),
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
                attached: Attached { ingress, egress, .. },
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
                write!(f, "uplink {uplink}: queries by {ingress}, answers by {egress}")
            }
            Self::AttachFallback { uplink, reason } => {
                write!(
                    f,
                    "uplink {uplink}: no XDP ({reason}); using tc ingress, which counts the same"
                )
            }
            Self::Stopped => f.write_str("stopped; links stay as they are"),
        }
    }
}

/// An event line: `t_ms`, `event`, then `fields`.
#[must_use]
pub fn line(at: MonotonicTime, event: &str, fields: Value) -> Value {
    let mut object = Map::new();
    object.insert("t_ms".into(), at.as_millis_f64().into());
    object.insert("event".into(), event.into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    object.into()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
