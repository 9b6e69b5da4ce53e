//! What happens, told twice: in words for people and as a JSON line for programs.
//!
//! The sampling thread makes [`Event`]s: numbers only, nothing allocated. The names of links and services are put in
//! where they are read, by [`Described`].

mod alerts;
mod json;
mod notice;
mod words;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

pub use self::{
    alerts::AlertSet,
    json::line,
    notice::{Notice, UplinkAlert},
};
use crate::{
    clock::MonotonicTime,
    detect::Nats,
    policy::{Guard, State, WatchOnly},
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
    /// Somebody put the link up.
    LinkRaised,
    /// Somebody put the link down, to stay.
    LinkHeld,
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
    /// Clients are answered, and local probes were not, or slowly.
    ProbesContradicted,
    /// Neither clients nor probes get an answer.
    SilentAndProbesFail,
    /// Queries come, no answer leaves; the service is only watched, so no probe was sent.
    Silent,
    /// Enough answers were seen for long enough of a service that is only watched.
    Known,
    /// Answers may leave uncounted.
    Bypassed,
    /// They may not any more.
    BypassEnded,
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
    /// Something said that nobody listens: ICMP, a RST, or no socket is to be found.
    Hinted,
    /// Local probes are not answered, and no client was meanwhile.
    ProbesFail,
    /// Next to no answer leaves, and not one of 128 probes is answered.
    TrickleAndProbesFail,
    /// No answer leaves although more comes than usual, and probes fail.
    SilentUnderLoad,
    /// Probes were answered at first, and have failed for long.
    LapsedAndProbesFail,
    /// Answers leave the server and never the host.
    AnswersLost,
    /// The operator asked for it.
    Alert(AlertKind),
    /// Counters were set back: what was known of the service is worth nothing.
    CountersReset,
}

/// What needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AlertKind {
    /// Probes are answered, but no answer leaves by the uplinks.
    EgressBroken,
    /// The link could not be put down.
    LinkDownFailed,
    /// The link could not be put up.
    LinkUpFailed,
    /// The service answers its clients, but not all local probes: it can't be armed.
    ProbesUnanswered,
    /// It answers local probes too slowly to be told from a dead one in time: it can't be armed.
    ProbesSlow,
    /// Local probes could not be sent.
    ProbesUnsent,
    /// Of a withdrawn link some services answer and others don't.
    SomeUnanswered,
    /// The kernel has not carried out an order yet.
    OrderOverdue,
    /// A service that is only watched does not answer any more.
    WatchedSilent,
    /// Answers may leave uncounted: nothing is armed any more.
    Bypassed,
    /// A share of the answers is missing.
    PartialLoss,
    /// Most answers say SERVFAIL.
    Servfail,
    /// Answers take several times as long as usual.
    Slow,
    /// A worker of the server does not read its queue any more, while others do.
    HungWorker,
    /// More comes than usual.
    Overload,
    /// Healthy silences of the service reach so far that silence proves nothing: it can't be armed.
    TailTooHeavy,
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
    /// Somebody else put a link up or down.
    LinkChanged {
        /// Which.
        link: usize,
        /// What it is now.
        up: bool,
    },
    /// It is dead, and its route is not withdrawn for another reason than that nothing is armed.
    Refuse {
        /// Who is dead.
        service: usize,
        /// The numbers.
        figures: Figures,
        /// Why it is dead.
        reason: Reason,
        /// What spoke against it.
        guard: Guard,
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
    /// What an alert about a service told of is over.
    AlertOver {
        /// The service.
        service: usize,
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
    /// The service address, or [`ServiceName::NO_ADDRESS`].
    pub address: IpAddr,
    /// Why it is only watched, if it always is.
    pub watch_only: Option<WatchOnly>,
}

impl ServiceName {
    /// Stands for an address that isn't known, as of a recording: it is not told.
    pub const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
}

impl Names {
    pub(crate) fn link(&self, link: usize) -> &str {
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
            Self::LinkChanged { .. } => "link_changed",
            Self::Refuse { .. } => "refuse",
            Self::Alert { .. } => "alert",
            Self::AlertOver { .. } => "alert_over",
        }
    }
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::EgressBroken,
        Self::LinkDownFailed,
        Self::LinkUpFailed,
        Self::ProbesUnanswered,
        Self::ProbesSlow,
        Self::ProbesUnsent,
        Self::SomeUnanswered,
        Self::OrderOverdue,
        Self::WatchedSilent,
        Self::Bypassed,
        Self::PartialLoss,
        Self::Servfail,
        Self::Slow,
        Self::HungWorker,
        Self::Overload,
        Self::TailTooHeavy,
    ];

    /// Those that are about a service, not about its link.
    pub const OF_A_SERVICE: [Self; 11] = [
        Self::EgressBroken,
        Self::ProbesUnanswered,
        Self::ProbesSlow,
        Self::ProbesUnsent,
        Self::WatchedSilent,
        Self::PartialLoss,
        Self::Servfail,
        Self::Slow,
        Self::HungWorker,
        Self::Overload,
        Self::TailTooHeavy,
    ];

    /// Those that speak of a service that answers, if not well: the operator may ask for a withdrawal on them.
    pub const OF_A_LIVING_SERVICE: [Self; 6] = [
        Self::PartialLoss,
        Self::EgressBroken,
        Self::Servfail,
        Self::Slow,
        Self::HungWorker,
        Self::Overload,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EgressBroken => "egress-broken",
            Self::LinkDownFailed => "link-down-failed",
            Self::LinkUpFailed => "link-up-failed",
            Self::ProbesUnanswered => "probes-unanswered",
            Self::ProbesSlow => "probes-slow",
            Self::ProbesUnsent => "probes-unsent",
            Self::SomeUnanswered => "some-unanswered",
            Self::OrderOverdue => "order-overdue",
            Self::WatchedSilent => "watched-silent",
            Self::Bypassed => "bypassed",
            Self::PartialLoss => "partial-loss",
            Self::Servfail => "servfail",
            Self::Slow => "slow",
            Self::HungWorker => "hung-worker",
            Self::Overload => "overload",
            Self::TailTooHeavy => "tail-too-heavy",
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
