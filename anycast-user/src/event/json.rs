//! Events as JSON lines, for programs.

use serde_json::{Map, Value, json};

use super::{Described, EventKind, Figures, ServiceName, milliseconds};
use crate::clock::MonotonicTime;

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
                json!({"from": from, "to": to, "state": to, "reason": reason.to_string()}),
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
            }
            | EventKind::Refuse {
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
            EventKind::LinkChanged { link, up } => json!({"link": self.names.link(link), "up": up}),
            EventKind::Alert { link, service, kind } => {
                let fields = json!({"link": self.names.link(link), "kind": kind.name(), "reason": kind.to_string()});
                service.map_or(fields.clone(), |service| self.service(service, fields, None))
            }
            EventKind::AlertOver { service, kind } => self.service(service, json!({"kind": kind.name()}), None),
        };
        line(self.event.at, self.event.kind.name(), fields)
    }

    fn service(&self, service: usize, fields: Value, figures: Option<Figures>) -> Value {
        let mut object = Map::new();
        if let Some(name) = self.names.services.get(service) {
            object.insert("link".into(), self.names.link(name.link).into());
            object.insert("service".into(), name.service.clone().into());
            if name.address != ServiceName::NO_ADDRESS {
                object.insert("address".into(), name.address.to_string().into());
            }
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
