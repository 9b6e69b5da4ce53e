//! The thread that watches: reads the bank every tick, drives the engine, and signals others what to do.
//!
//! It makes no system call but to sleep and to wake another thread, and allocates nothing in a tick.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::Sender,
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use hdrhistogram::Histogram;
use nix::{
    sys::time::{TimeSpec, TimeValLike as _},
    time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
};
use tokio::sync::mpsc;

use crate::{
    clock::MonotonicTime,
    engine::{Acted, Effects, Engine, Purpose},
    event::{Event, EventKind},
    policy::{Burst, PROBES_IN_BURST},
    probe::{BurstRequest, BurstResult, Prober},
    route::{Action, Actuator, Command, Outcome, Scheduling, request_realtime},
    status::Status,
};

/// Below the actuator, which carries out what this thread decides, and above the prober.
const PRIORITY: i32 = 50;
/// The tick is a tenth of the floor, within these bounds.
const PERIOD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));
/// A tick that comes later than this is no evidence: what the service did meanwhile can't be told from what this machine
/// did to everybody on it.
const TOO_LATE: Duration = Duration::from_millis(5);
/// How long a burst waits for answers when nothing is urgent.
const HEALTH_WINDOW: Duration = Duration::from_millis(100);
/// How long a burst waits for answers during a suspicion: ten times what all but one in a thousand healthy bursts need for their slowest
/// round trip, within these bounds.
const PROBE_WINDOW: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(5));
const PROBE_WINDOW_FACTOR: u32 = 10;
const PROBE_WINDOW_QUANTILE: f64 = 0.999;

/// The time between two ticks for a given floor.
#[must_use]
pub fn period(floor: Duration) -> Duration {
    let (shortest, longest) = PERIOD;
    (floor / 10).clamp(shortest, longest)
}

/// The last look at a link by somebody who may block: when, and whether it was up, in one word.
#[derive(Debug, Default)]
pub struct Look(AtomicU64);

impl Look {
    /// Notes a look. The lowest bit of the time gives way to the state.
    pub fn note(&self, at: MonotonicTime, up: bool) {
        self.0.store(at.0 & !1 | u64::from(up), Relaxed);
    }

    fn take(&self) -> Option<(MonotonicTime, bool)> {
        let word = self.0.swap(0, Relaxed);
        (word != 0).then_some((MonotonicTime(word & !1), word & 1 == 1))
    }
}

/// What the sampling thread works with.
#[derive(Debug)]
pub struct Parts {
    /// What it decides by.
    pub engine: Engine,
    /// Where it shows what it sees.
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
    let Ok(mut round_trips) = Histogram::new_with_bounds(1_000, 1_000_000_000, 2) else {
        return; // The bounds are constants within the crate's limits.
    };
    // The receiver waits for this one message; it can't be gone.
    let _ = ready.send(request_realtime(PRIORITY));
    let mut hands = Hands {
        status: &status,
        addresses: &addresses,
        actuator: actuator.as_ref(),
        prober: &prober,
        events: &events,
        window: PROBE_WINDOW.1,
    };
    let mut due = MonotonicTime::now();
    while !stop.load(Relaxed) {
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
            hands.learn_window(&mut round_trips, &result);
            engine.probed(now, result.request.id as usize, &burst(&result), &mut hands);
        }
        for outcome in actuator.iter().flat_map(|actuator| actuator.outcomes.try_iter()) {
            engine.acted(&acted(&outcome), now, &mut hands);
        }
        for (link, look) in looks.iter().enumerate() {
            if let Some((at, up)) = look.take() {
                engine.seen(link, up, at, &mut hands);
                hands.show_link(link, up);
            }
        }
        engine.tick(now, |service| status.bank().queries_and_answers(service), &mut hands);
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

fn burst(result: &BurstResult) -> Burst {
    let &BurstResult {
        sent,
        answered,
        refused,
        started_at,
        finished_at,
        ..
    } = result;
    Burst {
        started_at,
        finished_at,
        sent,
        answered,
        refused,
    }
}

fn acted(outcome: &Outcome) -> Acted {
    let Command {
        link,
        action,
        decided_at,
    } = outcome.command;
    if let Err(error) = &outcome.result {
        tracing::error!("{error}");
    }
    let acknowledged_at = outcome.result.as_ref().ok().map(|done| done.acknowledged_at);
    Acted {
        link,
        up: action == Action::Announce,
        decided_at,
        acknowledged_at,
    }
}

/// What the engine reaches through.
struct Hands<'a> {
    status: &'a Status,
    addresses: &'a [SocketAddr],
    actuator: Option<&'a Actuator>,
    prober: &'a Prober,
    events: &'a mpsc::Sender<Event>,
    window: Duration,
}

impl Hands<'_> {
    fn order(&self, link: usize, action: Action, decided_at: MonotonicTime) -> bool {
        self.actuator.is_some_and(|actuator| {
            actuator
                .commands
                .try_send(Command {
                    link,
                    action,
                    decided_at,
                })
                .is_ok()
        })
    }

    /// A burst that came back whole shows how long healthy answers take.
    fn learn_window(&mut self, round_trips: &mut Histogram<u64>, result: &BurstResult) {
        let Some(slowest) = result.slowest_round_trip.filter(|_| result.answered == result.sent) else {
            return;
        };
        round_trips.saturating_record(slowest.as_nanos() as u64);
        let usual = Duration::from_nanos(round_trips.value_at_quantile(PROBE_WINDOW_QUANTILE));
        let (shortest, longest) = PROBE_WINDOW;
        self.window = (usual * PROBE_WINDOW_FACTOR).clamp(shortest, longest);
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
            EventKind::WouldWithdraw { service, .. } => {
                if let Some(link) = self.status.link_of(service) {
                    link.observed.fetch_add(1, Relaxed);
                }
            }
            _ => {}
        }
    }
}

impl Effects for Hands<'_> {
    fn probe(&mut self, service: usize, purpose: Purpose) -> bool {
        self.addresses.get(service).is_some_and(|&service_address| {
            let request = BurstRequest {
                id: service as u64,
                service_address,
                count: PROBES_IN_BURST,
                window: match purpose {
                    Purpose::Suspicion => self.window,
                    Purpose::Health => HEALTH_WINDOW,
                },
            };
            self.prober.try_request(request).is_ok()
        })
    }

    fn withdraw(&mut self, link: usize, decided_at: MonotonicTime) -> bool {
        self.order(link, Action::Withdraw, decided_at)
    }

    fn announce(&mut self, link: usize, decided_at: MonotonicTime) -> bool {
        self.order(link, Action::Announce, decided_at)
    }

    fn event(&mut self, event: Event) {
        self.count(&event.kind);
        if self.events.try_send(event).is_err() {
            self.status.events_dropped.fetch_add(1, Relaxed);
        }
    }
}
