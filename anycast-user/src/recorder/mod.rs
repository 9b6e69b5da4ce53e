//! The recorder: reads along what a daemon counts, and writes it down, line by line, for a replay.
//!
//! It maps the daemon's pinned counters read-only and locks nothing, so the daemon doesn't notice it; its probes are a few
//! queries over loopback more. The lines are [`Line`]s.

mod error;
mod output;
mod probes;
mod rows;

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use nix::{
    sys::time::{TimeSpec, TimeValLike as _},
    time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
};

pub use self::error::RecorderError;
use self::{
    output::Output,
    probes::Probes,
    rows::{Row, Rows},
};
use crate::{
    clock::MonotonicTime,
    config::has_probe,
    datapath::Observed,
    discover::PlannedService,
    policy::PROBES_IN_BURST,
    probe::{BurstRequest, Prober},
    progress::Progress,
    recording::Line,
    window::ProbeWindow,
};

/// How often it is asked whether what is read is still what the daemon counts into.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is recorded, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The services, in the order of the observed bank.
    pub services: &'a [PlannedService],
    /// Time between two samples.
    pub interval: Duration,
    /// Time between two bursts of probes while all is well; none at all if there is none.
    pub probes: Option<Duration>,
    /// How long; without an end if there is none.
    pub duration: Option<Duration>,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Lines.
    pub samples: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Records into the file `out` until the time is over or `ended` is set. A file that is there is written over only if
/// `force`. After an error the file holds whole lines.
pub fn record(
    observed: &Observed,
    plan: &Plan<'_>,
    (out, force): (&Path, bool),
    ended: &AtomicBool,
) -> Result<Recorded, RecorderError> {
    let start = MonotonicTime::now();
    let prober = plan.probes.map(|_| Prober::start(plan.services.len())).transpose()?;
    let mut recorder = Recorder {
        observed,
        output: Output::create(out, force, start)?,
        services: Service::all(plan, start),
        rows: Rows::default(),
        window: ProbeWindow::new(),
        samples: 0,
    };
    let mut progress = Progress::on_stderr("samples", 1, 0);
    let end = plan.duration.map(|duration| start.after(duration));
    let (mut due, mut look) = (start, start);
    let mut result = Ok(());
    while !ended.load(Relaxed) && result.is_ok() {
        sleep_until(due);
        let now = MonotonicTime::now();
        if end.is_some_and(|end| now >= end) {
            break;
        }
        if now >= look {
            look = now.after(LOOK_INTERVAL);
            if !observed.is_current() {
                result = Err(RecorderError::Gone);
                break;
            }
        }
        result = recorder.sample(now, prober.as_ref());
        progress.tell(recorder.samples, recorder.output.written());
        // What was missed is not made up for: the next sample has it in its counters.
        due = due.after(plan.interval).max(now);
    }
    drop(progress);
    // Also what came before an error.
    let flushed = recorder.finish();
    if let Some(prober) = prober {
        prober.stop();
    }
    result.and(flushed)?;
    Ok(Recorded {
        samples: recorder.samples,
        bytes: recorder.output.written(),
    })
}

struct Recorder<'a> {
    observed: &'a Observed,
    output: Output,
    services: Vec<Service>,
    rows: Rows,
    window: Option<ProbeWindow>,
    samples: u64,
}

struct Service {
    name: String,
    address: SocketAddr,
    /// Nothing where there is no probe for its protocol, or none is wanted.
    probes: Option<Probes>,
}

impl Service {
    fn all(plan: &Plan<'_>, now: MonotonicTime) -> Vec<Self> {
        let name = |service: &PlannedService| {
            let several = plan.services.iter().filter(|other| other.name == service.name).count() > 1;
            if several {
                format!("{}@{}", service.name, service.address)
            } else {
                service.name.clone()
            }
        };
        let probed = |service: &PlannedService| plan.probes.filter(|_| has_probe(service.protocol));
        let of = |service: &PlannedService| Self {
            name: name(service),
            address: SocketAddr::new(service.address, service.port),
            probes: probed(service).map(|interval| Probes::new(interval, now)),
        };
        plan.services.iter().map(of).collect()
    }
}

impl Recorder<'_> {
    /// A sample of each service, and lines for those that need not wait any more.
    fn sample(&mut self, now: MonotonicTime, prober: Option<&Prober>) -> Result<(), RecorderError> {
        let Self {
            observed,
            services,
            rows,
            window,
            ..
        } = self;
        for result in prober.iter().flat_map(|prober| prober.results.try_iter()) {
            if let (Some(window), Some(slowest)) = (window.as_mut(), result.slowest_round_trip) {
                window.learn(slowest);
            }
            let number = result.request.id as usize;
            let asked = services.get_mut(number).and_then(|service| service.probes.as_mut());
            if let Some(found) = asked.and_then(|asked| asked.result(&result)) {
                rows.found(number, result.started_at, found);
            }
        }
        for (number, service) in services.iter_mut().enumerate() {
            let Some(counts) = observed.bank.counts(number) else {
                continue;
            };
            let mut row = Row {
                at: now,
                service: number,
                counts,
                found: None,
                is_open: false,
            };
            if let (Some(probes), Some(prober), Some(window)) = (&mut service.probes, prober, &window) {
                let request = BurstRequest {
                    id: number as u64,
                    service_address: service.address,
                    count: PROBES_IN_BURST,
                    window: window.now(),
                };
                if probes.tick(now, &counts) && prober.try_request(request).is_ok() {
                    probes.sent(now);
                }
                row.found = probes.found();
                row.is_open = probes.is_in_doubt();
                if !row.is_open {
                    rows.settle(number);
                }
            }
            rows.push(row);
        }
        while let Some(row) = self.rows.next(now) {
            self.write(&row);
        }
        self.output.tick(now)
    }

    fn write(&mut self, row: &Row) {
        let Some(service) = self.services.get(row.service) else {
            return;
        };
        let line = Line {
            at: row.at,
            service: &service.name,
            queries: row.counts.queries,
            answers: row.counts.answers,
            packets: row.counts.packets,
            hints: row.counts.hints,
            servfails: row.counts.servfails,
            probe_answered: row.found.map(|(answered, _)| answered),
            probe_refused: row.found.map(|(_, refused)| refused),
        };
        line.write_to(self.output.lines());
        self.samples += 1;
    }

    /// Writes what has waited until the end.
    fn finish(&mut self) -> Result<(), RecorderError> {
        for row in std::mem::take(&mut self.rows).rest() {
            self.write(&row);
        }
        self.output.flush()
    }
}

/// An absolute sleep; a signal ends it early.
fn sleep_until(due: MonotonicTime) {
    let due = TimeSpec::nanoseconds(i64::try_from(due.0).unwrap_or(i64::MAX));
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &due);
}
