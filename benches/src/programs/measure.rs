//! How it is measured.

use std::{
    collections::{HashMap, hash_map::Entry},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use anycast_tests::netns::Namespace;
use anycast_user::datapath::{Bank, Datapath};
use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    programs::{CgroupSkb, ProgramFd, SchedClassifier, Xdp},
};
use nix::time::{ClockId, clock_gettime};

use super::{
    case::{Case, Change, Kind, NEVER, Packets},
    kernel,
    rotation::Rotation,
};

/// Packets of a case in a round, about.
const PACKETS_A_ROUND: u32 = 200_000;
/// The part of the tries that is looked at.
const FASTEST: usize = 10;

/// One look at a program and at the empty one, within a millisecond or a few.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    /// Nanoseconds of one run of the program.
    ns: f64,
    /// Of the empty one.
    empty_ns: f64,
    /// What all of it took.
    total: Duration,
}

/// Nanoseconds of one run of the program, and of the empty one: medians of the fastest tenth of the tries.
pub(super) fn typical(mut tries: Vec<Try>) -> Option<(f64, f64)> {
    tries.sort_by_key(|one| one.total);
    tries.truncate(tries.len().div_ceil(FASTEST));
    let median = |of: fn(&Try) -> f64| {
        let mut values: Vec<f64> = tries.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some((median(|one| one.ns)?, median(|one| one.empty_ns)?))
}

/// The loaded programs.
pub(super) struct Bench {
    datapath: Datapath,
    /// By the program that they stand in front of, and the place that they write to.
    rotations: HashMap<(&'static str, u16), Rotation>,
    /// What keeps the XDP programs in the kernel's dispatcher. A test run would put its program there, and wait for all
    /// processors before and after: other processes would have the caches meanwhile, and no short run be like another.
    _residents: Vec<Resident>,
}

/// An XDP program on the loopback device of a network namespace where nothing happens.
struct Resident {
    _link: OwnedFd,
    _namespace: Namespace,
}

impl Resident {
    fn new(program: BorrowedFd<'_>) -> Result<Self> {
        let namespace = Namespace::new()?;
        let link = namespace.run(|| Ok(kernel::attach_xdp_to_loopback(program)?))?;
        Ok(Self {
            _link: link,
            _namespace: namespace,
        })
    }
}

impl Bench {
    pub(super) fn new(mut datapath: Datapath, cases: &[Case]) -> Result<Self> {
        let ebpf = datapath.ebpf_mut();
        let xdp: &mut Xdp = ebpf
            .program_mut("baseline_xdp")
            .context("no baseline_xdp")?
            .try_into()?;
        xdp.load()?;
        let tc: &mut SchedClassifier = ebpf.program_mut("baseline_tc").context("no baseline_tc")?.try_into()?;
        tc.load()?;
        let cgroup: &mut CgroupSkb = ebpf
            .program_mut("baseline_cgroup")
            .context("no baseline_cgroup")?
            .try_into()?;
        cgroup.load()?;
        let all = cases
            .iter()
            .flat_map(|case| [Some(&case.packets), case.before.as_ref(), case.after.as_ref()]);
        let mut rotations = HashMap::new();
        for packets in all.flatten() {
            let &Packets {
                kind,
                program,
                client_at: Some(client_at),
                ..
            } = packets
            else {
                continue;
            };
            for program in [program, kind.empty()] {
                if let Entry::Vacant(entry) = rotations.entry((program, client_at)) {
                    entry.insert(Rotation::new(kind, client_at, descriptor(ebpf, program)?)?);
                }
            }
        }
        let mut residents = Vec::new();
        for program in ["ingress_xdp", Kind::Xdp.empty()] {
            residents.push(Resident::new(descriptor(ebpf, program)?.as_fd())?);
        }
        for rotation in rotations.values().filter(|rotation| rotation.kind() == Kind::Xdp) {
            residents.push(Resident::new(rotation.program())?);
        }
        Ok(Self {
            datapath,
            rotations,
            _residents: residents,
        })
    }

    /// Whether one packet of a case changes what it should.
    pub(super) fn check(&mut self, case: &Case) -> Result<()> {
        // Of those of which some are sampled, the one that is looked at is not.
        let exponent = if case.sample_exponent == 0 { 0 } else { NEVER };
        self.datapath.sample_rate().set(exponent);
        self.pass(case.before.as_ref(), 1)?;
        let before = Totals::of(&self.datapath.bank());
        self.time(&case.packets, case.packets.program, 1)?;
        let change = Totals::of(&self.datapath.bank()).since(before);
        self.pass(case.after.as_ref(), 1)?;
        ensure!(change == case.change, "a packet of it changes {change:?}");
        Ok(())
    }

    /// Measures a case some times.
    pub(super) fn round(&mut self, case: &Case, tries: &mut Vec<Try>) -> Result<()> {
        let Case {
            packets,
            repeats: (few, many),
            ..
        } = case;
        self.datapath.sample_rate().set(case.sample_exponent);
        for _ in 0..(PACKETS_A_ROUND / many).max(1) {
            let mut times = [Duration::ZERO; 4];
            let [first, second, third, fourth] = &mut times;
            for (time, empty_time, &count) in [(first, second, few), (third, fourth, many)] {
                self.pass(case.before.as_ref(), count)?;
                *time = self.time(packets, packets.program, count)?;
                self.pass(case.after.as_ref(), count)?;
                *empty_time = self.time(packets, packets.kind.empty(), count)?;
            }
            let ns = |few_took: Duration, many_took: Duration| {
                (many_took.as_nanos() as f64 - few_took.as_nanos() as f64) / f64::from(many - few)
            };
            let [few_took, empty_few_took, many_took, empty_many_took] = times;
            tries.push(Try {
                ns: ns(few_took, many_took),
                empty_ns: ns(empty_few_took, empty_many_took),
                total: times.iter().sum(),
            });
        }
        Ok(())
    }

    fn pass(&mut self, packets: Option<&Packets>, count: u32) -> Result<()> {
        if let Some(packets) = packets {
            self.time(packets, packets.program, count)?;
        }
        Ok(())
    }

    /// Time of the thread that `count` packets through `program` take, with the call around them.
    fn time(&mut self, packets: &Packets, program: &'static str, count: u32) -> Result<Duration> {
        let Packets {
            kind, frame, client_at, ..
        } = packets;
        let rotation = client_at.and_then(|client_at| self.rotations.get_mut(&(program, client_at)));
        let first = match rotation {
            Some(rotation) => {
                rotation.rewind()?;
                rotation.program()
            }
            None => descriptor(self.datapath.ebpf_mut(), program)?.as_fd(),
        };
        let start = thread_time()?;
        let verdict = kernel::test_run(first, frame, count).with_context(|| format!("test run of {program}"))?;
        let end = thread_time()?;
        ensure!(verdict == kind.verdict(), "{program} returned {verdict}");
        Ok(end.saturating_sub(start))
    }
}

fn descriptor<'ebpf>(ebpf: &'ebpf Ebpf, program: &str) -> Result<&'ebpf ProgramFd> {
    let loaded = ebpf.program(program).with_context(|| format!("no program {program}"))?;
    Ok(loaded.fd()?)
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// All counters that cases differ in, of all services.
#[derive(Clone, Copy)]
struct Totals(Change);

impl Totals {
    fn of(bank: &Bank) -> Self {
        let services = 0..bank.services();
        let mut total = Change {
            unclassified: bank.unclassified().iter().sum(),
            ..Change::default()
        };
        for service in services {
            let (reading, latency) = (bank.read(service), bank.latency(service));
            total.packets += reading.packets_in + reading.packets_out;
            total.queries += reading.queries;
            total.answers += reading.answers;
            total.sent += reading.local_answers;
            total.opened += latency.sampled;
            total.closed += latency.buckets.iter().sum::<u64>();
        }
        Self(total)
    }

    fn since(self, Self(before): Self) -> Change {
        let Self(now) = self;
        Change {
            packets: now.packets - before.packets,
            queries: now.queries - before.queries,
            answers: now.answers - before.answers,
            unclassified: now.unclassified - before.unclassified,
            sent: now.sent - before.sent,
            opened: now.opened - before.opened,
            closed: now.closed - before.closed,
        }
    }
}
