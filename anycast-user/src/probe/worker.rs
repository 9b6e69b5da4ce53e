//! What the prober's thread does: starts bursts, reads their sockets, judges them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;

use super::burst::{Burst, Verdict};
use super::query::Query;
use super::{BurstRequest, BurstResult};
use crate::clock::MonotonicTime;

/// Bursts to one service address that are kept for late answers.
pub(super) const KEPT_PER_ADDRESS: usize = 12;
/// A number of a probe is less than this: `BurstRequest::count` is a byte.
const PROBES: u64 = 1 << 8;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(1);

pub(super) struct Worker {
    orders: Receiver<BurstRequest>,
    reports: SyncSender<BurstResult>,
    /// Rung when there are orders; at its end when there will be no more.
    doorway: UnixStream,
    query: Query,
    /// Knows the sockets of all bursts by `burst number * PROBES + probe number`, and forgets one that is closed.
    epoll: Epoll,
    /// Room for all sockets at once, so that one look shows everything that has arrived.
    ready: Vec<EpollEvent>,
    /// How many of `ready` may be open.
    most_sockets: usize,
    sockets: usize,
    /// By number, in the order in which they started.
    bursts: BTreeMap<u64, Burst>,
    next_burst: u64,
    /// Waits until there are sockets for it.
    queued: Option<BurstRequest>,
}

impl Worker {
    pub(super) fn new(
        orders: Receiver<BurstRequest>,
        reports: SyncSender<BurstResult>,
        doorway: UnixStream,
        query: Query,
        most_sockets: usize,
    ) -> nix::Result<Self> {
        Ok(Self {
            orders,
            reports,
            doorway,
            query,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            // A single burst is always let in.
            ready: vec![EpollEvent::empty(); most_sockets.max(PROBES as usize)],
            most_sockets,
            sockets: 0,
            bursts: BTreeMap::new(),
            next_burst: 0,
            queued: None,
        })
    }

    pub(super) fn run(mut self) {
        while self.is_wanted() {
            self.start_bursts();
            self.wait();
            self.judge(MonotonicTime::now());
        }
    }

    /// Whether anybody can still ask; and silences the bell, before the orders that it was rung for are looked at.
    fn is_wanted(&self) -> bool {
        let mut rings = [0; 64];
        loop {
            match (&self.doorway).read(&mut rings) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    /// Starts what was asked for, as far as there are sockets; the rest waits.
    fn start_bursts(&mut self) {
        while let Some(request) = self.queued.take().or_else(|| self.orders.try_recv().ok()) {
            if !self.make_room(request.count.into()) {
                self.queued = Some(request);
                return;
            }
            self.start(request);
            // Starting many takes longer than an answer: those to the first are read before the last has started.
            self.judge(MonotonicTime::now());
        }
    }

    /// Whether there are `count` more sockets, if need be by no longer waiting for late answers.
    fn make_room(&mut self, count: usize) -> bool {
        while self.sockets > 0 && self.sockets + count > self.most_sockets {
            let oldest_kept = self.bursts.iter().find(|(_, burst)| burst.is_judged());
            let Some((&number, _)) = oldest_kept else { return false };
            self.end(number);
        }
        true
    }

    fn start(&mut self, request: BurstRequest) {
        let mut burst = Burst::start(request, &mut self.query);
        let number = self.next_burst;
        self.next_burst += 1;
        let watched = |(probe, socket): (usize, BorrowedFd<'_>)| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number * PROBES + probe as u64);
            let outcome = self.epoll.add(socket, event);
            outcome.err().map(|error| (probe, error))
        };
        let unwatched: Vec<_> = burst.sockets().filter_map(watched).collect();
        for (probe, error) in unwatched {
            tracing::warn!(%error, "the answer to a probe can't be waited for; raise fs.epoll.max_user_watches");
            burst.lose(probe);
        }
        self.sockets += burst.sockets().count();
        self.bursts.insert(number, burst);
    }

    fn end(&mut self, number: u64) {
        if let Some(burst) = self.bursts.remove(&number) {
            self.sockets -= burst.sockets().count();
        }
    }

    /// Reads everything that has arrived.
    fn receive(&mut self) {
        // It doesn't sleep, so no signal interrupts it; there is no other way to fail.
        let count = self.epoll.wait(&mut self.ready, EpollTimeout::ZERO).unwrap_or(0);
        for event in self.ready.iter().take(count) {
            let (number, probe) = (event.data() / PROBES, (event.data() % PROBES) as usize);
            if let Some(burst) = self.bursts.get_mut(&number) {
                self.sockets -= usize::from(burst.receive(probe, &self.query));
            }
        }
    }

    /// Reports what is over at `now`, which is not in the future.
    fn judge(&mut self, now: MonotonicTime) {
        // After the clock: so that what had arrived by then is known, however long this thread was kept from running.
        self.receive();
        let mut over = Vec::new();
        for (&number, burst) in &mut self.bursts {
            match burst.judge(now) {
                Verdict::Wait => {}
                Verdict::ReportAndKeep(result) => report(&self.reports, result),
                Verdict::ReportAndEnd(result) => {
                    report(&self.reports, result);
                    over.push(number);
                }
                Verdict::End => over.push(number),
            }
        }
        over.extend(self.too_many_kept());
        for number in over {
            self.end(number);
        }
    }

    /// The oldest of those that are kept, where there are too many to one address.
    fn too_many_kept(&self) -> Vec<u64> {
        let mut kept = BTreeMap::new();
        let mut too_many = Vec::new();
        for (&number, burst) in self.bursts.iter().rev().filter(|(_, burst)| burst.is_judged()) {
            let count = kept.entry(burst.request().service_address).or_insert(0);
            *count += 1;
            if *count > KEPT_PER_ADDRESS {
                too_many.push(number);
            }
        }
        too_many
    }

    /// Waits until something arrives, the bell is rung, or a burst has to be judged.
    fn wait(&self) {
        let deadline = self.bursts.values().map(Burst::deadline).min();
        let left = deadline.map(|deadline| TimeSpec::from(deadline.since(MonotonicTime::now())));
        // Not by `epoll_wait`, which counts in milliseconds.
        let readable = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
        let mut descriptors = [readable(self.doorway.as_fd()), readable(self.epoll.0.as_fd())];
        match ppoll(&mut descriptors, left, None) {
            // The caller looks, and waits again.
            Ok(_) | Err(Errno::EINTR) => {}
            // For want of memory, say. A real-time thread must not spin on that.
            Err(_) => std::thread::sleep(PAUSE_AFTER_FAILURE),
        }
    }
}

fn report(reports: &SyncSender<BurstResult>, result: BurstResult) {
    // Waiting for a reader here would make the bursts under way late.
    if let Err(error) = reports.try_send(result) {
        tracing::error!(%error, "the result of a probe burst was lost");
    }
}

#[cfg(test)]
mod tests;
