//! What a tick costs in reading: the counts of all services, summed over the CPUs, from mapped memory.
//!
//! Banks are simulated for as many services and CPUs as nodes may have; the one of the kernel, for this machine's CPUs,
//! stands beside them. *Clean* is a poll of memory that nobody has written to since the last. *Dirtied* is one after
//! another core has written to every line that it reads, as the cores of a busy node have between two ticks: each line
//! has to be fetched from that core. Then there is no time to take but that of single polls, and the cost of taking it is
//! taken off.

use std::{
    hint::{black_box, spin_loop},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
    time::{Duration, Instant},
};

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::{Bank, Datapath, LoadSettings, Service, SimulatedPrograms};
use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde::Serialize;

const SERVICES: [u16; 4] = [1, 16, 64, 256];
const CPUS: [usize; 5] = [1, 2, 8, 32, 128];
/// The size that is held to a bar, and the bar.
const HELD: (u16, usize) = (64, 2);
const BAR_NS: f64 = 1000.0;

/// Reads of a service's place on a CPU in a round of clean polls, about.
const READS_A_ROUND: usize = 100_000;
const ROUNDS: usize = 101;

#[derive(clap::Args)]
pub(crate) struct PollArgs {
    /// Print the result as one JSON object, the last line on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    cases: Vec<Case>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Memory {
    /// The process's own.
    Simulated,
    /// That of the kernel's map.
    Mapped,
}

/// One poll of all services, in nanoseconds.
#[derive(Serialize)]
struct Case {
    name: String,
    services: u16,
    cpus: usize,
    memory: Memory,
    clean: Spread,
    /// `null` where nobody else could write to it: on a machine with one core, and to the map.
    dirtied: Option<Spread>,
    bar_ns: Option<f64>,
    /// By the medians.
    met: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    best_ns: f64,
    median_ns: f64,
}

pub(crate) fn run(arguments: &PollArgs) -> Result<()> {
    let cores = Cores::of_this_process()?;
    cores.reader.enter()?;
    let mut cases = Vec::new();
    eprintln!("{:<34} {:>21} {:>21}  bar", "ns a poll", "clean", "dirtied");
    for services in SERVICES {
        for cpus in CPUS {
            let (bank, programs) = Bank::without_programs(services, cpus)?;
            let clean = clean(&bank, cpus);
            let dirtied = cores
                .writer
                .map(|writer| dirtied(&bank, &programs, writer))
                .transpose()?;
            cases.push(Case::new((services, cpus), Memory::Simulated, clean, dirtied));
        }
    }
    let services = HELD.0;
    let list: Vec<Service> = (0..services)
        .map(|number| Service::new([192, 0, 2, number as u8], 53, Classifier::DnsUdp))
        .collect();
    let bank = Datapath::load(&list, &LoadSettings::default())?.bank();
    let cpus = bank.cpus();
    cases.push(Case::new((services, cpus), Memory::Mapped, clean(&bank, cpus), None));
    if arguments.json {
        println!("{}", serde_json::to_string(&Report { cases })?);
    }
    Ok(())
}

/// What a tick does.
fn poll(bank: &Bank) {
    for service in 0..bank.services() {
        black_box(bank.counts(black_box(service)));
    }
}

fn clean(bank: &Bank, cpus: usize) -> Spread {
    let polls = (READS_A_ROUND / (bank.services() * cpus)).max(1);
    Spread::of(
        (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..polls {
                    poll(bank);
                }
                start.elapsed().as_nanos() as f64 / polls as f64
            })
            .collect(),
    )
}

/// Polls after each of which a thread on the core `writer` writes to all that it read.
fn dirtied(bank: &Bank, programs: &SimulatedPrograms, writer: Core) -> Result<Spread> {
    const READ: u64 = 0;
    const WRITE: u64 = 1;
    const STOP: u64 = 2;
    let turn = AtomicU64::new(READ);
    let (times, written) = thread::scope(|scope| {
        let thread = scope.spawn(|| -> Result<()> {
            writer.enter()?;
            loop {
                match turn.load(Acquire) {
                    READ => spin_loop(),
                    WRITE => {
                        programs.count_everywhere();
                        turn.store(READ, Release);
                    }
                    _ => return Ok(()),
                }
            }
        });
        let timed = |work: &dyn Fn()| {
            turn.store(WRITE, Release);
            while turn.load(Acquire) == WRITE && !thread.is_finished() {
                spin_loop();
            }
            let start = Instant::now();
            work();
            start.elapsed()
        };
        let polls: Vec<Duration> = (0..ROUNDS).map(|_| timed(&|| poll(bank))).collect();
        let nothing: Vec<Duration> = (0..ROUNDS).map(|_| timed(&|| ())).collect();
        turn.store(STOP, Relaxed);
        ((polls, nothing), thread.join())
    });
    written.unwrap_or_else(|_| anyhow::bail!("the thread that writes panicked"))?;
    let of = |times: Vec<Duration>| Spread::of(times.iter().map(|time| time.as_nanos() as f64).collect());
    let (polls, nothing) = (of(times.0), of(times.1));
    Ok(Spread {
        best_ns: tenths(polls.best_ns - nothing.best_ns),
        median_ns: tenths(polls.median_ns - nothing.median_ns),
    })
}

impl Spread {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
        Self {
            best_ns: tenths(at(0)),
            median_ns: tenths(at(times.len() / 2)),
        }
    }
}

/// Below that there is only noise.
fn tenths(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

impl Case {
    fn new((services, cpus): (u16, usize), memory: Memory, clean: Spread, dirtied: Option<Spread>) -> Self {
        let whose = match memory {
            Memory::Simulated => "",
            Memory::Mapped => ", mapped",
        };
        let name = format!("{services} services x {cpus} CPUs{whose}");
        let bar_ns = ((services, cpus) == HELD).then_some(BAR_NS);
        let slowest = dirtied.map_or(clean.median_ns, |dirtied| dirtied.median_ns.max(clean.median_ns));
        let met = bar_ns.map(|bar| slowest <= bar);
        let spread = |spread: Spread| format!("{:>9.0} (best {:>6.0})", spread.median_ns, spread.best_ns);
        let bar = match met {
            Some(met) => format!("{BAR_NS:.0} ns {}", if met { "met" } else { "MISSED" }),
            None => "-".to_owned(),
        };
        eprintln!(
            "{name:<34} {:>21} {:>21}  {bar}",
            spread(clean),
            dirtied.map_or_else(|| "-".to_owned(), spread)
        );
        Self {
            name,
            services,
            cpus,
            memory,
            clean,
            dirtied,
            bar_ns,
            met,
        }
    }
}

/// A processor to run on, by its number.
#[derive(Clone, Copy, Debug)]
struct Core(usize);

impl Core {
    /// Moves the calling thread there for good.
    fn enter(self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.0)?;
        sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("can't run on processor {}", self.0))
    }
}

/// Who runs where.
struct Cores {
    reader: Core,
    writer: Option<Core>,
}

impl Cores {
    fn of_this_process() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count())
            .filter(|&core| allowed.is_set(core).unwrap_or(false))
            .map(Core);
        Ok(Self {
            reader: cores.next().context("no processor to run on")?,
            writer: cores.next(),
        })
    }
}
