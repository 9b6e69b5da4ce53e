//! The daemon's events, as `anycast-probe run --json` prints them.

use crate::clock::Moment;
use serde::Deserialize;

/// One line of events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Milliseconds on `CLOCK_MONOTONIC`.
    pub t_ms: f64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Moment {
        Moment::from_ms(self.t_ms)
    }
}

/// What a daemon has to say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the daemon's documentation says what each event and field means"
)]
pub enum EventKind {
    Started {
        version: String,
        armed: bool,
        links: Vec<String>,
    },
    Attached {
        uplink: String,
        ingress: String,
        egress: String,
        #[serde(default)]
        taken_over: bool,
    },
    Detached {
        uplink: String,
        reason: String,
    },
    AttachFallback {
        uplink: String,
        reason: String,
    },
    State {
        link: String,
        service: String,
        address: String,
        from: String,
        to: String,
        reason: Option<String>,
    },
    Probe {
        address: String,
        sent: u64,
        answered: u64,
        refused: u64,
    },
    Withdraw(Verdict),
    WouldWithdraw(Verdict),
    LinkDown {
        link: String,
        took_ms: f64,
    },
    HoldDown {
        link: String,
        for_ms: f64,
    },
    Announce {
        link: String,
    },
    LinkUp {
        link: String,
        took_ms: f64,
    },
    Alert {
        kind: String,
        reason: String,
    },
    Report {
        services: Vec<ServiceReport>,
    },
    Stopped {},
    /// An event of a later daemon.
    #[serde(other)]
    Unknown,
}

/// Why a link is, or would be, withdrawn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the daemon's documentation says what each field means")]
pub struct Verdict {
    pub link: String,
    pub address: String,
    pub evidence: Option<f64>,
    pub threshold: Option<f64>,
    pub silence_ms: Option<f64>,
    pub reason: Option<String>,
    pub guard: Option<String>,
}

/// A service in a periodic report.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the daemon's documentation says what each field means")]
pub struct ServiceReport {
    pub address: String,
    pub queries_per_s: f64,
    pub answers_per_s: f64,
    pub state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_unknown_ones_tolerated() {
        let line = r#"{"t_ms":12.5,"event":"link_down","link":"anycast0","took_ms":0.4,"new":1}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.at(), Moment::from_ms(12.5));
        let down = EventKind::LinkDown {
            link: "anycast0".into(),
            took_ms: 0.4,
        };
        assert_eq!(event.kind, down);
        let line = r#"{"t_ms":1,"event":"something_new","detail":[1]}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.kind, EventKind::Unknown);
        let line = r#"{"t_ms":1,"event":"stopped"}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.kind, EventKind::Stopped {});
    }
}
