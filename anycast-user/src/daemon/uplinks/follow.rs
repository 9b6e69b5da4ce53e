//! When uplinks are looked at.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep, sleep_until};

use super::Uplinks;
use crate::{net::Changes, status::Status};

/// How often uplinks are looked at when the kernel says nothing: a message may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Changes come in bursts.
const SETTLE: Duration = Duration::from_millis(100);
/// How much longer than a look the time between two is at least: reading a full routing table takes long, and must not
/// take more than a twentieth of a processor.
const REST: u32 = 20;
/// Looks whenever links or routes change, and every second. `routes` says whether the latter matter.
pub(in crate::daemon) async fn follow(
    uplinks: Arc<Mutex<Uplinks>>,
    routes: bool,
    status: &Status,
) -> Result<Infallible> {
    let changes = Changes::subscribe(routes)
        .inspect_err(|error| tracing::warn!("{error}; uplinks are only looked at every second"))
        .ok();
    loop {
        let due = Instant::now() + LOOK_INTERVAL;
        tokio::select! {
            () = changed(changes.as_ref()) => sleep(SETTLE).await,
            () = sleep_until(due) => {}
        }
        if let Some(changes) = &changes {
            changes.forget();
        }
        let started = Instant::now();
        let uplinks = Arc::clone(&uplinks);
        // Attaching may wait for the kernel's RTNL lock.
        let look = move || uplinks.lock().unwrap_or_else(PoisonError::into_inner).look();
        let looked = tokio::task::spawn_blocking(look).await;
        match looked.context("cannot look at the uplinks")? {
            Ok(bypass) => status.set_bypass(bypass),
            Err(error) => tracing::warn!("uplinks: {error}"),
        }
        sleep(started.elapsed() * REST).await;
    }
}

async fn changed(changes: Option<&Changes>) {
    match changes {
        Some(changes) => match changes.wait().await {
            Ok(()) => {}
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
