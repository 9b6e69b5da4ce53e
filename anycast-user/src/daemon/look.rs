//! What is looked at now and then, by somebody who may block.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::time::interval;

use super::ended_by_itself;
use crate::{
    clock::MonotonicTime,
    discover::Plan,
    net::{Link, NetError, Netlink},
    route::is_marked,
    sampler::{Look, Sampler},
    sockets::SocketWatch,
};

/// How often links are looked at, and the threads that watch.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the links, and at the threads that watch, which must not end. An error when a link is another one than it was.
pub(super) async fn look_after(
    plan: &Plan,
    looks: &Arc<[Look]>,
    sampler: &Sampler,
    sockets: &SocketWatch,
) -> Result<()> {
    let links: Arc<[Link]> = plan.links.iter().map(|planned| planned.link.clone()).collect();
    let mut ticks = interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        if !sampler.is_running() || !sockets.is_running() {
            return ended_by_itself();
        }
        let (links, looks) = (Arc::clone(&links), Arc::clone(looks));
        // Netlink may wait for the kernel's RTNL lock.
        tokio::task::spawn_blocking(move || look(&links, &looks))
            .await
            .context("cannot look at the links")??;
    }
}

fn look(planned: &[Link], looks: &[Look]) -> Result<()> {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            tracing::warn!("{error}");
            return Ok(());
        }
    };
    for (planned, look) in planned.iter().zip(looks) {
        // Before the question, so that a change meanwhile counts as the later one.
        let at = MonotonicTime::now();
        match netlink.link(&planned.name) {
            // What was prepared belongs to the old one: a withdrawal would come to nothing.
            Ok(link) if link.index != planned.index => bail!(
                "`{}` was deleted and made again (it was link {}, it is link {}): start again, to prepare the new one",
                link.name,
                planned.index,
                link.index
            ),
            Ok(link) => look.note(at, link.up, is_marked(&link)),
            Err(error @ NetError::NoSuchLink { .. }) => return Err(error.into()),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::in_namespace;

    #[test]
    fn a_link_that_is_gone_or_was_made_again_ends_the_daemon() {
        in_namespace(|namespace| {
            let planned = [namespace.service_link("anycast0")];
            let looks = [Look::default()];
            look(&planned, &looks).unwrap();
            namespace.delete_link(planned[0].index);
            assert!(look(&planned, &looks).is_err(), "it is gone");
            namespace.service_link("anycast0");
            let error = look(&planned, &looks).unwrap_err().to_string();
            assert!(error.contains("`anycast0` was deleted and made again"), "{error}");
        });
    }
}
