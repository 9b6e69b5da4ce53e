//! The client: DNS queries at a constant rate from many source ports, whatever becomes of the answers.

use crate::clock::Moment;
use crate::dns;
use crate::ledger::{Counts, LOST_AFTER, Ledger, Watch};
use crate::netns::Namespace;
use crate::node::{Family, Node};
use crate::timeline::{Observation, What};
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many source ports: enough that a server with several workers has work for all of them.
const SOCKETS: usize = 32;
/// The longest the sender sleeps past the time of a query; at most so many queries leave back to back.
const PACE: Duration = Duration::from_micros(250);
/// When the sender was held up for longer than this, the queries of that time are left out: nobody gains from a burst
/// that no real client would send.
const LARGEST_BACKLOG: Duration = Duration::from_millis(50);
/// How often the receiver looks whether it should end.
const STOP_CHECK_MS: u16 = 20;

/// Running traffic. Dropping it ends it.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    sockets: Vec<UdpSocket>,
    ledger: Mutex<Ledger>,
    stop_sending: AtomicBool,
    stop_receiving: AtomicBool,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // The books are consistent after every call, so a thread that panicked between calls left them usable.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    /// Starts to send `rate_qps` queries a second from `client` to the service address of `family`. A change of the
    /// node that answers goes to `timeline`.
    pub fn start(client: &Namespace, family: Family, rate_qps: u32, timeline: Sender<Observation>) -> Result<Self> {
        let unspecified: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let sockets = client.run(|| {
            let bind = |_| {
                // Not connected: ICMP errors while routes change must not reach the sender.
                let socket = UdpSocket::bind((unspecified, 0)).context("can't open a client socket")?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            };
            (0..SOCKETS).map(bind).collect::<Result<Vec<_>>>()
        })?;
        let shared = Arc::new(Shared {
            sockets,
            ledger: Mutex::new(Ledger::new()?),
            stop_sending: AtomicBool::new(false),
            stop_receiving: AtomicBool::new(false),
        });
        let query = dns::query()?;
        let server = SocketAddr::new(family.service_address(), dns::PORT);
        let interval = Duration::from_secs(1) / rate_qps.max(1);
        let mut traffic = Self {
            shared: Arc::clone(&shared),
            sender: None,
            receiver: None,
        };
        let receiving = Arc::clone(&shared);
        traffic.receiver = Some(
            thread::Builder::new()
                .name("client-receive".into())
                .spawn(move || receive(&receiving, &timeline))?,
        );
        traffic.sender = Some(
            thread::Builder::new()
                .name("client-send".into())
                .spawn(move || send(&shared, &query, server, interval))?,
        );
        Ok(traffic)
    }

    /// Counts until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.ledger().counts()
    }

    /// Watches for the first answers to queries sent from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.shared.ledger().watch(Moment::now())
    }

    /// When the first answer of `node` came that `watch` is for.
    #[must_use]
    pub fn first_answer(&self, watch: Watch, node: Node) -> Option<Moment> {
        self.shared.ledger().first_answer(watch, node)
    }

    /// The round-trip time that `quantile` (0 to 1) of the answers didn't exceed.
    #[must_use]
    pub fn round_trip(&self, quantile: f64) -> Option<Duration> {
        self.shared.ledger().round_trip(quantile)
    }

    /// Counts losses from `at` on; called just before the fault.
    pub fn mark_fault(&self, at: Moment) {
        self.shared.ledger().mark_fault(at);
    }

    /// Stops sending, gives the queries in flight the time to be answered or lost, and returns the final counts.
    pub fn finish(&mut self) -> Counts {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        join(&mut self.sender);
        let end = Moment::now() + LOST_AFTER;
        while self.shared.ledger().has_pending() && Moment::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        self.shared.stop_receiving.store(true, Ordering::Relaxed);
        join(&mut self.receiver);
        let mut ledger = self.shared.ledger();
        ledger.expire(Moment::now());
        ledger.counts()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        self.shared.stop_receiving.store(true, Ordering::Relaxed);
        join(&mut self.sender);
        join(&mut self.receiver);
    }
}

fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(thread) = thread.take() {
        _ = thread.join();
    }
}

/// Sends by an absolute schedule, so that a slow moment doesn't lower the rate.
fn send(shared: &Shared, query: &[u8], server: SocketAddr, interval: Duration) {
    let mut query = query.to_vec();
    let mut due = Moment::now();
    let sockets = shared.sockets.iter().enumerate().cycle();
    for (index, socket) in sockets {
        let now = Moment::now();
        if now < due {
            thread::sleep(due.since(now).max(PACE));
        } else if now.since(due) > LARGEST_BACKLOG {
            due = now;
        }
        if shared.stop_sending.load(Ordering::Relaxed) {
            return;
        }
        // An ID that is still in flight is drawn again; with thousands of free ones that ends soon.
        let id = loop {
            let id = fastrand::u16(..);
            if shared.ledger().send((index, id), Moment::now()) {
                break id;
            }
        };
        if let Some(field) = query.get_mut(..2) {
            field.copy_from_slice(&id.to_be_bytes());
        }
        // A query that can't be sent, for want of a route, is a query without an answer.
        _ = socket.send_to(&query, server);
        due = due + interval;
    }
}

fn receive(shared: &Shared, timeline: &Sender<Observation>) {
    let mut buffer = [0; 1500];
    let mut polled: Vec<_> = shared
        .sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    while !shared.stop_receiving.load(Ordering::Relaxed) {
        _ = poll(&mut polled, PollTimeout::from(STOP_CHECK_MS));
        for (index, (socket, ready)) in shared.sockets.iter().zip(&polled).enumerate() {
            if !ready.any().unwrap_or_default() {
                continue;
            }
            while let Ok(length) = socket.recv(&mut buffer) {
                let at = Moment::now();
                let answer = buffer.get(..length).and_then(dns::read_answer);
                let Some((id, node)) = answer else { continue };
                let changed = shared.ledger().answer((index, id), node, at);
                if let Some(node) = changed {
                    _ = timeline.send(Observation {
                        at,
                        what: What::AnsweredBy(node),
                    });
                }
            }
        }
    }
}
