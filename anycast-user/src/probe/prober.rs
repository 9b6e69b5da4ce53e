//! The thread that sends bursts for others, several at a time.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::open_files::sockets_allowed;
use super::query::Query;
use super::worker::{KEPT_PER_ADDRESS, Worker};
use super::{BurstRequest, BurstResult, ProbeError};
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
    /// Starts the thread, in the network namespace of the calling one. At most `capacity` requests can be waiting: one
    /// for each service address will do.
    ///
    /// Raises the process's limit on open files as far as it may: a probe under way is a socket.
    pub fn start(capacity: usize) -> Result<Self, ProbeError> {
        let capacity = capacity.max(1);
        let query = Query::new()?;
        let (requests, orders) = sync_channel(capacity);
        let (reports, results) = sync_channel(capacity * (1 + KEPT_PER_ADDRESS));
        let (bell, doorway) = UnixStream::pair().map_err(ProbeError::Start)?;
        for end in [&bell, &doorway] {
            end.set_nonblocking(true).map_err(ProbeError::Start)?;
        }
        let worker = Worker::new(orders, reports, doorway, query, sockets_allowed())
            .map_err(|error| ProbeError::Start(error.into()))?;
        let (ready, started) = sync_channel(1);
        let run = move || {
            // The receiver waits for this one message; it can't be gone.
            let _ = ready.send(request_realtime(PRIORITY));
            worker.run();
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

    /// Asks for a burst, which starts at once, beside those under way; when the host has too few sockets for it, as soon
    /// as it has. Neither blocks nor allocates: one system call.
    pub fn try_request(&self, request: BurstRequest) -> Result<(), RequestError> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => RequestError::Busy,
            TrySendError::Disconnected(_) => RequestError::Gone,
        })?;
        // When the bell is full of earlier rings, the thread is about to look anyway.
        let _ = (&self.bell).write(&[0]);
        Ok(())
    }

    /// Whether its thread runs, as it should until it is told to end.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
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
