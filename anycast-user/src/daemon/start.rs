//! What happens once, when the daemon starts: programs loaded, links prepared, the engine set up.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::Result;
use aya_log::EbpfLogger;

use crate::{
    clock::MonotonicTime,
    config::{Config, PinPlace},
    datapath::{self, Datapath, Instance, LoadSettings, Pins, PinsError},
    discover::{Plan, PlannedLink, PlannedService, is_realtime_kernel},
    engine::{Engine, Found, LinkSetup, ServiceSetup, Settings},
    event::{Names, ServiceName},
    net::Netlink,
    route::{Actuator, LinkLock, LinkSwitch, Ownership, Scheduling, ipv6, is_marked, ownership},
    status::Status,
};

pub(super) fn names(plan: &Plan) -> Names {
    let service_names = |(link, planned): (usize, &PlannedLink)| {
        let name = |service: &PlannedService| ServiceName {
            link,
            service: service.name.clone(),
            address: service.address,
            watch_only: service.watch_only(),
        };
        planned.services.iter().map(name).collect::<Vec<_>>()
    };
    Names {
        links: plan.links.iter().map(|planned| planned.link.name.clone()).collect(),
        services: plan.links.iter().enumerate().flat_map(service_names).collect(),
    }
}

/// Loads the programs, with what an earlier run has counted where that is pinned, and tests that they know the services.
pub(super) fn load(config: &Config, plan: &Plan) -> Result<Datapath> {
    let services: Vec<datapath::Service> = plan
        .links
        .iter()
        .flat_map(|link| &link.services)
        .map(|service| datapath::Service {
            address: service.address,
            port: service.port,
            classifier: service.protocol,
        })
        .collect();
    let settings = LoadSettings {
        local_addresses: plan.local_addresses.clone(),
        tunnels: config.encapsulation,
        atomic_counters: is_realtime_kernel(),
        any_socket: false,
    };
    let mut datapath = Datapath::load_pinned(&services, &settings, pins(config)?)?;
    // What the programs say of the test is in the log before its verdict is known here.
    let mut log = EbpfLogger::init(datapath.ebpf_mut());
    let tested = datapath.self_test(&services);
    match &mut log {
        Ok(log) => log.flush(),
        Err(error) => tracing::warn!("the kernel programs' log can't be read: {error}"),
    }
    tested?;
    Ok(datapath)
}

/// The pins of this daemon; none when it is to do without, or has to.
fn pins(config: &Config) -> Result<Option<Pins>, PinsError> {
    let (PinPlace::Bpffs(bpffs), Some(link)) = (&config.pins, config.links.first()) else {
        return Ok(None);
    };
    let instance = Instance::here(&link.name).map_err(PinsError::Namespace);
    match instance.and_then(|instance| Pins::open(bpffs, instance)) {
        Err(error) if error.is_avoidable() => {
            tracing::warn!("{error}; nothing is pinned: programs and counters end with this process");
            Ok(None)
        }
        pins => pins.map(Some),
    }
}

/// What may touch links; empty while the daemon only observes.
#[derive(Default)]
pub(super) struct Hands {
    pub(super) actuator: Option<Actuator>,
    prepared: Vec<ipv6::Prepared>,
    locks: Vec<LinkLock>,
}

impl Hands {
    /// Prepares every link for being put down. What was done before an error is undone by [`Hands::release`].
    pub(super) fn take(&mut self, plan: &Plan, netlink: &mut Netlink) -> Result<()> {
        for PlannedLink { link, .. } in &plan.links {
            self.locks.push(LinkLock::take(link)?);
        }
        let mut switches = Vec::new();
        for PlannedLink { link, .. } in &plan.links {
            self.prepared.push(ipv6::prepare(netlink, link)?);
            let mut switch = LinkSwitch::open(link)?;
            if link.up && is_marked(link) {
                tracing::warn!(
                    "{}: somebody raised it after an earlier run had put it down; taking the mark off",
                    link.name
                );
                switch.unmark()?;
            }
            switches.push(switch);
        }
        let actuator = Actuator::start(switches)?;
        tell_scheduling("actuator", actuator.scheduling);
        self.actuator = Some(actuator);
        Ok(())
    }

    /// Takes back what links that are up need no more.
    pub(super) fn release(self, netlink: &mut Netlink) {
        for prepared in self.prepared {
            prepared
                .release(netlink)
                .unwrap_or_else(|error| tracing::warn!("{error}"));
        }
        // Last: whoever takes over finds nothing half undone.
        drop(self.locks);
    }
}

pub(super) fn tell_scheduling(thread: &str, scheduling: Scheduling) {
    if let Scheduling::Ordinary { errno } = scheduling {
        tracing::warn!(
            "the {thread} thread has no real-time scheduling (error {errno}): on a busy machine it will be late by \
             milliseconds; give the daemon CAP_SYS_NICE"
        );
    }
}

pub(super) fn engine(config: &Config, plan: &Plan, status: &Status) -> Engine {
    let now = MonotonicTime::now();
    let settings = Settings::of(config, status.names().services.len(), config.is_armed());
    let links: Vec<LinkSetup> = plan
        .links
        .iter()
        .map(|planned| LinkSetup {
            found: found(config.is_armed(), planned),
            withdraw_when: planned.withdraw_when,
            services: planned.services.iter().map(setup).collect(),
        })
        .collect();
    Engine::new(settings, &links, now)
}

fn setup(service: &PlannedService) -> ServiceSetup {
    ServiceSetup {
        watch_only: service.watch_only(),
        weight: service.weight.into(),
    }
}

fn found(armed: bool, PlannedLink { link, services, .. }: &PlannedLink) -> Found {
    match (link.up, ownership(link)) {
        (true, _) => Found::Up,
        (false, Ownership::Ours) if armed => {
            let probed = services.iter().filter(|service| service.watch_only().is_none());
            let addresses: BTreeSet<IpAddr> = probed.map(|service| service.address).collect();
            let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            let addresses = addresses.join(", ");
            tracing::warn!(
                "{} was put down by an earlier run; it comes up when {addresses} answer",
                link.name
            );
            Found::WithdrawnByUs
        }
        (false, Ownership::Ours) => {
            tracing::warn!(
                "{} was put down by an earlier run that was armed; this one only observes: run it with --arm, or \
                 `ip link set dev {} up alias \"\"`, which takes its mark off too",
                link.name,
                link.name
            );
            Found::Down
        }
        (false, Ownership::NotOurs) => {
            tracing::warn!(
                "{} is down, and not by this tool: it stays so until you raise it",
                link.name
            );
            Found::Down
        }
    }
}

/// Keeps in memory what the running threads touch. Not what is mapped later (`MCL_FUTURE`): under a limit on locked
/// memory that would make an allocation fail, and nothing urgent allocates.
pub(super) fn lock_memory() {
    // SAFETY: the call changes no memory that Rust knows of, only that pages stay once they are there.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::warn!(
            "memory is not locked ({error}): give the daemon CAP_IPC_LOCK, or its unit LimitMEMLOCK=infinity"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::testing::{Namespace, in_namespace},
        policy::WithdrawWhen,
        route::RouteError,
    };

    fn plan(namespace: &mut Namespace) -> Plan {
        let link = namespace.netlink().link("anycast0").unwrap();
        let services = Vec::new();
        Plan {
            links: vec![PlannedLink {
                link,
                withdraw_when: WithdrawWhen::default(),
                services,
            }],
            uplinks: Vec::new(),
            missing_uplinks: Vec::new(),
            local_addresses: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_second_armed_daemon_is_refused_before_it_touches_anything() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            let plan = plan(namespace);
            let mut first = Hands::default();
            first.take(&plan, namespace.netlink()).unwrap();
            // Had the second one begun, it would have prepared this.
            namespace.add_address(&link, "2001:db8::53/128");
            let before = namespace.netlink().addresses(link.index).unwrap();
            let mut second = Hands::default();
            let refused = second.take(&plan, namespace.netlink()).unwrap_err();
            assert!(
                matches!(refused.downcast_ref(), Some(RouteError::Locked { .. })),
                "{refused}"
            );
            assert!(second.actuator.is_none());
            assert_eq!(namespace.netlink().addresses(link.index).unwrap(), before);
            second.release(namespace.netlink());
            first.release(namespace.netlink());
            Hands::default().take(&plan, namespace.netlink()).unwrap();
        });
    }

    #[test]
    fn a_stale_mark_is_taken_off_at_the_start() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            LinkSwitch::open(&link).unwrap().withdraw().unwrap();
            namespace.set_up(link.index, true);
            let plan = plan(namespace);
            assert!(is_marked(&plan.links[0].link));
            Hands::default().take(&plan, namespace.netlink()).unwrap();
            assert_eq!(namespace.netlink().link("anycast0").unwrap(), link);
        });
    }
}
