//! The thread that takes links down and up, so that nobody else waits for the kernel's RTNL lock.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
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
/// Commands and outcomes that may be waiting, for each link: a command and the one that takes its place, twice over.
const QUEUE_PER_LINK: usize = 4;

/// What to do with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it down.
    Withdraw,
    /// Bring it up.
    Announce,
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

/// The running actuator. Dropping `commands` (or all of it) ends its thread, which never touches a link on its way.
#[derive(Debug)]
pub struct Actuator {
    /// Where orders go; `try_send` neither blocks nor allocates.
    pub commands: SyncSender<Command>,
    /// Where outcomes come from. Read it at every tick: what doesn't fit is lost, with an error in the log.
    pub outcomes: Receiver<Outcome>,
    /// Whether the thread got real-time scheduling.
    pub scheduling: Scheduling,
    /// The thread, to join after `commands` was dropped.
    pub thread: JoinHandle<()>,
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
    let capacity = switches.len().max(1) * QUEUE_PER_LINK;
    let (commands, orders) = sync_channel(capacity);
    let (reports, outcomes) = sync_channel(capacity);
    let (ready, started) = sync_channel(1);
    let run = move || {
        // The receiver waits for this one message; it can't be gone.
        let _ = ready.send(request_realtime(PRIORITY));
        let links = switches
            .into_iter()
            .map(|switch| Entry { switch, retry: None })
            .collect();
        Worker { links, reports }.run(&orders);
    };
    let thread = Builder::new()
        .name("actuator".to_owned())
        .spawn(run)
        .map_err(RouteError::Thread)?;
    let scheduling = started
        .recv()
        .map_err(|error| RouteError::Thread(io::Error::other(error)))?;
    Ok(Actuator {
        commands,
        outcomes,
        scheduling,
        thread,
    })
}

struct Worker<S> {
    links: Vec<Entry<S>>,
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
        let older = entry.retry.take();
        entry.attempt(
            &self.reports,
            Attempt {
                command,
                received_at,
                attempts: 0,
                due: received_at,
            },
        );
        // Only now: the new command doesn't wait for the report on the old one.
        if let Some(older) = older {
            older.end(&self.reports, Err(RouteError::Superseded));
        }
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
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::net::testing::in_namespace;

    type Log = Arc<Mutex<Vec<Action>>>;

    /// Fails as often as told, then works.
    struct Flaky {
        failures: u32,
        transient: bool,
        log: Log,
    }

    impl Switch for Flaky {
        fn act(&mut self, action: Action) -> Result<Done, RouteError> {
            self.log.lock().unwrap().push(action);
            let now = MonotonicTime::now();
            if self.failures == 0 {
                return Ok(Done {
                    sent_at: now,
                    acknowledged_at: now,
                    read_back_up: action == Action::Announce,
                });
            }
            self.failures -= 1;
            let error = RouteError::ReadBack {
                link: "anycast0".to_owned(),
                up: true,
            };
            Err(if self.transient {
                error
            } else {
                RouteError::AddressesNotKept
            })
        }
    }

    fn flaky(failures: u32, transient: bool) -> (Flaky, Log) {
        let log = Log::default();
        (
            Flaky {
                failures,
                transient,
                log: log.clone(),
            },
            log,
        )
    }

    fn command(link: usize, action: Action) -> Command {
        Command {
            link,
            action,
            decided_at: MonotonicTime::now(),
        }
    }

    #[test]
    fn a_failure_is_retried_and_after_five_attempts_reported() {
        for (failures, attempts, works) in [(0, 1, true), (4, 5, true), (5, 5, false)] {
            let (switch, log) = flaky(failures, true);
            let actuator = start(vec![switch]).unwrap();
            actuator.commands.try_send(command(0, Action::Withdraw)).unwrap();
            let outcome = actuator.outcomes.recv().unwrap();
            assert_eq!((outcome.attempts, outcome.result.is_ok()), (attempts, works));
            assert_eq!(log.lock().unwrap().len() as u32, attempts);
        }
    }

    #[test]
    fn what_cannot_get_better_is_reported_at_once() {
        let (switch, _) = flaky(1, false);
        let actuator = start(vec![switch]).unwrap();
        actuator.commands.try_send(command(0, Action::Withdraw)).unwrap();
        assert_eq!(actuator.outcomes.recv().unwrap().attempts, 1);
        actuator.commands.try_send(command(7, Action::Withdraw)).unwrap();
        assert!(matches!(
            actuator.outcomes.recv().unwrap().result,
            Err(RouteError::NoSuchSwitch(7))
        ));
    }

    #[test]
    fn a_failing_link_does_not_hold_up_another_and_a_newer_command_wins() {
        let (failing, log) = flaky(u32::MAX, true);
        let (working, _) = flaky(0, true);
        let actuator = start(vec![failing, working]).unwrap();
        actuator.commands.try_send(command(0, Action::Withdraw)).unwrap();
        actuator.commands.try_send(command(1, Action::Withdraw)).unwrap();
        actuator.commands.try_send(command(0, Action::Announce)).unwrap();
        let outcomes: Vec<Outcome> = actuator.outcomes.iter().take(3).collect();
        let [other, old, new] = &outcomes[..] else { panic!() };
        assert!(other.command.link == 1 && other.result.is_ok());
        assert!(matches!(old.result, Err(RouteError::Superseded)));
        assert_eq!(old.command.action, Action::Withdraw);
        assert!(new.command.action == Action::Announce && new.attempts == 5);
        let tail = log.lock().unwrap().iter().rev().take(5).copied().collect::<Vec<_>>();
        assert_eq!(tail, [Action::Announce; 5]);
    }

    #[test]
    fn it_ends_with_its_commands_and_leaves_the_link_as_it_is() {
        let (switch, log) = flaky(u32::MAX, true);
        let Actuator {
            commands,
            outcomes,
            thread,
            ..
        } = start(vec![switch]).unwrap();
        drop(commands);
        thread.join().unwrap();
        assert!(outcomes.recv().is_err());
        assert_eq!(*log.lock().unwrap(), []);
    }

    #[test]
    fn a_link_goes_down_and_up_on_command() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            let actuator = Actuator::start(vec![LinkSwitch::open(&link).unwrap()]).unwrap();
            for (action, up) in [(Action::Withdraw, false), (Action::Announce, true)] {
                let sent = command(0, action);
                actuator.commands.try_send(sent).unwrap();
                let outcome = actuator.outcomes.recv().unwrap();
                let done = outcome.result.unwrap();
                assert_eq!((outcome.command, outcome.attempts, done.read_back_up), (sent, 1, up));
                let times = [sent.decided_at, outcome.received_at, done.sent_at, done.acknowledged_at];
                assert!(times.is_sorted(), "{times:?}");
                assert_eq!(namespace.netlink().link("anycast0").unwrap().up, up);
            }
            drop(actuator.commands);
            actuator.thread.join().unwrap();
            assert!(namespace.netlink().link("anycast0").unwrap().up);
        });
    }
}
