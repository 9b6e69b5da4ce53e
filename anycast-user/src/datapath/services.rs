//! The service table, written into the memory that the programs read.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, Release},
    },
    thread,
    time::{Duration, Instant},
};

use anycast_ebpf::{
    classify::Classifier,
    layout::{LOCAL_ADDRESSES_MAX, SERVICES_MAX, ServiceKey, Services, Settings, Slot, Table},
    table,
};
use aya::Ebpf;
use nix::sys::mman::ProtFlags;

use super::{DatapathError, mapping::Mapping};

/// A program that looked into a table is done with it after this time, by a wide margin: it runs for less than a
/// microsecond, and only `PREEMPT_RT` may interrupt it.
const GRACE: Duration = Duration::from_secs(1);

/// One service address to count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// The service address.
    pub address: IpAddr,
    /// UDP or TCP port.
    pub port: u16,
    /// How its packets are told into queries and answers.
    pub classifier: Classifier,
}

impl Service {
    /// A service at one address.
    #[must_use]
    pub fn new(address: impl Into<IpAddr>, port: u16, classifier: Classifier) -> Self {
        Self {
            address: address.into(),
            port,
            classifier,
        }
    }

    fn key(&self) -> ServiceKey {
        let protocol = self.classifier.protocol();
        match self.address {
            IpAddr::V4(address) => ServiceKey::ipv4(address.octets(), protocol, self.port),
            IpAddr::V6(address) => ServiceKey::ipv6(address.octets(), protocol, self.port),
        }
    }
}

/// The service table's entries of `services`: the one at `index` has the number `numbers[index]`, and its counters of CPU 0
/// are there in a bank for `cpus` CPUs.
#[must_use]
pub fn slots(services: &[Service], numbers: &[u16], cpus: u32) -> Vec<Slot> {
    services
        .iter()
        .zip(numbers)
        .map(|(service, &number)| Slot {
            key: service.key(),
            classifier: service.classifier as u16,
            service: number,
            bank: u32::from(number) * cpus,
        })
        .collect()
}

/// The addresses that are no clients, as the table has them: those of `services` and `local_addresses`.
#[must_use]
pub fn locals(services: &[Service], local_addresses: &[IpAddr]) -> Vec<[u64; 2]> {
    let of_services = services.iter().map(|service| service.address);
    let addresses: BTreeSet<IpAddr> = of_services.chain(local_addresses.iter().copied()).collect();
    let key = |address| match address {
        IpAddr::V4(address) => ServiceKey::ipv4(address.octets(), 0, 0),
        IpAddr::V6(address) => ServiceKey::ipv6(address.octets(), 0, 0),
    };
    addresses
        .into_iter()
        .map(|address| key(address).address)
        .take(LOCAL_ADDRESSES_MAX)
        .collect()
}

/// The memory of the map `SERVICES`.
#[derive(Debug)]
pub(super) struct ServiceTable {
    mapping: Arc<Mapping>,
    cpus: u32,
    changed: Option<Instant>,
    /// What is in the table.
    services: Vec<Service>,
    local_addresses: BTreeSet<IpAddr>,
}

/// The numbers of `services` in a table that another process writes: what is behind `descriptor` is only read. `None` for
/// those that it doesn't have.
pub(super) fn numbers_in_use(
    descriptor: BorrowedFd<'_>,
    services: &[Service],
) -> Result<Vec<Option<u16>>, DatapathError> {
    let words = size_of::<Services>() / size_of::<u64>();
    let table = ServiceTable {
        mapping: Arc::new(Mapping::of_descriptor(
            descriptor,
            "SERVICES",
            words,
            ProtFlags::PROT_READ,
        )?),
        cpus: 0,
        changed: None,
        services: Vec::new(),
        local_addresses: BTreeSet::new(),
    };
    // A table that was active when this began is left alone for a second more, and this takes far less.
    let slots = table.active_slots();
    let number = |service: &Service| {
        let is_it = |slot: &&Slot| slot.key == service.key() && slot.classifier == service.classifier as u16;
        slots.iter().find(is_it).map(|slot| slot.service)
    };
    Ok(services.iter().map(number).collect())
}

impl ServiceTable {
    pub(super) fn of(ebpf: &Ebpf, cpus: u32) -> Result<Self, DatapathError> {
        let words = size_of::<Services>() / size_of::<u64>();
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let mut table = Self {
            mapping: Arc::new(Mapping::of(ebpf, "SERVICES", words, protection)?),
            cpus,
            changed: None,
            services: Vec::new(),
            local_addresses: BTreeSet::new(),
        };
        if !table.active_slots().is_empty() {
            // Of an earlier process, which may have changed it just now.
            table.changed = Some(Instant::now());
        }
        Ok(table)
    }

    /// Makes `services` the ones that are counted, and returns their numbers. One that was there before keeps its number
    /// and with it its counters; packets are counted all the while, by the old table or the new one.
    ///
    /// A number that a service had which is gone is given to another one, with what it has counted, only when there is none
    /// that never was a service's. Waits for up to a
    /// second when the last change was just before.
    pub(super) fn update(
        &mut self,
        services: &[Service],
        local_addresses: &[IpAddr],
    ) -> Result<Vec<u16>, DatapathError> {
        if services.len() > SERVICES_MAX {
            return Err(DatapathError::TooManyServices(services.len()));
        }
        let never_given = self.settings().numbers_given.load(Relaxed).min(SERVICES_MAX as u64);
        let numbers = numbers(&self.active_slots(), never_given as u16, services);
        let mut table = Box::new(Table::EMPTY);
        let slots = slots(services, &numbers, self.cpus);
        let locals = locals(services, local_addresses);
        table::fill(&mut table, &slots, &locals).map_err(|_| DatapathError::NoPerfectHash)?;
        if let Some(changed) = self.changed {
            thread::sleep(GRACE.saturating_sub(changed.elapsed()));
        }
        let active = self.settings().active.load(Relaxed) & 1;
        let inactive = active ^ 1;
        let target = self.table(inactive);
        // SAFETY: the source is a whole table. The target lies in the mapping, which is as large as `Services`, is
        // writable and aligned, and there are no references to it here. The programs don't read the table that isn't
        // active: whoever made it so, this daemon has waited since it was.
        unsafe { target.copy_from_nonoverlapping(&raw const *table, 1) };
        // After what was written above.
        self.settings().active.store(inactive, Release);
        let highest = numbers
            .iter()
            .copied()
            .max()
            .map_or(0, |highest| u64::from(highest) + 1);
        self.settings().numbers_given.fetch_max(highest, Relaxed);
        self.changed = Some(Instant::now());
        self.services = services.to_vec();
        self.local_addresses = local_addresses.iter().copied().collect();
        Ok(numbers)
    }

    /// Changes the addresses that are no clients, if they are others than before. The services stay.
    pub(super) fn set_local_addresses(&mut self, local_addresses: &[IpAddr]) -> Result<(), DatapathError> {
        let changed = local_addresses.iter().copied().collect::<BTreeSet<_>>() != self.local_addresses;
        if changed {
            let services = self.services.clone();
            self.update(&services, local_addresses)?;
        }
        Ok(())
    }

    pub(super) fn sample_rate(&self) -> SampleRate {
        SampleRate(Arc::clone(&self.mapping))
    }

    /// Gives the hash of transactions its key, if it has none yet.
    pub(super) fn key(&self, secret: u64) {
        let _ = self.settings().secret.compare_exchange(0, secret | 1, Relaxed, Relaxed);
    }

    /// Everything but the tables.
    fn settings(&self) -> &Settings {
        settings(&self.mapping)
    }

    fn table(&self, index: u64) -> *mut Table {
        let services = self.mapping.start().cast::<Services>().as_ptr();
        // SAFETY: both tables lie in the mapping.
        unsafe { (&raw mut (*services).tables).cast::<Table>().add(index as usize & 1) }
    }

    /// The slots of the active table in which somebody lives.
    fn active_slots(&self) -> Vec<Slot> {
        let table = self.table(self.settings().active.load(Relaxed));
        // SAFETY: it lies in the mapping; only `update` changes a table, and never the active one.
        let slots = unsafe { &(*table).slots };
        slots.iter().filter(|slot| slot.classifier != 0).copied().collect()
    }
}

/// What stands before the tables in the memory of the map `SERVICES`.
fn settings(mapping: &Mapping) -> &Settings {
    // SAFETY: the mapping starts with the settings, is aligned, was zeroed by the kernel and lives as long as the
    // reference to it. They are atomics but for words that nobody writes to.
    unsafe { mapping.start().cast().as_ref() }
}

/// Says how many transactions are sampled. May be used from any thread, and after the programs are gone.
#[derive(Clone, Debug)]
pub struct SampleRate(Arc<Mapping>);

impl SampleRate {
    /// The exponent that a new datapath starts with, until somebody has seen how many transactions there are.
    pub const AT_START: u32 = 6;

    /// Samples one in two to the power of `exponent` transactions, at most one in 2³¹.
    pub fn set(&self, exponent: u32) {
        let mask = (1_u64 << exponent.min(31)) - 1;
        settings(&self.0).sample_mask.store(mask << 32, Relaxed);
    }
}

/// Numbers for `services`: those of `before` where they are the same, else ones that no service has ever had, which are
/// those from `never_given` on, else ones of services that are gone, the longest gone first.
fn numbers(before: &[Slot], never_given: u16, services: &[Service]) -> Vec<u16> {
    let kept: HashMap<(ServiceKey, u16), u16> = before
        .iter()
        .map(|slot| ((slot.key, slot.classifier), slot.service))
        .collect();
    let known = |service: &Service| kept.get(&(service.key(), service.classifier as u16)).copied();
    let staying: BTreeSet<u16> = services.iter().filter_map(known).collect();
    let leaving: BTreeSet<u16> = kept
        .values()
        .copied()
        .filter(|number| !staying.contains(number))
        .collect();
    let gone = (0..never_given).filter(|number| !staying.contains(number) && !leaving.contains(number));
    let mut free = (never_given..SERVICES_MAX as u16)
        .chain(gone)
        .chain(leaving.iter().copied());
    services
        .iter()
        .map_while(|service| known(service).or_else(|| free.next()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(last: u8, classifier: Classifier) -> Service {
        Service {
            address: IpAddr::from([192, 0, 2, last]),
            port: 53,
            classifier,
        }
    }

    #[test]
    fn a_service_that_stays_keeps_its_number() {
        let [a, b, c] = [1, 2, 3].map(|last| service(last, Classifier::DnsUdp));
        let first = [a.clone(), b.clone()];
        let given = numbers(&[], 0, &first);
        assert_eq!(given, [0, 1]);
        let before = slots(&first, &given, 4);
        assert_eq!(
            numbers(&before, 2, &[c.clone(), b.clone()]),
            [2, 1],
            "its place is not given away"
        );
        assert_eq!(numbers(&before, 2, &[b, a, c]), [1, 0, 2], "the order says nothing");
    }

    #[test]
    fn another_classifier_or_protocol_is_another_service() {
        let dns = [service(1, Classifier::DnsUdp)];
        let before = slots(&dns, &[7], 4);
        assert_eq!(numbers(&before, 8, &dns), [7]);
        assert_eq!(numbers(&before, 8, &[service(1, Classifier::Udp)]), [8]);
        assert_eq!(numbers(&before, 8, &[service(1, Classifier::Tcp)]), [8]);
    }

    #[test]
    fn numbers_of_the_gone_are_given_last() {
        let many: Vec<Service> = (0..SERVICES_MAX as u16)
            .map(|port| Service {
                port,
                ..service(1, Classifier::DnsUdp)
            })
            .collect();
        let before = slots(&many[..2], &[0, 1], 1);
        assert_eq!(numbers(&before, 5, &many[2..4]), [5, 6], "2 to 4 were somebody's");
        let new = service(2, Classifier::Tcp);
        let max = SERVICES_MAX as u16;
        assert_eq!(
            numbers(&before, max, std::slice::from_ref(&new)),
            [2],
            "the longest gone, as no other is free"
        );
        let full = slots(&many, &numbers(&[], 0, &many), 1);
        assert_eq!(numbers(&full, max, &[new]), [0], "one that goes");
    }

    #[test]
    fn a_service_address_is_no_client() {
        let locals = locals(
            &[service(1, Classifier::DnsUdp), service(1, Classifier::Tcp)],
            &["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        );
        assert_eq!(locals.len(), 2);
    }
}
