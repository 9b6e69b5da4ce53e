//! The thread that watches: reads the bank every tick, drives the engine, and signals others what to do.
//!
//! It makes no system call but to sleep and to wake another thread, and allocates nothing in a tick.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Sender, TrySendError},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use nix::{
    sys::time::{TimeSpec, TimeValLike as _},
    time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
};
use tokio::sync::mpsc;

use crate::{
    clock::MonotonicTime,
    engine::{Acted, Ask, Effects, Engine, Failure, Probed, Purpose, Seen},
    event::{Event, EventKind},
    policy::Burst,
    probe::{BurstRequest, BurstResult, Prober, RequestError},
    route::{Action, Actuator, Command, Outcome, RouteError, Scheduling, request_realtime},
    status::Status,
    window::ProbeWindow,
};

/// Below the actuator, which carries out what this thread decides, and above the prober.
const PRIORITY: i32 = 50;
/// The tick is a thirtieth of the floor, within these bounds: it takes two ticks to see a silence, and one to act at the
/// end of the floor, which should add little to it.
const PERIOD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));
/// A tick that comes later than this is no evidence: what the service did meanwhile can't be told from what this machine
/// did to everybody on it.
const TOO_LATE: Duration = Duration::from_millis(5);
/// How long a burst waits for answers when nothing is urgent.
const HEALTH_WINDOW: Duration = Duration::from_millis(100);

/// The time between two ticks for a given floor.
#[must_use]
pub fn period(floor: Duration) -> Duration {
    let (shortest, longest) = PERIOD;
    (floor / 30).clamp(shortest, longest)
}

/// The last look at a link by somebody who may block: when, and what was seen, in one word.
#[derive(Debug, Default)]
pub struct Look(AtomicU64);

impl Look {
    const UP: u64 = 1;
    const MARKED: u64 = 2;

    /// Notes that a link was up or not, and carried the mark of a withdrawal or not. The lowest bits of the time give
    /// way to that.
    pub fn note(&self, at: MonotonicTime, up: bool, marked: bool) {
        let seen = if up { Self::UP } else { 0 } | if marked { Self::MARKED } else { 0 };
        self.0.store(at.0 & !(Self::UP | Self::MARKED) | seen, Relaxed);
    }

    fn take(&self) -> Option<Seen> {
        let word = self.0.swap(0, Relaxed);
        (word != 0).then_some(Seen {
            at: MonotonicTime(word & !(Self::UP | Self::MARKED)),
            up: word & Self::UP != 0,
            marked: word & Self::MARKED != 0,
        })
    }
}

/// What the sampling thread works with.
#[derive(Debug)]
pub struct Parts {
    /// What it decides by.
    pub engine: Engine,
    /// Where it shows what it sees, and sees what others show.
    pub status: Arc<Status>,
    /// Service addresses and ports, by index.
    pub addresses: Vec<SocketAddr>,
    /// Looks at the links, by index.
    pub looks: Arc<[Look]>,
    /// Who carries out decisions; nobody when the daemon only observes.
    pub actuator: Option<Actuator>,
    /// Who sends bursts.
    pub prober: Prober,
    /// Who is told.
    pub events: mpsc::Sender<Event>,
    /// Time between two ticks.
    pub period: Duration,
}

/// The running thread.
#[derive(Debug)]
pub struct Sampler {
    stop: Arc<AtomicBool>,
    /// How it is scheduled.
    pub scheduling: Scheduling,
    thread: JoinHandle<()>,
}

impl Sampler {
    /// Starts the thread.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, started) = std::sync::mpsc::channel();
        let thread = Builder::new()
            .name("sampler".to_owned())
            .spawn(move || run(parts, &stopped, &ready))?;
        let scheduling = started.recv().map_err(io::Error::other)?;
        Ok(Self {
            stop,
            scheduling,
            thread,
        })
    }

    /// Whether the thread still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends the thread, and with it the actuator and the prober. Links stay as they are.
    pub fn stop(self) {
        self.stop.store(true, Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the sampling thread had ended by a panic; please report this");
        }
    }
}

fn run(parts: Parts, stop: &AtomicBool, ready: &Sender<Scheduling>) {
    let Parts {
        mut engine,
        status,
        addresses,
        looks,
        actuator,
        prober,
        events,
        period,
    } = parts;
    let Some(window) = ProbeWindow::new() else {
        return; // Its bounds are constants within the histogram's limits.
    };
    // The receiver waits for this one message; it can't be gone.
    let _ = ready.send(request_realtime(PRIORITY));
    let mut hands = Hands {
        status: &status,
        addresses: &addresses,
        actuator: actuator.as_ref(),
        prober: &prober,
        events: &events,
        window,
        broken: false,
    };
    let mut due = MonotonicTime::now();
    while !stop.load(Relaxed) && !hands.broken {
        hands.broken = !prober.is_running() || actuator.as_ref().is_some_and(|actuator| actuator.thread.is_finished());
        due = due.after(period);
        sleep_until(due);
        let now = MonotonicTime::now();
        let late = now.since(due);
        if late >= TOO_LATE {
            status.late_ticks.fetch_add(1, Relaxed);
            engine.forgive(late);
            due = now;
        }
        for result in prober.results.try_iter() {
            let probed = hands.probed(&result);
            engine.probed(now, &probed, &mut hands);
        }
        for outcome in actuator.iter().flat_map(|actuator| actuator.outcomes.try_iter()) {
            if let Some(acted) = acted(&outcome) {
                engine.acted(&acted, now, &mut hands);
            }
        }
        for (link, look) in looks.iter().enumerate() {
            if let Some(seen) = look.take() {
                engine.seen(link, seen, &mut hands);
            }
        }
        for service in 0..addresses.len() {
            if let Some(profile) = status.take_latency(service) {
                engine.latency(service, &profile);
            }
            if let Some(seen) = status.take_sockets(service, now) {
                engine.sockets(now, service, &seen, &mut hands);
            }
        }
        engine.bypass(status.is_bypassed(), now, &mut hands);
        engine.tick(now, |service| status.counts(service), &mut hands);
        status.publish(engine.views());
        status.ticks.fetch_add(1, Relaxed);
    }
    prober.stop();
    if let Some(Actuator { commands, thread, .. }) = actuator {
        drop(commands);
        if thread.join().is_err() {
            tracing::error!("the actuator had ended by a panic; please report this");
        }
    }
}

/// An absolute sleep, so that the time a tick takes does not add to the next. An interruption only makes a tick early.
fn sleep_until(due: MonotonicTime) {
    let due = TimeSpec::nanoseconds(i64::try_from(due.0).unwrap_or(i64::MAX));
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &due);
}

/// What an outcome is to the engine; nothing when only a mark was taken off.
fn acted(outcome: &Outcome) -> Option<Acted> {
    let Command {
        link,
        action,
        decided_at,
    } = outcome.command;
    let up = match action {
        Action::Withdraw => false,
        Action::Announce => true,
        Action::Unmark => return None,
    };
    let result = match &outcome.result {
        Ok(done) => Ok(done.acknowledged_at),
        Err(error) => {
            tracing::error!("{error}");
            Err(if matches!(error, RouteError::NotOurs { .. }) {
                Failure::NotOurs
            } else {
                Failure::Refused
            })
        }
    };
    Some(Acted {
        link,
        up,
        decided_at,
        result,
    })
}

/// What the engine reaches through.
struct Hands<'a> {
    status: &'a Status,
    addresses: &'a [SocketAddr],
    actuator: Option<&'a Actuator>,
    prober: &'a Prober,
    events: &'a mpsc::Sender<Event>,
    window: ProbeWindow,
    /// One of the threads behind it has ended.
    broken: bool,
}

impl Hands<'_> {
    fn order(&mut self, link: usize, action: Action, decided_at: MonotonicTime) -> bool {
        let Some(actuator) = self.actuator else { return false };
        match actuator.commands.try_send(Command {
            link,
            action,
            decided_at,
        }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                self.broken = true;
                false
            }
        }
    }

    /// What a burst is to the engine. How long its answers took is learned from.
    fn probed(&mut self, result: &BurstResult) -> Probed {
        let &BurstResult {
            request,
            sent,
            answered,
            refused,
            slowest_round_trip,
            started_at,
            finished_at,
            late,
        } = result;
        if let Some(slowest) = slowest_round_trip {
            self.window.learn(slowest);
        }
        Probed {
            service: (request.id & ID_SERVICE) as usize,
            generation: (request.id >> ID_GENERATION_SHIFT) as u32,
            purpose: if request.id & ID_HEALTH == 0 {
                Purpose::Suspicion
            } else {
                Purpose::Health
            },
            burst: Burst {
                started_at,
                finished_at,
                asked: request.count,
                sent,
                answered,
                refused,
            },
            late,
            quick: slowest_round_trip.is_some_and(ProbeWindow::is_quick),
        }
    }

    fn show_link(&self, link: usize, up: bool) {
        if let Some(link) = self.status.link(link) {
            link.announced.store(up, Relaxed);
        }
    }

    fn count(&self, kind: &EventKind) {
        match *kind {
            EventKind::LinkDown { link, .. } => {
                self.show_link(link, false);
                if let Some(link) = self.status.link(link) {
                    link.withdrawals.fetch_add(1, Relaxed);
                }
            }
            EventKind::LinkUp { link, .. } => {
                self.show_link(link, true);
                if let Some(link) = self.status.link(link) {
                    link.announcements.fetch_add(1, Relaxed);
                }
            }
            EventKind::LinkChanged { link, up } => self.show_link(link, up),
            EventKind::WouldWithdraw { service, .. } => {
                if let Some(link) = self.status.link_of(service) {
                    link.observed.fetch_add(1, Relaxed);
                }
            }
            _ => {}
        }
    }
}

/// A request's id holds the service, the purpose in one bit and, above, the generation of the question.
const ID_GENERATION_SHIFT: u32 = 32;
const ID_HEALTH: u64 = 1 << 31;
const ID_SERVICE: u64 = ID_HEALTH - 1;

impl Effects for Hands<'_> {
    fn probe(&mut self, ask: Ask) -> bool {
        let Ask {
            service,
            generation,
            purpose,
            probes,
        } = ask;
        let Some(&service_address) = self.addresses.get(service) else {
            return false;
        };
        let (purpose_bit, window) = match purpose {
            Purpose::Suspicion => (0, self.window.now()),
            Purpose::Health => (ID_HEALTH, HEALTH_WINDOW),
        };
        let request = BurstRequest {
            id: u64::from(generation) << ID_GENERATION_SHIFT | purpose_bit | service as u64,
            service_address,
            count: probes,
            window,
        };
        match self.prober.try_request(request) {
            Ok(()) => true,
            Err(RequestError::Busy) => false,
            Err(RequestError::Gone) => {
                self.broken = true;
                false
            }
        }
    }

    fn withdraw(&mut self, link: usize, decided_at: MonotonicTime) -> bool {
        self.order(link, Action::Withdraw, decided_at)
    }

    fn announce(&mut self, link: usize, decided_at: MonotonicTime) -> bool {
        self.order(link, Action::Announce, decided_at)
    }

    fn unmark(&mut self, link: usize) {
        // The next look asks again, when it could not be taken now.
        self.order(link, Action::Unmark, MonotonicTime::now());
    }

    fn event(&mut self, event: Event) {
        self.count(&event.kind);
        if self.events.try_send(event).is_err() {
            self.status.events_dropped.fetch_add(1, Relaxed);
        }
    }
}
