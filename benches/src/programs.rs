//! What a packet costs in each program, against an empty program of its type.
//!
//! `BPF_PROG_TEST_RUN` repeats a program on one frame. Its own figure is cut to whole nanoseconds, so the thread's CPU time
//! around the call is taken, at two repeat counts: their difference holds the programs and nothing of the call. Rounds
//! of all programs are interleaved and the fastest time of each count is kept, a busy machine only ever adds, and only
//! then is the difference taken: one of the same round would be too small whenever the smaller count was disturbed.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::{Datapath, LoadSettings, Service};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{SchedClassifier, TestRun, TestRunOptions, Xdp},
};
use etherparse::{Ethernet2Header, PacketBuilder, PacketBuilderStep, VlanId};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

const REPEATS: (u32, u32) = (20_000, 420_000);
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const SERVICE: [u8; 4] = [192, 0, 2, 53];
const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
const QUERY: [u8; 29] = *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01";

#[derive(clap::Args)]
pub(crate) struct ProgramsArgs {
    /// Rounds; the fastest counts
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Print the result as one JSON object, the last line on stdout
    #[arg(long)]
    json: bool,
}

/// One program on one frame.
struct Case {
    name: &'static str,
    program: &'static str,
    baseline: &'static str,
    frame: Vec<u8>,
}

#[derive(Serialize)]
struct Cost {
    /// Nanoseconds a packet.
    ns: f64,
    /// Of the empty program on the same frame.
    baseline_ns: f64,
    /// The first over the second.
    ratio: f64,
}

pub(crate) fn run(arguments: &ProgramsArgs) -> Result<()> {
    let services =
        [SERVICE.into(), SERVICE_V6.into()].map(|address: IpAddr| Service::new(address, 53, Classifier::DnsUdp));
    let mut datapath = Datapath::load(&services, &LoadSettings::default())?;
    let ebpf = datapath.ebpf_mut();
    load_baselines(ebpf)?;
    let cases = cases()?;
    let mut best = vec![(Fastest::default(), Fastest::default()); cases.len()];
    for round in 1..=arguments.rounds {
        eprint!("\rround {round} of {} ", arguments.rounds);
        for (case, (program, baseline)) in cases.iter().zip(&mut best) {
            program.measure(ebpf, case.program, &case.frame)?;
            baseline.measure(ebpf, case.baseline, &case.frame)?;
        }
    }
    eprintln!();
    let mut costs = BTreeMap::new();
    for (case, (program, baseline)) in cases.iter().zip(best) {
        let (ns, baseline_ns) = (program.run_ns(), baseline.run_ns());
        let ratio = ns / baseline_ns;
        let added = ns - baseline_ns;
        eprintln!(
            "{:<28} {ns:6.1} ns, an empty program {baseline_ns:6.1} ns: x{ratio:.2}, +{added:.1} ns",
            case.name
        );
        costs.insert(case.name, Cost { ns, baseline_ns, ratio });
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&costs)?);
    }
    Ok(())
}

fn load_baselines(ebpf: &mut Ebpf) -> Result<()> {
    let xdp: &mut Xdp = ebpf
        .program_mut("baseline_xdp")
        .context("no baseline_xdp")?
        .try_into()?;
    xdp.load()?;
    let tc: &mut SchedClassifier = ebpf.program_mut("baseline_tc").context("no baseline_tc")?.try_into()?;
    tc.load()?;
    Ok(())
}

fn cases() -> Result<Vec<Case>> {
    let ethernet = || PacketBuilder::ethernet2([2; 6], [4; 6]);
    let vlan = || ethernet().single_vlan(VlanId::try_new(5).unwrap_or_default());
    let udp = |step: PacketBuilderStep<etherparse::IpHeaders>, ports: (u16, u16)| -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        step.udp(ports.0, ports.1).write(&mut frame, &QUERY)?;
        Ok(frame)
    };
    let mut tcp = Vec::new();
    ethernet()
        .ipv4(CLIENT, SERVICE, 64)
        .tcp(40000, 443, 1, 1000)
        .write(&mut tcp, &QUERY)?;
    let mut answer = udp(ethernet().ipv4(SERVICE, CLIENT, 64), (53, 40000))?;
    if let Some(flags) = answer.get_mut(Ethernet2Header::LEN + 20 + 8 + 2) {
        *flags |= 0x80;
    }
    let xdp = |name, frame| Case {
        name,
        program: "ingress_xdp",
        baseline: "baseline_xdp",
        frame,
    };
    let tc = |name, program, frame| Case {
        name,
        program,
        baseline: "baseline_tc",
        frame,
    };
    Ok(vec![
        xdp(
            "xdp query ipv4",
            udp(ethernet().ipv4(CLIENT, SERVICE, 64), (40000, 53))?,
        ),
        xdp(
            "xdp query ipv6",
            udp(ethernet().ipv6(CLIENT_V6, SERVICE_V6, 64), (40000, 53))?,
        ),
        xdp(
            "xdp query ipv4 vlan",
            udp(vlan().ipv4(CLIENT, SERVICE, 64), (40000, 53))?,
        ),
        xdp(
            "xdp other service udp",
            udp(ethernet().ipv4(CLIENT, SERVICE, 64), (40000, 54))?,
        ),
        xdp("xdp other tcp", tcp),
        tc(
            "tc ingress query ipv4",
            "ingress_tc",
            udp(ethernet().ipv4(CLIENT, SERVICE, 64), (40000, 53))?,
        ),
        tc("tc egress answer ipv4", "egress_tc", answer),
    ])
}

/// The fastest that few and many runs of a program on a frame were.
#[derive(Debug, Clone, Copy)]
struct Fastest {
    few: Duration,
    many: Duration,
}

impl Default for Fastest {
    fn default() -> Self {
        let (few, many) = (Duration::MAX, Duration::MAX);
        Self { few, many }
    }
}

impl Fastest {
    fn measure(&mut self, ebpf: &mut Ebpf, program: &'static str, frame: &[u8]) -> Result<()> {
        let (few, many) = REPEATS;
        self.few = self.few.min(repeated(ebpf, program, frame, few)?);
        self.many = self.many.min(repeated(ebpf, program, frame, many)?);
        Ok(())
    }

    /// Nanoseconds of one run.
    fn run_ns(self) -> f64 {
        let (few, many) = REPEATS;
        (self.many.as_nanos() as f64 - self.few.as_nanos() as f64) / f64::from(many - few)
    }
}

fn repeated(ebpf: &mut Ebpf, name: &'static str, frame: &[u8], repeat: u32) -> Result<Duration> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..Default::default()
    };
    let before = thread_time()?;
    if name.ends_with("xdp") {
        <&mut Xdp>::try_from(program)?.test_run(options)?;
    } else {
        <&mut SchedClassifier>::try_from(program)?.test_run(options)?;
    }
    Ok(thread_time()?.saturating_sub(before))
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
