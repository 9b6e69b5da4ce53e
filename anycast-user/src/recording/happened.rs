//! Something that happened in a replay, as a JSON line and in words.

use serde_json::Value;

use crate::{
    engine::View,
    event::{Described, Event, EventKind, Names},
};

/// An event of a replay, with what was thought of its service then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Happened {
    /// The event. Its indices are those of its link's own names.
    pub event: Event,
    /// The index of the link in the replay.
    pub link: usize,
    /// The service that it is about: of an event about the link, the one that the link was withdrawn for last.
    pub service: usize,
    /// What was thought of that service then.
    pub view: View,
}

impl Happened {
    /// The event as the daemon's JSON, and what every line of a replay has besides: `service`, `state`, `reason`,
    /// `evidence` and `threshold`.
    #[must_use]
    pub fn to_json(&self, names: &Names) -> Value {
        let Self {
            event, service, view, ..
        } = self;
        let described = Described { event, names };
        let Value::Object(mut line) = described.to_json() else {
            return Value::Null; // It is an object.
        };
        let name = names.services.get(*service);
        let mut add = |key: &str, value: Value| {
            line.entry(key).or_insert(value);
        };
        add("service", name.map_or(Value::Null, |name| name.service.clone().into()));
        add("state", view.state.name().into());
        add("reason", described.to_string().into());
        add("evidence", view.evidence.into());
        add("threshold", view.threshold.into());
        Value::Object(line)
    }

    /// The event in words, after the time in seconds.
    #[must_use]
    pub fn to_words(&self, names: &Names) -> String {
        let event = &self.event;
        format!(
            "{:>12.3} s  {}",
            event.at.as_millis_f64() / 1e3,
            Described { event, names }
        )
    }
}

/// The service that an event is about, if it is about one.
pub(super) fn service_of(kind: &EventKind) -> Option<usize> {
    match *kind {
        EventKind::State { service, .. }
        | EventKind::Probe { service, .. }
        | EventKind::Withdraw { service, .. }
        | EventKind::WouldWithdraw { service, .. }
        | EventKind::Refuse { service, .. }
        | EventKind::AlertOver { service, .. } => Some(service),
        EventKind::Alert { service, .. } => service,
        EventKind::LinkDown { .. }
        | EventKind::HoldDown { .. }
        | EventKind::Announce { .. }
        | EventKind::LinkUp { .. }
        | EventKind::LinkChanged { .. } => None,
    }
}
