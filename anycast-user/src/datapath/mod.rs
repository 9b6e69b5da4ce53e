//! The kernel side of the daemon: loads the programs, attaches them to the uplinks, hands out the [`Bank`] to read.

mod attach;
mod bank;
mod cpus;
mod self_test;

use std::net::IpAddr;

use anycast_ebpf::layout::{Classifier, MAX_SERVICES, PROTOCOL_UDP, ServiceKey, Slot, Table};
use aya::{
    Ebpf, EbpfError, EbpfLoader, Pod,
    maps::{Array, MapError},
    programs::{ProgramError, SchedClassifier, Xdp},
};
use thiserror::Error;

pub use self::{
    attach::{Attached, EgressHook, IngressHook, Refused},
    bank::{Bank, Reading},
};

/// The object that `cargo xtask build-ebpf` made, empty when the daemon was built without it.
static PROGRAMS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/anycast-programs"));

const INGRESS_XDP: &str = "ingress_xdp";
const INGRESS_TC: &str = "ingress_tc";
const EGRESS_TC: &str = "egress_tc";
const SELF_TEST: &str = "self_test";

/// What can go wrong between the programs' object and packets being counted.
#[derive(Debug, Error)]
pub enum DatapathError {
    /// Built without the kernel programs.
    #[error(
        "this anycast-probe was built without its kernel programs: run `cargo xtask setup`, then `cargo xtask build-ebpf`, and build it again"
    )]
    NotBuilt,
    /// The kernel refused for want of privilege.
    #[error(
        "not permitted to load BPF programs: run as root, or give the process CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    NotPermitted,
    /// More services than the map's layout holds.
    #[error(
        "{0} service addresses are more than the {MAX_SERVICES} that can be counted: split them over several daemons"
    )]
    TooManyServices(usize),
    /// No collision-free table.
    #[error("no perfect hash was found for these services: is one of them listed twice?")]
    NoPerfectHash,
    /// The object lacks a program or map that this daemon expects.
    #[error(
        "the kernel programs have no `{0}`: they and the daemon are of different versions, run `cargo xtask build-ebpf` and build the daemon again"
    )]
    Missing(&'static str),
    /// The verifier or loader refused.
    #[error("the kernel refused to load the programs (Linux 6.1 or later with BPF JIT is needed)")]
    Load(#[source] Box<EbpfError>),
    /// A program could not be loaded or test-run.
    #[error("the kernel refused the program `{program}`")]
    Program {
        /// Which one.
        program: &'static str,
        /// What it said.
        #[source]
        source: Box<ProgramError>,
    },
    /// A map could not be written.
    #[error("a BPF map could not be used")]
    Map(#[from] Box<MapError>),
    /// The kernel would not say which CPUs there are.
    #[error("the possible CPUs can't be read from /sys/devices/system/cpu/possible: is /sys mounted?")]
    Cpus(#[source] std::io::Error),
    /// The counters could not be mapped.
    #[error("the kernel's counters could not be mapped into memory")]
    Mmap(#[source] std::io::Error),
    /// The programs do not find a service that was put in their table.
    #[error(
        "the loaded programs do not recognise a query for {0}: not attaching them; please report this with your kernel's version"
    )]
    SelfTest(String),
    /// No hook took a program.
    #[error("could not attach to uplink {uplink}: {reason}")]
    Attach {
        /// The interface.
        uplink: String,
        /// Why its last choice failed.
        reason: String,
    },
}

/// One service address to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The service address.
    pub address: IpAddr,
    /// UDP port.
    pub port: u16,
}

impl Service {
    fn key(&self) -> ServiceKey {
        match self.address {
            IpAddr::V4(address) => ServiceKey::ipv4(address.octets(), PROTOCOL_UDP, self.port),
            IpAddr::V6(address) => ServiceKey::ipv6(address.octets(), PROTOCOL_UDP, self.port),
        }
    }
}

/// The loaded programs. What is attached is detached when this is dropped.
#[derive(Debug)]
pub struct Datapath {
    ebpf: Ebpf,
    bank: Bank,
}

impl Datapath {
    /// Loads the programs and fills the service table; nothing is attached yet.
    ///
    /// Minimum kernel version: 6.1.
    pub fn load(services: &[Service]) -> Result<Self, DatapathError> {
        if PROGRAMS.is_empty() {
            return Err(DatapathError::NotBuilt);
        }
        if services.len() > MAX_SERVICES {
            return Err(DatapathError::TooManyServices(services.len()));
        }
        let cpus = cpus::numbers_in_use().map_err(DatapathError::Cpus)?;
        let entries = services.len().max(1) as u32 * cpus;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("BANK", entries)
            .map_max_entries("UNCLASSIFIED", cpus)
            .load(PROGRAMS)
            .map_err(load_error)?;
        fill_table(&mut ebpf, services, cpus)?;
        for program in [INGRESS_TC, EGRESS_TC, SELF_TEST] {
            let classifier: &mut SchedClassifier = program_mut(&mut ebpf, program)?;
            classifier.load().map_err(|error| program_error(program, error))?;
        }
        let xdp: &mut Xdp = program_mut(&mut ebpf, INGRESS_XDP)?;
        xdp.load().map_err(|error| program_error(INGRESS_XDP, error))?;
        let bank = Bank::map(&ebpf, services.len(), cpus as usize)?;
        Ok(Self { ebpf, bank })
    }

    /// The counters; reading them takes no system call. Stays valid after the programs are gone.
    #[must_use]
    pub fn bank(&self) -> Bank {
        self.bank.clone()
    }

    /// The loaded object, for the log of its programs and for test runs.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// The service table's entries: each service with the index of its counters of CPU 0, in a bank for `cpus` CPUs.
#[must_use]
pub fn slots(services: &[Service], cpus: u32) -> Vec<Slot> {
    (0..)
        .zip(services)
        .map(|(index, service)| Slot {
            key: service.key(),
            classifier: Classifier::DnsUdp as u32,
            bank: index * cpus,
        })
        .collect()
}

fn fill_table(ebpf: &mut Ebpf, services: &[Service], cpus: u32) -> Result<(), DatapathError> {
    /// The table as aya writes it.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    struct Plain(Table);
    // SAFETY: a `Table` is `repr(C)`, holds only integers and has no padding (its size is asserted to be the sum of its
    // fields'), so every byte of it is initialised and any bytes make a valid one.
    unsafe impl Pod for Plain {}

    let mut table = Box::new(Plain(Table::EMPTY));
    anycast_ebpf::table::fill(&mut table.0, &slots(services, cpus)).map_err(|_| DatapathError::NoPerfectHash)?;
    let map = ebpf.map_mut("TABLE").ok_or(DatapathError::Missing("TABLE"))?;
    let mut map: Array<_, Plain> = map.try_into().map_err(Box::new)?;
    map.set(0, table.as_ref(), 0).map_err(Box::new)?;
    Ok(())
}

/// A loaded program by name.
fn program_mut<'ebpf, P>(ebpf: &'ebpf mut Ebpf, name: &'static str) -> Result<&'ebpf mut P, DatapathError>
where
    &'ebpf mut P: TryFrom<&'ebpf mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or(DatapathError::Missing(name))?
        .try_into()
        .map_err(|error| program_error(name, error))
}

fn program_error(program: &'static str, source: ProgramError) -> DatapathError {
    if let ProgramError::LoadError { io_error, .. } = &source
        && is_permission(io_error)
    {
        return DatapathError::NotPermitted;
    }
    DatapathError::Program {
        program,
        source: Box::new(source),
    }
}

fn load_error(error: EbpfError) -> DatapathError {
    if let EbpfError::MapError(MapError::CreateError { io_error, .. }) = &error
        && is_permission(io_error)
    {
        return DatapathError::NotPermitted;
    }
    DatapathError::Load(Box::new(error))
}

/// EPERM only: EACCES, of the same `ErrorKind`, is the verifier's refusal.
fn is_permission(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}
