//! The whole path, in network namespaces: real packets, real servers, real BIRD, the daemon as an operator runs it.
//!
//! No wall-clock time is asserted: the machine may be busy. What is asserted is what happened and in which order.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of tests fails the test"
)]

mod coming_back;
mod left_alone;
mod protocols;
mod recording;
mod survival;
mod withdrawal;

use anycast_ebpf::classify::Classifier;
use anycast_tests::binaries::{Binaries, prerequisites};
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::event::EventKind;
use anycast_tests::lab::{Lab, LabOptions, Mark};
use anycast_tests::node::{Family, Node};
use anycast_tests::prerequisite;
use anycast_tests::server::ServerKind;
use anycast_tests::timeline::What;
use anycast_user::datapath::{Datapath, LoadSettings, Service};
use std::time::Duration;

/// Low, because the machine may have few cores; high enough to arm in about a second.
const RATE_QPS: u32 = 1000;
/// Ample for anything that should happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time in which something that must not happen could.
const WATCHED: Duration = Duration::from_secs(3);
/// A real one, without which there is nothing to be learnt here.
const SERVER: ServerKind = ServerKind::Knot;

/// The executables, or `None` when something is missing: said on standard error, a failure where all is required.
fn binaries(test: &str) -> Option<Binaries> {
    let service = Service::new(Family::V4.service_address(), 53, Classifier::DnsUdp);
    prerequisite(test, Datapath::load(&[service], &LoadSettings::default()))?;
    prerequisite(test, prerequisites(&[SERVER]))
}

fn options(binaries: Binaries, armed: bool) -> LabOptions {
    LabOptions {
        server: Some(SERVER),
        daemon: Some(DaemonOptions {
            armed,
            ..DaemonOptions::default()
        }),
        family: Family::V4,
        binaries,
    }
}

/// Waits for the daemon of node a to say that the service address has come to `state`.
fn wait_for_state(lab: &mut Lab<'_>, since: Mark, state: &str) {
    let service = Family::V4.service_address().to_string();
    lab.wait_for_event(
        since,
        PATIENCE,
        Node::A,
        |event| matches!(event, EventKind::State { address, to, .. } if *address == service && to == state),
    )
    .unwrap()
    .unwrap_or_else(|| panic!("node a didn't come to state {state}: {:#?}", daemon_events(lab)));
}

fn wait_for(lab: &mut Lab<'_>, since: Mark, what: &str, wanted: fn(&EventKind) -> bool) {
    lab.wait_for_event(since, PATIENCE, Node::A, wanted)
        .unwrap()
        .unwrap_or_else(|| panic!("node a had no event {what}: {:#?}", daemon_events(lab)));
}

/// What the daemons said, reports left out.
fn daemon_events(lab: &Lab<'_>) -> Vec<EventKind> {
    let events = lab.history().iter().filter_map(|observation| match &observation.what {
        What::Daemon { event, .. } if !matches!(event.kind, EventKind::Report { .. }) => Some(event.kind.clone()),
        _ => None,
    });
    events.collect()
}
