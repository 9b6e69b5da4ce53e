//! Whether all that leaves the host passes the counters at the uplinks, asked while that decides something.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::time::{MissedTickBehavior, interval};

use super::Uplinks;
use crate::{
    net::{Netlink, leading_to},
    status::Status,
};

/// How often that is asked.
const INTERVAL: Duration = Duration::from_millis(250);

impl Uplinks {
    /// Whether every answer that was counted as it left its socket and came as far as an uplink has been counted there too,
    /// since this was asked before. What can't be seen is not so.
    pub(super) fn answers_pass(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changed);
        let pass = self.all_in_front().unwrap_or_else(|error| {
            tracing::debug!("it can't be seen whether answers are still counted: {error}");
            false
        });
        // Whoever puts a program back does so unseen by the next one who asks.
        self.changed = !pass;
        pass && !changed
    }

    fn all_in_front(&self) -> Result<bool> {
        let links = Netlink::open()?.links()?;
        // What was found at the last look may lead elsewhere now.
        if !self
            .datapath
            .has_ways_out(leading_to(self.watched.keys().copied(), &links))
        {
            return Ok(false);
        }
        for index in self.watched.keys() {
            let link = links.iter().find(|link| link.index == *index);
            let Some(link) = link else { return Ok(false) };
            if !self.datapath.sees_answers_first(link)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Has answers that leave sockets believed in only as long as all that leaves the host passes the counters. It is looked
/// at as long as the second proof is wanted; what is missing is put back by [`follow`](super::follow).
pub(in crate::daemon) async fn confirm(uplinks: Arc<Mutex<Uplinks>>, status: Arc<Status>) -> Result<Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !status.wants_second_proof() {
            status.confirm_sent(|| false);
            continue;
        }
        let (uplinks, status) = (Arc::clone(&uplinks), Arc::clone(&status));
        // Netlink may wait for the kernel's RTNL lock, and others may look at the uplinks.
        let look = move || {
            status.confirm_sent(|| uplinks.lock().unwrap_or_else(PoisonError::into_inner).answers_pass());
        };
        tokio::task::spawn_blocking(look)
            .await
            .context("cannot look whether answers pass the counters")?;
    }
}
