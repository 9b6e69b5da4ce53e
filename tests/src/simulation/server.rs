//! A simulated DNS server: workers with receive buffers of their own, which read in order and at a finite rate.

use rand::RngExt;

use super::{
    Random,
    latency::{Latency, LatencyModel},
};

/// What a server is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerSetup {
    /// Workers, each with a socket (`SO_REUSEPORT`): the kernel spreads queries over them by address and port.
    pub workers: usize,
    /// Queries a second that it can take, in multiples of the usual demand; ample when not said.
    pub capacity: Option<f64>,
}

impl Default for ServerSetup {
    fn default() -> Self {
        Self {
            workers: 1,
            capacity: None,
        }
    }
}

/// No server is so slow that it answers none of a burst of local probes in time, if that is all it has to do.
const LEAST_PER_SECOND: f64 = 400.0;
/// Queries a second that are ample: so many a worker, and so many times the usual demand.
const AMPLE_PER_WORKER: f64 = 100_000.0;
const AMPLE_TIMES: f64 = 50.0;

/// Queries that a worker's receive buffer holds: 212,992 bytes (`net.core.rmem_default`) of skbs of 768.
const BUFFER_QUERIES: f64 = 277.0;

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// It is answered at this time, in milliseconds.
    Answered(f64),
    /// Nothing ever comes back.
    Lost,
    /// Nobody listens: the kernel says so.
    Refused,
}

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Serves,
    /// Its sockets are there, and nobody reads them.
    Hangs,
    /// Its sockets are gone.
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    dead: bool,
    /// Work that waited at `since`, or came since: the waiting time of Lindley's recursion, in milliseconds.
    ///
    /// Brought up to date by whole milliseconds only: within one, queries are not simulated in order.
    backlog: f64,
    since: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) condition: Condition,
    pub(super) latency: Latency,
    /// Queries that somebody answers although the server does not.
    pub(super) stray_share: f64,
    workers: Vec<Worker>,
    /// Time that a worker takes to read a query.
    read_ms: f64,
    /// Nothing is read before.
    paused_until: f64,
    /// Queries that found a full buffer.
    pub(super) drops: u64,
}

impl Server {
    pub(super) fn new(setup: ServerSetup, model: LatencyModel, usual_per_second: f64) -> Self {
        let mut server = Self {
            condition: Condition::Serves,
            latency: Latency::new(model),
            stray_share: 0.0,
            workers: vec![Worker::NEW; setup.workers.max(1)],
            read_ms: 0.0,
            paused_until: 0.0,
            drops: 0,
        };
        server.set_capacity(setup.capacity, usual_per_second);
        server
    }

    /// Takes so many times the usual queries from now on.
    pub(super) fn set_capacity(&mut self, times: Option<f64>, usual_per_second: f64) {
        let workers = self.workers.len() as f64;
        let ample = (AMPLE_TIMES * usual_per_second).max(AMPLE_PER_WORKER * workers);
        self.read_ms = 1e3 * workers / times.map_or(ample, |times| (times * usual_per_second).max(LEAST_PER_SECOND));
    }

    /// Reads nothing before `until`.
    pub(super) fn pause(&mut self, now: f64, until: f64) {
        self.paused_until = self.paused_until.max(until);
        for worker in &mut self.workers {
            worker.catch_up(now);
            worker.backlog += until - now;
        }
    }

    /// The first `count` workers stop reading; the others don't know.
    pub(super) fn set_dead_workers(&mut self, count: usize) {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.dead = number < count;
        }
    }

    pub(super) fn dead_share(&self) -> f64 {
        self.workers.iter().filter(|worker| worker.dead).count() as f64 / self.workers.len() as f64
    }

    /// Workers whose buffer is full, and those of them that don't read it.
    pub(super) fn full_and_hung(&self, now: f64) -> (u32, u32) {
        let hangs = self.condition == Condition::Hangs;
        let hung = self.workers.iter().filter(|worker| worker.dead || hangs).count() as u32;
        let full = |worker: &&Worker| {
            !worker.dead
                && !hangs
                && worker.waiting(now.max(self.paused_until)) + self.read_ms >= BUFFER_QUERIES * self.read_ms
        };
        (self.workers.iter().filter(full).count() as u32 + hung, hung)
    }

    pub(super) fn sockets(&self) -> u32 {
        if self.condition == Condition::Closed {
            0
        } else {
            self.workers.len() as u32
        }
    }

    /// A client's query that arrives at `at`.
    pub(super) fn ask(&mut self, at: f64, random: &mut Random) -> Fate {
        if self.stray_share > 0.0 && random.random::<f64>() < self.stray_share {
            return Fate::Answered(at + self.latency.at_hand(random));
        }
        match self.read(at, random) {
            Ok(read) => self
                .latency
                .of_query(random)
                .map_or(Fate::Lost, |latency| Fate::Answered(read + latency)),
            Err(fate) => fate,
        }
    }

    /// A local probe that arrives at `at`.
    pub(super) fn probe(&mut self, at: f64, random: &mut Random) -> Fate {
        match self.read(at, random) {
            Ok(read) => Fate::Answered(read + self.latency.at_hand(random)),
            Err(fate) => fate,
        }
    }

    /// When the query that arrives at `at` is read.
    fn read(&mut self, at: f64, random: &mut Random) -> Result<f64, Fate> {
        match self.condition {
            Condition::Serves => {}
            Condition::Hangs => return Err(Fate::Lost),
            Condition::Closed => return Err(Fate::Refused),
        }
        let index = if self.workers.len() == 1 {
            0
        } else {
            random.random_range(0..self.workers.len())
        };
        let Some(worker) = self.workers.get_mut(index).filter(|worker| !worker.dead) else {
            return Err(Fate::Lost);
        };
        worker.catch_up(at.floor());
        if worker.waiting(at.max(self.paused_until)) >= BUFFER_QUERIES * self.read_ms {
            self.drops += 1;
            return Err(Fate::Lost);
        }
        let begin = at + worker.waiting(at);
        worker.backlog += self.read_ms;
        Ok(begin + self.read_ms)
    }
}

impl Worker {
    const NEW: Self = Self {
        dead: false,
        backlog: 0.0,
        since: 0.0,
    };

    fn catch_up(&mut self, now: f64) {
        if now > self.since {
            self.backlog = (self.backlog - (now - self.since)).max(0.0);
            self.since = now;
        }
    }

    /// Work that still waits at `at`, in milliseconds.
    fn waiting(&self, at: f64) -> f64 {
        (self.since + self.backlog - at).max(0.0)
    }
}
