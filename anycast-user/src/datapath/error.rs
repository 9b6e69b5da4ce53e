//! What can go wrong in [`super`].

use anycast_ebpf::layout::SERVICES_MAX;
use aya::{EbpfError, maps::MapError, programs::ProgramError};
use thiserror::Error;

use super::PinsError;

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
        "{0} service addresses are more than the {SERVICES_MAX} that can be counted: split them over several daemons"
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
    /// There are too many open files.
    #[error("the descriptor of a kernel program can't be copied: raise LimitNOFILE= of the unit")]
    Descriptor(#[source] std::io::Error),
    /// The kernel would not say which CPUs there are.
    #[error("the possible CPUs can't be read from /sys/devices/system/cpu/possible: is /sys mounted?")]
    Cpus(#[source] std::io::Error),
    /// The counters could not be mapped.
    #[error("the kernel's counters could not be mapped into memory")]
    Mmap(#[source] std::io::Error),
    /// A program would keep packets from being sent.
    #[error(
        "the loaded program `{0}` would not let a packet pass: not attaching any; please report this with your kernel's version"
    )]
    WouldDrop(&'static str),
    /// The programs do not find a service that was put in their table, or what belongs to it.
    #[error(
        "the loaded programs do not recognise {0}: not attaching them; please report this with your kernel's version"
    )]
    SelfTest(String),
    /// What is pinned is in the way.
    #[error(transparent)]
    Pins(Box<PinsError>),
    /// No hook took a program.
    #[error("could not attach to uplink {uplink}: {reason}")]
    Attach {
        /// The interface.
        uplink: String,
        /// Why its last choice failed.
        reason: String,
    },
}

impl From<PinsError> for DatapathError {
    fn from(error: PinsError) -> Self {
        Self::Pins(Box::new(error))
    }
}

pub(super) fn program_error(program: &'static str, source: ProgramError) -> DatapathError {
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

pub(super) fn load_error(error: EbpfError) -> DatapathError {
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
