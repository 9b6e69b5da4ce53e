//! The kernel side of the daemon: loads the programs, attaches them to the uplinks, hands out the [`Bank`] to read.

mod attach;
mod attached;
mod bank;
mod bpf;
mod cpus;
mod error;
mod hold;
mod hooks;
mod in_place;
mod kernel_set;
mod mapping;
mod pins;
mod second_proof;
mod self_test;
mod services;
mod simulated;
mod test_run;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
};

use anycast_ebpf::{layout::SERVICES_MAX, packet::Tunnels};
use aya::{
    Ebpf, EbpfLoader,
    programs::{CgroupSkb, ProgramError, SchedClassifier, Xdp},
};

use self::{
    error::{load_error, program_error},
    hooks::Hooks,
    services::ServiceTable,
};
use crate::net::LinkIndex;

pub use self::{
    attached::{Attached, EgressHook, IngressHook, Refused},
    bank::{Bank, LatencyReading, Reading},
    error::DatapathError,
    hold::HookPoint,
    pins::{
        Attachment, Cleaned, Detached, Instance, ObserveError, Observed, PinnedInstance, Pins, PinsError,
        ProgramSummary, Which, cleanup, inventory,
    },
    second_proof::{SecondProof, SecondProofError},
    services::{SampleRate, Service, locals, slots},
    simulated::SimulatedPrograms,
    test_run::{TEST_RUN_MAX_BYTES, TEST_RUN_MIN_BYTES},
};

/// The object that `cargo xtask build-ebpf` made, empty when the daemon was built without it.
static PROGRAMS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/anycast-programs"));

const INGRESS_XDP: &str = "ingress_xdp";
const INGRESS_TC: &str = "ingress_tc";
const EGRESS_TC: &str = "egress_tc";
const INGRESS_TC_IP: &str = "ingress_tc_ip";
const EGRESS_TC_IP: &str = "egress_tc_ip";
const EGRESS_CGROUP: &str = "egress_cgroup";
const SELF_TEST: &str = "self_test";
const BASELINE_XDP: &str = "baseline_xdp";

/// What the programs are told besides their services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadSettings {
    /// Addresses of this host: packets from them are no queries. Those of the services are known to be.
    pub local_addresses: Vec<IpAddr>,
    /// Which tunnels of a load balancer are looked through.
    pub tunnels: Tunnels,
    /// Count with atomic additions, for kernels on which bottom halves don't keep programs apart (`PREEMPT_RT`).
    pub atomic_counters: bool,
    /// Count what any socket sends, for test runs: the kernel makes a socket for each.
    pub any_socket: bool,
}

/// The loaded programs. What is attached is detached when this is dropped, unless it is pinned.
#[derive(Debug)]
pub struct Datapath {
    // Detached before the programs go.
    hooks: Hooks,
    ebpf: Ebpf,
    services: ServiceTable,
    bank: Bank,
    /// The indices of the links that answers leave by.
    ways_out: BTreeSet<u32>,
}

impl Datapath {
    /// Loads the programs and fills the service table, in maps of their own; nothing is attached yet.
    ///
    /// Minimum kernel version: 6.1.
    pub fn load(services: &[Service], settings: &LoadSettings) -> Result<Self, DatapathError> {
        Self::load_pinned(services, settings, None)
    }

    /// As [`Datapath::load`]. With `pins` the maps are those that are pinned there, with all that was counted, or new ones
    /// that are pinned; what an earlier process left attached goes on counting until [`Datapath::attach`] exchanges its
    /// programs.
    pub fn load_pinned(
        services: &[Service],
        settings: &LoadSettings,
        pins: Option<Pins>,
    ) -> Result<Self, DatapathError> {
        if PROGRAMS.is_empty() {
            return Err(DatapathError::NotBuilt);
        }
        let LoadSettings {
            local_addresses,
            tunnels,
            atomic_counters,
            any_socket,
        } = settings;
        let cpus = cpus::numbers_in_use().map_err(DatapathError::Cpus)?;
        let entries = [
            ("BANK", SERVICES_MAX as u32 * cpus),
            ("UNCLASSIFIED", cpus),
            ("LATENCY", SERVICES_MAX as u32),
        ];
        let pinned = pins.as_ref().map(|pins| pins.maps(PROGRAMS, &entries)).transpose()?;
        let atomic_counters = u8::from(*atomic_counters);
        let any_socket = u8::from(*any_socket);
        let ip_in_ip = u8::from(tunnels.ip_in_ip);
        let mut loader = EbpfLoader::new();
        loader
            .override_global("ATOMIC_COUNTERS", &atomic_counters, true)
            .override_global("ANY_SOCKET", &any_socket, true)
            .override_global("LOOK_THROUGH_IP_IN_IP", &ip_in_ip, true)
            .override_global("GUE_PORT", &tunnels.gue_port, true);
        for (map, entries) in entries {
            loader.map_max_entries(map, entries);
        }
        for (map, path) in pinned.iter().flatten() {
            loader.map_pin_path(map, path.as_path());
        }
        let mut ebpf = loader.load(PROGRAMS).map_err(load_error)?;
        let hooks = Hooks::adopt(pins)?;
        let mut table = ServiceTable::of(&ebpf, cpus)?;
        table.key(RandomState::new().hash_one(0));
        table.sample_rate().set(SampleRate::AT_START);
        let numbers = table.update(services, local_addresses)?;
        for program in [INGRESS_TC, INGRESS_TC_IP, EGRESS_TC, EGRESS_TC_IP, SELF_TEST] {
            let classifier: &mut SchedClassifier = program_mut(&mut ebpf, program)?;
            classifier.load().map_err(|error| program_error(program, error))?;
        }
        let xdp: &mut Xdp = program_mut(&mut ebpf, INGRESS_XDP)?;
        xdp.load().map_err(|error| program_error(INGRESS_XDP, error))?;
        let cgroup: &mut CgroupSkb = program_mut(&mut ebpf, EGRESS_CGROUP)?;
        cgroup.load().map_err(|error| program_error(EGRESS_CGROUP, error))?;
        let bank = Bank::map(&ebpf, numbers, cpus as usize)?;
        Ok(Self {
            hooks,
            ebpf,
            services: table,
            bank,
            ways_out: BTreeSet::new(),
        })
    }

    /// Makes `services` the ones that are counted, without losing a count of those that stay; their counters are in the
    /// bank that this returns.
    pub fn update(&mut self, services: &[Service], local_addresses: &[IpAddr]) -> Result<Bank, DatapathError> {
        let numbers = self.services.update(services, local_addresses)?;
        self.bank = self.bank.with_numbers(numbers);
        Ok(self.bank())
    }

    /// Makes packets from `local_addresses` no queries, and those from other addresses queries again. No count is lost.
    pub fn set_local_addresses(&mut self, local_addresses: &[IpAddr]) -> Result<(), DatapathError> {
        self.services.set_local_addresses(local_addresses)
    }

    /// By which the number of transactions is set that are sampled for their latency.
    #[must_use]
    pub fn sample_rate(&self) -> SampleRate {
        self.services.sample_rate()
    }

    /// The counters; reading them takes no system call. Stays valid after the programs are gone.
    #[must_use]
    pub fn bank(&self) -> Bank {
        self.bank.clone()
    }

    /// What is attached and counted stays from now on, if it is pinned: without this, a first start that comes to nothing
    /// takes its pins away again. To be called when every uplink is attached to.
    pub fn keep(&mut self) -> Result<(), DatapathError> {
        let programs = [INGRESS_TC, INGRESS_TC_IP, EGRESS_TC, EGRESS_TC_IP].map(|name| {
            let program: &mut SchedClassifier = program_mut(&mut self.ebpf, name)?;
            let info = program.info().map_err(|error| program_error(name, error))?;
            Ok(info.id())
        });
        let programs = programs.into_iter().collect::<Result<Vec<_>, DatapathError>>()?;
        Ok(self.hooks.keep(&programs)?)
    }

    /// Whether what is attached and counted stays when this is dropped.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.hooks.pins().is_some()
    }

    /// The interfaces that programs of this instance are at, those of an earlier process included.
    #[must_use]
    pub fn links(&self) -> BTreeSet<LinkIndex> {
        self.hooks.links()
    }

    /// The kernel's numbers of this tool's programs: those that were loaded, those that an earlier process has left on
    /// uplinks, and those of other instances that are pinned on the same BPF file system (the usual one where nothing is
    /// pinned).
    #[must_use]
    pub fn program_numbers(&self) -> Vec<u32> {
        let programs = self.ebpf.programs();
        let loaded = programs.filter_map(|(_, program)| Some(program.info().ok()?.id()));
        let known = loaded.chain(self.hooks.earlier_programs());
        known.chain(self.hooks.pinned_programs()).collect()
    }

    /// The loaded object, for the log of its programs and for test runs.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
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
