//! The thread that sends bursts for others, several at a time.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::burst::{Burst, readable, wait};
use super::query::Query;
use super::{BurstRequest, BurstResult, ProbeError};
use crate::clock::MonotonicTime;
use crate::route::{Scheduling, request_realtime};

/// Below the actuator and the sampler: what they do is shorter and more urgent.
const PRIORITY: i32 = 40;

/// The running prober. Dropping it ends its thread; bursts under way are given up.
#[derive(Debug)]
pub struct Prober {
    // The order matters: the bell's end is what wakes the thread to find that no more requests can come.
    requests: SyncSender<BurstRequest>,
    bell: UnixStream,
    /// Where results come from. Read it at every tick: what doesn't fit is lost, with an error in the log.
    pub results: Receiver<BurstResult>,
    /// Whether the thread got real-time scheduling.
    pub scheduling: Scheduling,
    thread: JoinHandle<()>,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// As many requests as the prober was made for are waiting; ask again at the next tick.
    #[error("the prober is busy; ask again")]
    Busy,
    /// Its thread has ended, which it only does when it is told to.
    #[error("the prober has ended; this is a bug, please report it")]
    Gone,
}

impl Prober {
    /// Starts the thread, in the network namespace of the calling one. At most `capacity` requests and as many results
    /// can be waiting: one for each service address will do.
    pub fn start(capacity: usize) -> Result<Self, ProbeError> {
        let capacity = capacity.max(1);
        let query = Query::new()?;
        let (requests, orders) = sync_channel(capacity);
        let (reports, results) = sync_channel(capacity);
        let (bell, doorway) = UnixStream::pair().map_err(ProbeError::Start)?;
        for end in [&bell, &doorway] {
            end.set_nonblocking(true).map_err(ProbeError::Start)?;
        }
        let (ready, started) = sync_channel(1);
        let run = move || {
            // The receiver waits for this one message; it can't be gone.
            let _ = ready.send(request_realtime(PRIORITY));
            Worker {
                orders,
                reports,
                doorway,
                query,
                bursts: Vec::with_capacity(capacity),
            }
            .run();
        };
        let thread = Builder::new()
            .name("prober".to_owned())
            .spawn(run)
            .map_err(ProbeError::Start)?;
        let scheduling = started
            .recv()
            .map_err(|error| ProbeError::Start(io::Error::other(error)))?;
        Ok(Self {
            requests,
            bell,
            results,
            scheduling,
            thread,
        })
    }

    /// Asks for a burst, which starts at once, beside those under way. Neither blocks nor allocates: one system call.
    pub fn try_request(&self, request: BurstRequest) -> Result<(), RequestError> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => RequestError::Busy,
            TrySendError::Disconnected(_) => RequestError::Gone,
        })?;
        // When the bell is full of earlier rings, the thread is about to look anyway.
        let _ = (&self.bell).write(&[0]);
        Ok(())
    }

    /// Ends the thread and waits for that.
    pub fn stop(self) {
        let Self {
            requests, bell, thread, ..
        } = self;
        drop(requests);
        drop(bell);
        // It has no way to panic, and nobody to tell.
        let _ = thread.join();
    }
}

struct Worker {
    orders: Receiver<BurstRequest>,
    reports: SyncSender<BurstResult>,
    doorway: UnixStream,
    query: Query,
    bursts: Vec<Burst>,
}

impl Worker {
    fn run(mut self) {
        while self.take_orders() {
            let now = MonotonicTime::now();
            self.bursts.retain(|burst| match burst.result(now) {
                Some(result) => {
                    report(&self.reports, result);
                    false
                }
                None => true,
            });
            let deadline = self.bursts.iter().map(Burst::deadline).min();
            let sockets = self.bursts.iter().flat_map(Burst::waiting);
            let mut descriptors: Vec<_> = std::iter::once(self.doorway.as_fd())
                .chain(sockets)
                .map(readable)
                .collect();
            wait(&mut descriptors, deadline);
            for burst in &mut self.bursts {
                burst.receive(&self.query);
            }
        }
    }

    /// Starts what was asked for; false when nobody can ask any more.
    fn take_orders(&mut self) -> bool {
        // Silence the bell first: a ring after this is for a request that may not be seen below.
        let mut rings = [0; 64];
        while matches!((&self.doorway).read(&mut rings), Ok(1..)) {}
        loop {
            match self.orders.try_recv() {
                Ok(request) => self.bursts.push(Burst::start(request, &mut self.query)),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
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
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::probe::testing::{Responder, answer};

    #[test]
    fn bursts_run_beside_each_other() {
        let living = Responder::start("127.0.0.1:0", |query| vec![answer(query)]);
        let hung = UdpSocket::bind("127.0.0.1:0").unwrap();
        let prober = Prober::start(2).unwrap();
        let long = BurstRequest {
            id: 1,
            service_address: hung.local_addr().unwrap(),
            count: 16,
            window: Duration::from_secs(5000),
        };
        prober.try_request(long).unwrap();
        for id in 2..50 {
            prober
                .try_request(BurstRequest {
                    id,
                    service_address: living.address(),
                    ..long
                })
                .unwrap();
            let result = prober.results.recv().unwrap();
            assert_eq!((result.request.id, result.answered), (id, 16));
        }
        // Giving up a long burst takes no time.
        prober.stop();
    }

    #[test]
    fn a_window_ends_without_any_event() {
        let hung = UdpSocket::bind("127.0.0.1:0").unwrap();
        let prober = Prober::start(1).unwrap();
        let window = Duration::from_millis(5);
        let service_address = hung.local_addr().unwrap();
        prober
            .try_request(BurstRequest {
                id: 1,
                service_address,
                count: 16,
                window,
            })
            .unwrap();
        assert_eq!(prober.results.recv().unwrap().unanswered(), 16);
    }

    #[test]
    fn nobody_reads_the_results_and_the_prober_lives_on() {
        let living = Responder::start("127.0.0.1:0", |query| vec![answer(query)]);
        let prober = Prober::start(1).unwrap();
        let request = BurstRequest {
            id: 1,
            service_address: living.address(),
            count: 1,
            window: Duration::from_secs(10),
        };
        for id in 1..20 {
            while prober.try_request(BurstRequest { id, ..request }).is_err() {
                std::thread::yield_now();
            }
        }
        assert_eq!(prober.results.recv().unwrap().request.id, 1);
        prober.stop();
    }
}
