//! The thread that takes links down and up, so that nobody else waits for the kernel's RTNL lock.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::{Done, LinkSwitch, RouteError, Scheduling, request_realtime};
use crate::clock::MonotonicTime;

/// Above the sampling thread and the prober: nothing is as urgent as a withdrawal that was decided.
const PRIORITY: i32 = 60;
/// A failed attempt is repeated after these waits; then the failure is reported.
const BACK_OFF: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
];

/// What to do with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it down.
    Withdraw,
    /// Bring it up, unless somebody else took it over.
    Announce,
    /// Take the mark off and leave the link as it is: somebody else raised it.
    Unmark,
}

/// An order to the actuator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Position of the link's switch in the list that [`Actuator::start`] was given.
    pub link: usize,
    /// What to do.
    pub action: Action,
    /// When that was decided.
    pub decided_at: MonotonicTime,
}

/// What became of a [`Command`]; each has exactly one.
#[derive(Debug)]
pub struct Outcome {
    /// The order.
    pub command: Command,
    /// When the actuator took it up, which shows what waking it cost.
    pub received_at: MonotonicTime,
    /// How often it was tried, 1 to 5; 0 for an order that could not be tried.
    pub attempts: u32,
    /// When it was sent and acknowledged, or why it failed for good.
    pub result: Result<Done, RouteError>,
}

/// The running actuator. Dropping `commands` (or all of it) ends its thread: an attempt that has begun is finished,
/// orders that wait for their first or next attempt are dropped.
#[derive(Debug)]
pub struct Actuator {
    /// Where orders go.
    pub commands: Commands,
    /// Where outcomes come from. Read it at every tick: there is room for one a link, and what doesn't fit is lost, with
    /// an error in the log.
    pub outcomes: Receiver<Outcome>,
    /// Whether the thread got real-time scheduling.
    pub scheduling: Scheduling,
    /// The thread, to join after `commands` was dropped.
    pub thread: JoinHandle<()>,
}

/// Where orders to the actuator go: one for a link at a time, the next after the [`Outcome`] of the last.
#[derive(Debug)]
pub struct Commands {
    // Dropped before the sender: the thread that finds an order in the queue knows whether anybody still wants it.
    _wanted: Arc<()>,
    sender: SyncSender<Command>,
}

impl Commands {
    /// Gives an order. Neither blocks nor allocates.
    pub fn try_send(&self, command: Command) -> Result<(), TrySendError<Command>> {
        self.sender.try_send(command)
    }
}

/// What the actuator needs of a [`LinkSwitch`].
trait Switch: Send {
    fn act(&mut self, action: Action) -> Result<Done, RouteError>;
}

impl Switch for LinkSwitch {
    fn act(&mut self, action: Action) -> Result<Done, RouteError> {
        match action {
            Action::Withdraw => self.withdraw(),
            Action::Announce => self.announce(),
            Action::Unmark => self.unmark(),
        }
    }
}

impl Actuator {
    /// Starts the thread, which owns the switches from then on.
    pub fn start(switches: Vec<LinkSwitch>) -> Result<Self, RouteError> {
        start(switches)
    }
}

fn start<S: Switch + 'static>(switches: Vec<S>) -> Result<Actuator, RouteError> {
    let capacity = switches.len().max(1);
    let (sender, orders) = sync_channel(capacity);
    let wanted = Arc::new(());
    let still_wanted = Arc::downgrade(&wanted);
    let (reports, outcomes) = sync_channel(capacity);
    let (ready, started) = sync_channel(1);
    let run = move || {
        // The receiver waits for this one message; it can't be gone.
        let _ = ready.send(request_realtime(PRIORITY));
        let links = switches
            .into_iter()
            .map(|switch| Entry { switch, retry: None })
            .collect();
        Worker {
            links,
            still_wanted,
            reports,
        }
        .run(&orders);
    };
    let thread = Builder::new()
        .name("actuator".to_owned())
        .spawn(run)
        .map_err(RouteError::Thread)?;
    let scheduling = started
        .recv()
        .map_err(|error| RouteError::Thread(io::Error::other(error)))?;
    Ok(Actuator {
        commands: Commands {
            _wanted: wanted,
            sender,
        },
        outcomes,
        scheduling,
        thread,
    })
}

struct Worker<S> {
    links: Vec<Entry<S>>,
    still_wanted: Weak<()>,
    reports: SyncSender<Outcome>,
}

struct Entry<S> {
    switch: S,
    retry: Option<Attempt>,
}

/// A command under way.
struct Attempt {
    command: Command,
    received_at: MonotonicTime,
    attempts: u32,
    due: MonotonicTime,
}

impl<S: Switch> Worker<S> {
    fn run(mut self, orders: &Receiver<Command>) {
        loop {
            // A retry waits in its entry, not in a sleep: other links are not held up by one that fails.
            let due = self
                .links
                .iter()
                .filter_map(|entry| entry.retry.as_ref())
                .map(|retry| retry.due)
                .min();
            let order = match due {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => orders.recv_timeout(due.since(MonotonicTime::now())),
            };
            if self.still_wanted.strong_count() == 0 {
                return;
            }
            match order {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => self.retry(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let received_at = MonotonicTime::now();
        let Some(entry) = self.links.get_mut(command.link) else {
            let result = Err(RouteError::NoSuchSwitch(command.link));
            report(
                &self.reports,
                Outcome {
                    command,
                    received_at,
                    attempts: 0,
                    result,
                },
            );
            return;
        };
        // An order is the last word: what failed before it is not tried again.
        entry.retry = None;
        entry.attempt(
            &self.reports,
            Attempt {
                command,
                received_at,
                attempts: 0,
                due: received_at,
            },
        );
    }

    fn retry(&mut self) {
        let now = MonotonicTime::now();
        for entry in &mut self.links {
            if let Some(retry) = entry.retry.take_if(|retry| retry.due <= now) {
                entry.attempt(&self.reports, retry);
            }
        }
    }
}

impl<S: Switch> Entry<S> {
    fn attempt(&mut self, reports: &SyncSender<Outcome>, mut attempt: Attempt) {
        let result = self.switch.act(attempt.command.action);
        if attempt.command.action == Action::Unmark {
            // Nobody waits for it, and who sees the mark again will ask again.
            if let Err(error) = result {
                tracing::warn!("the mark of a withdrawal was not taken off: {error}");
            }
            return;
        }
        let wait = BACK_OFF.get(attempt.attempts as usize);
        attempt.attempts += 1;
        match (&result, wait) {
            (Err(error), Some(&wait)) if error.is_transient() => {
                tracing::warn!(link = attempt.command.link, attempts = attempt.attempts, %error, "trying again");
                attempt.due = MonotonicTime::now().after(wait);
                self.retry = Some(attempt);
            }
            _ => attempt.end(reports, result),
        }
    }
}

impl Attempt {
    fn end(self, reports: &SyncSender<Outcome>, result: Result<Done, RouteError>) {
        let Self {
            command,
            received_at,
            attempts,
            ..
        } = self;
        report(
            reports,
            Outcome {
                command,
                received_at,
                attempts,
                result,
            },
        );
    }
}

fn report(reports: &SyncSender<Outcome>, outcome: Outcome) {
    // Waiting for a reader here would hold up the next withdrawal.
    if let Err(error) = reports.try_send(outcome) {
        tracing::error!(%error, "the outcome of a command was lost");
    }
}

#[cfg(test)]
mod tests;
