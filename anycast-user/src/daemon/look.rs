//! What is looked at now and then, by somebody who may block.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::time::interval;

use super::ended_by_itself;
use crate::{
    clock::MonotonicTime,
    discover::Plan,
    net::Netlink,
    sampler::{Look, Sampler},
};

/// How often links are looked at, and the sampling thread.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the links, and at the sampling thread, which must not end.
pub(super) async fn look_after(plan: &Plan, looks: &Arc<[Look]>, sampler: &Sampler) -> Result<()> {
    let links: Arc<[String]> = plan.links.iter().map(|planned| planned.link.name.clone()).collect();
    let mut ticks = interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        if !sampler.is_running() {
            return ended_by_itself();
        }
        let (links, looks) = (Arc::clone(&links), Arc::clone(looks));
        // Netlink may wait for the kernel's RTNL lock.
        tokio::task::spawn_blocking(move || look(&links, &looks))
            .await
            .context("cannot look at the links")?;
    }
}

fn look(links: &[String], looks: &[Look]) {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => return tracing::warn!("{error}"),
    };
    for (name, look) in links.iter().zip(looks) {
        // Before the question, so that a change meanwhile counts as the later one.
        let at = MonotonicTime::now();
        match netlink.link(name) {
            Ok(link) => look.note(at, link.up),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
