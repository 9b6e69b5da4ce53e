//! `record`: what a running daemon reads, written down for a replay.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{bpffs, place};
use crate::{
    cli::{ProbeInterval, RecordArgs},
    config::Config,
    datapath::{Instance, Observed, PinsError, Service},
    discover::{PlannedService, discover},
    net::Netlink,
    recorder::{self, Plan, RecorderError},
};

/// Records until the time is over, or a signal comes.
pub fn record(args: &RecordArgs) -> Result<()> {
    let RecordArgs {
        out,
        force,
        interval,
        duration,
        probes,
        link,
        config,
        pins,
    } = args;
    let config = match (config, link) {
        (Some(file), _) => Config::load(file)?,
        (None, Some(link)) => Config::for_link(link),
        (None, None) => bail!("name the daemon's link (--link) or its configuration file (--config)"),
    };
    let place = place(pins.as_ref(), Some(&config));
    let (observed, services) = observe(&config, bpffs(&place).ok_or(RecorderError::Unpinned)?)?;
    let file = out.display();
    if let Some(process) = observed.daemon {
        tracing::info!("recording what process {process} reads into {file}");
    } else {
        tracing::warn!("no daemon is to be seen here; recording what its programs count into {file}");
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).map_err(|source| RecorderError::System {
            what: "cannot wait for signals",
            source,
        })?;
    }
    let plan = Plan {
        services: &services,
        interval: *interval,
        probes: match probes {
            ProbeInterval::Off => None,
            ProbeInterval::Every(interval) => Some(*interval),
        },
        duration: *duration,
    };
    let recorded = recorder::record(&observed, &plan, (out, *force), &ended)?;
    tracing::info!(
        "{} samples in {file} ({} bytes); `anycast-probe replay {file}` tells what a daemon makes of them",
        recorded.samples,
        recorded.bytes
    );
    Ok(())
}

/// The counters of the daemon with `config`, and the services in their order.
fn observe(config: &Config, bpffs: &Path) -> Result<(Observed, Vec<PlannedService>), RecorderError> {
    let plan = discover(config, &mut Netlink::open()?)?;
    let first_link = plan
        .links
        .first()
        .map(|link| link.link.name.as_str())
        .unwrap_or_default();
    let instance = Instance::here(first_link).map_err(PinsError::Namespace)?;
    let services: Vec<PlannedService> = plan.links.into_iter().flat_map(|link| link.services).collect();
    let counted: Vec<Service> = services
        .iter()
        .map(|service| Service::new(service.address, service.port, service.protocol))
        .collect();
    Ok((Observed::open(bpffs, &instance, &counted)?, services))
}
