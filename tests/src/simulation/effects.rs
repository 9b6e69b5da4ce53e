//! What the engine wants done, kept until the tick is over.

use anycast_user::{
    clock::MonotonicTime,
    engine::{Ask, Effects},
    event::{Event, EventKind},
    policy::State,
};

/// Notes all that is asked for.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) asks: Vec<Ask>,
    /// When a withdrawal was decided.
    pub(super) withdrawn: Option<MonotonicTime>,
    /// When a daemon that only observes would have withdrawn.
    pub(super) would_withdraw: Vec<MonotonicTime>,
    /// When the service was judged to be dead.
    pub(super) blackholed: Vec<MonotonicTime>,
    /// Alerts, by name, each once, and when.
    pub(super) alerts: Vec<(&'static str, MonotonicTime)>,
    /// Whether it was ever armed.
    pub(super) armed: bool,
    /// Everything, when somebody wants to read it.
    pub(super) events: Option<Vec<Event>>,
}

impl Effects for Notes {
    fn probe(&mut self, ask: Ask) -> bool {
        self.asks.push(ask);
        true
    }

    fn withdraw(&mut self, _: usize, decided_at: MonotonicTime) -> bool {
        self.withdrawn.get_or_insert(decided_at);
        true
    }

    fn announce(&mut self, _: usize, _: MonotonicTime) -> bool {
        true
    }

    fn unmark(&mut self, _: usize) {}

    fn event(&mut self, event: Event) {
        match event.kind {
            EventKind::WouldWithdraw { .. } => self.would_withdraw.push(event.at),
            EventKind::State {
                to: State::Blackholed, ..
            } => self.blackholed.push(event.at),
            EventKind::State { to: State::Healthy, .. } => self.armed = true,
            EventKind::Alert { kind, .. } if self.alerts.iter().all(|(name, _)| *name != kind.name()) => {
                self.alerts.push((kind.name(), event.at));
            }
            _ => {}
        }
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }
}
