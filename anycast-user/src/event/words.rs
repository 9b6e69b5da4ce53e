//! Events in words, for a person at three in the morning.

use std::fmt;

use super::{AlertKind, Described, EventKind, Figures, Reason, ServiceName, milliseconds};
use crate::policy::{Guard, State, WatchOnly};

impl Described<'_> {
    fn of(&self, service: usize) -> String {
        self.names.services.get(service).map_or_else(
            || "?".into(),
            |name| {
                let (service, link) = (&name.service, self.names.link(name.link));
                match name.address {
                    ServiceName::NO_ADDRESS if service == link => service.clone(),
                    ServiceName::NO_ADDRESS => format!("{service} on {link}"),
                    address => format!("{service} at {address} on {link}"),
                }
            },
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
            EventKind::Refuse {
                service,
                figures,
                reason,
                guard,
            } => write!(f, "{}: not withdrawn: {guard}: {reason} ({figures})", self.of(service)),
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
            EventKind::LinkChanged { link, up: true } => {
                write!(
                    f,
                    "{}: somebody put the link up; its services are watched from zero",
                    self.names.link(link)
                )
            }
            EventKind::LinkChanged { link, up: false } => write!(
                f,
                "{}: somebody put the link down; it is left alone until somebody puts it up",
                self.names.link(link)
            ),
            EventKind::Alert { link, service, kind } => match service {
                Some(service) => write!(f, "{}: ALERT: {kind}", self.of(service)),
                None => write!(f, "{}: ALERT: {kind}", self.names.link(link)),
            },
            EventKind::AlertOver { service, kind } => write!(f, "{}: over: {}", self.of(service), kind.name()),
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
                "clients are answered, but not all of the local probes are: the service stays unarmed; does every worker \
                 of the server answer queries from this host for id.server CH TXT, without a rate limit?"
            }
            Self::ProbesSlow => {
                "local probes are answered too slowly to tell the server from a dead one in time: the service stays \
                 unarmed"
            }
            Self::ProbesUnsent => {
                "local probes could not be sent, so a dead server would not be found: look for a firewall rule on lo, \
                 or a limit on open files"
            }
            Self::SomeUnanswered => {
                "some of its addresses answer and others don't: the link stays down until all do; take an address that \
                 is not served out of the configuration, or raise the link by hand"
            }
            Self::OrderOverdue => {
                "the kernel has not put the link up or down for a second: something holds its RTNL lock"
            }
            Self::WatchedSilent => {
                "queries come and no answer leaves; it is only watched, so its route is not withdrawn for this: look at \
                 the server"
            }
            Self::Bypassed => {
                "answers may leave past the counters, by an XDP program on an uplink (AF_XDP) or by an uplink that is not \
                 watched: services are only watched from now on, and no route is withdrawn until that is over"
            }
            Self::PartialLoss => {
                "a share of the answers that should have come is missing: a worker that died, a full queue, an ACL; the \
                 route is not withdrawn for this"
            }
            Self::Servfail => "most answers say SERVFAIL; the route is not withdrawn for this",
            Self::Slow => "answers take several times as long as usual; the route is not withdrawn for this",
            Self::HungWorker => {
                "a socket of the server is full and nobody reads it while others are read: one of its workers hangs; the \
                 route is not withdrawn for this"
            }
            Self::Overload => {
                "more comes than usual, or more than the server reads; while this lasts only a long silence is evidence"
            }
            Self::TailTooHeavy => {
                "the silences of this service while it is well are so long and many that silence proves nothing: it stays \
                 unarmed"
            }
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Armed => "enough answers were seen and every local probe was answered",
            Self::LinkRaised => "somebody put its link up",
            Self::LinkHeld => "somebody put its link down",
            Self::NoQueries => "no queries come",
            Self::QueriesAgain => "queries come again",
            Self::AnswersMissing => "queries come, answers don't",
            Self::AnswersAgain => "answers come again",
            Self::ProbesAnswered => "a local probe was answered",
            Self::ProbesContradicted => {
                "clients are answered and local probes were not: asking again before trusting them"
            }
            Self::SilentAndProbesFail => "queries come, no answer leaves, and local probes are not answered",
            Self::Silent => "queries come and no answer leaves",
            Self::Known => "enough answers were seen; it is only watched",
            Self::Bypassed => "answers may leave uncounted",
            Self::BypassEnded => "no answer can leave uncounted any more",
            Self::NoSocket => "no answer leaves, and nobody listens on the port",
            Self::LinkDown => "its link was put down",
            Self::ProbesGood => "every local probe is answered",
            Self::ProbesBad => "a local probe was not answered",
            Self::LinkUp => "its link is up again",
            Self::Hinted => "something said that nobody listens on the port",
            Self::ProbesFail => "local probes are not answered, and no client was answered meanwhile",
            Self::TrickleAndProbesFail => "next to no answer leaves, and not one of 128 local probes was answered",
            Self::SilentUnderLoad => {
                "no answer leaves although more comes than usual, and local probes are not answered"
            }
            Self::LapsedAndProbesFail => "no answer leaves, and local probes have not been answered for long",
            Self::AnswersLost => "answers leave the server and never the host",
            Self::Alert(kind) => return write!(f, "{} has lasted, and `withdraw_also_on` names it", kind.name()),
            Self::CountersReset => "its counters were set back: it is watched from zero",
        })
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observing => "this daemon only observes (--arm or `armed = true` lets it act)",
            Self::OthersAlive => "other services of the link live, and `withdraw_when` asks for more to be dead",
        })
    }
}

impl fmt::Display for WatchOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProbe => "no probe for this protocol yet",
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
