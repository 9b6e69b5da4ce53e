use std::sync::Mutex;

use super::*;
use crate::net::testing::{Namespace, in_namespace};
use crate::route::is_marked;

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
fn a_failing_link_does_not_hold_up_another() {
    let (failing, _) = flaky(u32::MAX, true);
    let (working, _) = flaky(0, true);
    let actuator = start(vec![failing, working]).unwrap();
    actuator.commands.try_send(command(0, Action::Withdraw)).unwrap();
    actuator.commands.try_send(command(1, Action::Withdraw)).unwrap();
    let outcomes: Vec<Outcome> = actuator.outcomes.iter().take(2).collect();
    let [working, failing] = &outcomes[..] else { panic!() };
    assert!(working.command.link == 1 && working.result.is_ok());
    assert!(failing.attempts == 5 && failing.result.is_err());
}

/// Says when it begins, and waits for a word before it ends.
struct Slow {
    begins: SyncSender<usize>,
    go_on: Receiver<()>,
    link: usize,
}

impl Switch for Slow {
    fn act(&mut self, _: Action) -> Result<Done, RouteError> {
        self.begins.send(self.link).unwrap();
        self.go_on.recv().unwrap();
        Err(RouteError::ReadBack {
            link: "anycast0".to_owned(),
            up: true,
        })
    }
}

#[test]
fn orders_not_begun_when_it_ends_are_dropped_and_so_are_retries() {
    let (begins, begun) = sync_channel(2);
    let (words, switches): (Vec<_>, Vec<_>) = (0..2)
        .map(|link| {
            let (word, go_on) = sync_channel(2);
            let begins = begins.clone();
            (word, Slow { begins, go_on, link })
        })
        .unzip();
    drop(begins);
    let Actuator {
        commands,
        outcomes,
        thread,
        ..
    } = start(switches).unwrap();
    for link in 0..2 {
        commands.try_send(command(link, Action::Withdraw)).unwrap();
    }
    assert_eq!(begun.recv(), Ok(0));
    drop(commands);
    for word in &words {
        // Not read by the link whose order was dropped.
        let _ = word.send(());
    }
    thread.join().unwrap();
    assert_eq!(begun.iter().collect::<Vec<_>>(), [0; 0]);
    assert!(outcomes.recv().is_err());
}

#[test]
fn a_link_goes_down_and_up_on_command_and_loses_a_stale_mark() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        let actuator = Actuator::start(vec![LinkSwitch::open(&link).unwrap()]).unwrap();
        let obeyed = |namespace: &mut Namespace, action| {
            let sent = command(0, action);
            actuator.commands.try_send(sent).unwrap();
            let outcome = actuator.outcomes.recv().unwrap();
            let done = outcome.result.unwrap();
            assert_eq!((outcome.command, outcome.attempts), (sent, 1));
            let times = [sent.decided_at, outcome.received_at, done.sent_at, done.acknowledged_at];
            assert!(times.is_sorted(), "{times:?}");
            namespace.netlink().link("anycast0").unwrap()
        };
        let withdrawn = obeyed(namespace, Action::Withdraw);
        assert!(!withdrawn.up && is_marked(&withdrawn));
        assert_eq!(obeyed(namespace, Action::Announce), link);
        obeyed(namespace, Action::Withdraw);
        namespace.set_up(link.index, true);
        // Nobody is told of this one; the announcement that follows comes after it.
        actuator.commands.try_send(command(0, Action::Unmark)).unwrap();
        while is_marked(&namespace.netlink().link("anycast0").unwrap()) {
            std::thread::yield_now();
        }
        assert_eq!(obeyed(namespace, Action::Announce), link);
        drop(actuator.commands);
        actuator.thread.join().unwrap();
        assert_eq!(namespace.netlink().link("anycast0").unwrap(), link);
    });
}
