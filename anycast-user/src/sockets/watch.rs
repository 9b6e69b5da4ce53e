//! The thread that looks at the servers' sockets, and has their answers counted while it is in doubt whether these leave
//! the host. It may block, which the sampling thread may not.

mod wanted;

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle, park_timeout},
    time::Duration,
};

use self::wanted::Wanted;
use super::{Tracker, serving};
use crate::{
    clock::MonotonicTime,
    datapath::{SecondProof, SecondProofError},
    net::{NetError, SocketTable, UdpSocket},
    policy::State,
    status::Status,
};

/// Time between two looks while all is well.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The same while a service is suspect; as long as it takes at most until that is noticed.
const SUSPECT_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What the thread works with.
#[derive(Debug)]
pub struct Parts {
    /// The services' addresses and ports, by index; `None` for one that is not UDP.
    pub services: Vec<Option<SocketAddr>>,
    /// Where it learns what is in doubt, and shows what it sees.
    pub status: Arc<Status>,
    /// What counts answers as they leave sockets.
    pub second_proof: SecondProof,
}

/// The running thread. It ends when this is dropped, and nothing that it attached stays.
#[derive(Debug)]
pub struct SocketWatch {
    stop: Arc<AtomicBool>,
    /// There until it is dropped.
    thread: Option<JoinHandle<()>>,
}

impl SocketWatch {
    /// Starts the thread, which looks at the network namespace of the one that calls.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut watch = Watch::new(parts);
        let thread = Builder::new().name("sockets".to_owned()).spawn(move || {
            while !stopped.load(Relaxed) {
                watch.turn(MonotonicTime::now());
                park_timeout(SUSPECT_LOOK_INTERVAL);
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Whether the thread still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for SocketWatch {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that looks at sockets had ended by a panic; please report this");
            }
        }
    }
}

struct Watch {
    services: Vec<(usize, SocketAddr, Tracker)>,
    status: Arc<Status>,
    second_proof: SecondProof,
    wanted: Wanted,
    /// None before it is needed, and after it failed.
    table: Option<SocketTable>,
    looked: Option<MonotonicTime>,
    /// What failed was told: it may go on failing at every look.
    told: Told,
}

#[derive(Debug, Default)]
struct Told {
    look: bool,
    second_proof: bool,
}

impl Watch {
    fn new(parts: Parts) -> Self {
        let Parts {
            services,
            status,
            second_proof,
        } = parts;
        let services = (0..).zip(services);
        Self {
            services: services
                .filter_map(|(index, endpoint)| Some((index, endpoint?, Tracker::default())))
                .collect(),
            status,
            second_proof,
            wanted: Wanted::default(),
            table: None,
            looked: None,
            told: Told::default(),
        }
    }

    /// Does what is due.
    fn turn(&mut self, now: MonotonicTime) {
        let is_wanted = self.status.wants_second_proof();
        let is_counted = self.wanted.is_counted(now, is_wanted, self.second_proof.is_attached());
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK_INTERVAL);
        if is_due || is_counted || self.is_any_suspect() {
            self.looked = Some(now);
            match self.look(now) {
                Ok(cookies) => {
                    self.told.look = false;
                    if is_counted {
                        self.count_sent(&cookies);
                    }
                }
                Err(error) => {
                    self.table = None;
                    if !std::mem::replace(&mut self.told.look, true) {
                        tracing::warn!("the servers' sockets are not looked at: {error}");
                    }
                }
            }
        }
        if !is_counted {
            self.told.second_proof = false;
            self.count_sent_no_more();
        }
    }

    fn is_any_suspect(&self) -> bool {
        self.status.views().any(|view| view.state == State::Suspect)
    }

    /// Looks at the sockets of all services, and returns their cookies.
    fn look(&mut self, now: MonotonicTime) -> Result<BTreeSet<u64>, NetError> {
        let table = match &mut self.table {
            Some(table) => table,
            none => none.insert(SocketTable::open()?),
        };
        let mut cookies = BTreeSet::new();
        // One list for all services on a port, which are mostly one after the other.
        let mut on_port: Option<(u16, Vec<UdpSocket>)> = None;
        for (index, endpoint, tracker) in &mut self.services {
            let port = endpoint.port();
            let (_, sockets) = match on_port.take() {
                Some(known) if known.0 == port => on_port.insert(known),
                _ => on_port.insert((port, table.udp(port)?)),
            };
            cookies.extend(serving(sockets, endpoint.ip()).map(|socket| socket.cookie));
            let packets = self.status.bank().counts(*index).map_or(0, |counts| counts.packets);
            if let Some(seen) = tracker.look(now, endpoint.ip(), sockets, packets) {
                self.status.saw_sockets(*index, &seen);
            }
        }
        Ok(cookies)
    }

    /// Has the answers counted that leave these sockets.
    fn count_sent(&mut self, cookies: &BTreeSet<u64>) {
        let count = |proof: &mut SecondProof| -> Result<(), SecondProofError> {
            proof.set_sockets(cookies)?;
            proof.attach()
        };
        let was_attached = self.second_proof.is_attached();
        match count(&mut self.second_proof) {
            Ok(()) if !was_attached => {
                self.status.set_sent_counted(true);
                tracing::debug!("answers are counted as they leave the servers' sockets");
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.told.second_proof, true) {
                    tracing::debug!("answers are not counted as they leave the servers' sockets: {error}");
                }
                self.count_sent_no_more();
            }
        }
    }

    fn count_sent_no_more(&mut self) {
        if self.second_proof.is_attached() {
            // Before it is true: what stands still must not be taken for answers that don't leave.
            self.status.set_sent_counted(false);
            if let Err(error) = self.second_proof.detach() {
                tracing::warn!("{error}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
