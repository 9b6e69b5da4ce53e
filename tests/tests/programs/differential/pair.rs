//! Both sides: the loaded programs, and the library on the host.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anycast_ebpf::{
    host::Host,
    layout::{Counter, Latency, Settings},
    packet::{Tunnels, View},
};
use anycast_user::datapath::{LatencyReading, LoadSettings, Reading, locals, slots};
use aya::{
    Ebpf,
    maps::{Array, Map},
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::{
    hooks::Hook,
    node::{Counted, Node, services},
};

/// What is under way gets no older than this. It is far from where its age matters: that the clock is read for one side
/// after the other would make a difference there, now and then.
const UNDER_WAY_MAX: Duration = Duration::from_millis(300);

pub(crate) struct Pair {
    node: Node,
    host: Host,
    tunnels: Tunnels,
    start: Instant,
    forgot: Instant,
}

impl Pair {
    /// Both with the services of [`services`], and every transaction sampled; `None` where the programs can't be loaded.
    pub(crate) fn load(settings: &LoadSettings) -> Option<Self> {
        let services = services();
        let mut node = Node::load(&services, settings)?;
        node.datapath.sample_rate().set(0);
        let numbers: Vec<u16> = (0..).take(services.len()).collect();
        let host = Host::new(
            &slots(&services, &numbers, 1),
            &locals(&services, &settings.local_addresses),
            0,
            secret(node.datapath.ebpf_mut()),
        )
        .expect("a perfect hash");
        Some(Self {
            node,
            host,
            tunnels: settings.tunnels,
            start: Instant::now(),
            forgot: Instant::now(),
        })
    }

    /// A packet is seen by a hook, unless the kernel doesn't take it for a test run.
    pub(crate) fn meet(&mut self, hook: Hook, bytes: &[u8]) {
        if !hook.takes(bytes) {
            return;
        }
        if self.forgot.elapsed() > UNDER_WAY_MAX {
            self.forget();
        }
        self.node.programs.pass(hook, bytes);
        let now = self.start.elapsed().as_nanos();
        self.host.set_time(u64::try_from(now).expect("a test is shorter"));
        if hook == Hook::CgroupEgress {
            if Node::shows_sent() {
                self.host.record_sent(bytes);
            }
            return;
        }
        let view = View {
            direction: hook.direction(),
            framing: hook.framing(),
            tunnels: self.tunnels,
        };
        self.host.record(bytes, view);
    }

    /// Nothing is under way any more, on either side.
    fn forget(&mut self) {
        let memory = self.host.memory();
        let transactions = memory.transactions.iter().map(|transaction| &transaction.tag);
        let exchanges = memory.exchanges.iter().map(|exchange| &exchange.tag);
        let ebpf = self.node.datapath.ebpf_mut();
        clear(ebpf, "TRANSACTIONS", transactions);
        clear(ebpf, "EXCHANGES", exchanges);
        self.forgot = Instant::now();
    }

    /// What the programs have counted.
    pub(crate) fn counted(&self) -> Counted {
        self.node.everything()
    }

    /// Whether both have counted the same, or what differs.
    pub(crate) fn compare(&self) -> Result<(), String> {
        let kernel = self.counted();
        let host = self.counted_by_host();
        if kernel == host {
            return Ok(());
        }
        if kernel.unclassified != host.unclassified {
            return Err(format!(
                "unclassified by the kernel {:?}, by the host {:?}",
                kernel.unclassified, host.unclassified
            ));
        }
        let services = services();
        let different = services
            .iter()
            .zip(kernel.services.iter().zip(&host.services))
            .find(|(_, (kernel, host))| kernel != host);
        Err(format!(
            "service, and what the kernel and the host counted: {different:?}"
        ))
    }

    fn counted_by_host(&self) -> Counted {
        let memory = self.host.memory();
        let readings = memory.counters.iter().map(Reading::from);
        let samples = memory.latency.iter().map(|latency| (&reading(latency)).into());
        Counted {
            services: readings.zip(samples).collect(),
            unclassified: memory.unclassified.by_reason.each_ref().map(Counter::get),
        }
    }
}

/// Empties the slots that are taken on the host, and the same ones of the programs.
fn clear<'host>(ebpf: &mut Ebpf, map: &str, tags: impl Iterator<Item = &'host AtomicU64>) {
    let map = ebpf.map_mut(map).expect("the map");
    let mut slots: Array<_, [u64; 2]> = map.try_into().expect("an array of a tag and a time each");
    for (place, tag) in (0..).zip(tags) {
        if tag.swap(0, Relaxed) != 0 {
            slots.set(place, [0; 2], 0).expect("a place of the map");
        }
    }
}

fn reading(latency: &Latency) -> LatencyReading {
    let load = |number: &AtomicU64| number.load(Relaxed);
    LatencyReading {
        buckets: latency.buckets.each_ref().map(load),
        sampled: load(&latency.sampled),
        overwritten: load(&latency.overwritten),
        mismatched: load(&latency.mismatched),
        not_followed: load(&latency.not_followed),
    }
}

/// The key of the hash of transactions, which the daemon has no use for once it has set it.
fn secret(ebpf: &Ebpf) -> u64 {
    let Some(Map::Array(map)) = ebpf.map("SERVICES") else {
        panic!("the map of the services")
    };
    let length = NonZeroUsize::new(size_of::<Settings>()).expect("not empty");
    // SAFETY: a new mapping, at an address of the kernel's choice; nothing else refers to it.
    let mapping = unsafe {
        mmap(
            None,
            length,
            ProtFlags::PROT_READ,
            MapFlags::MAP_SHARED,
            map.fd().as_fd(),
            0,
        )
    }
    .expect("a mapping");
    // SAFETY: the map starts with the settings, the mapping is aligned to pages and zeroed by the kernel, and there for as
    // long as the reference. They are atomics but for words that nobody writes to.
    let secret = unsafe { mapping.cast::<Settings>().as_ref() }.secret.load(Relaxed);
    // SAFETY: start and length are those of `mmap`, and no reference is left.
    unsafe { munmap(mapping, length.get()) }.expect("a mapping of our own");
    secret
}
