//! What goes into the engine and what comes out of it.

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    detect::{self, Nats},
    event::{AlertSet, Event},
    policy::{Burst, State, SuspicionSettings, WatchOnly, WithdrawWhen},
};

/// Why a burst of probes is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A suspicion: every millisecond counts.
    Suspicion,
    /// Arming, the hold-down, and now and then while all is well: a slow answer is an answer, and nothing is urgent.
    Health,
}

/// A burst to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// To whom.
    pub service: usize,
    /// Comes back with the result: what was asked before the service was watched from zero is not about it any more.
    pub generation: u32,
    /// Why.
    pub purpose: Purpose,
    /// How many probes, each from a port of its own.
    pub probes: u8,
}

/// What came of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Who was asked.
    pub service: usize,
    /// Of the question.
    pub generation: u32,
    /// Why it was asked.
    pub purpose: Purpose,
    /// What came back.
    pub burst: Burst,
    /// The burst was judged before, and then an answer came all the same.
    pub late: bool,
    /// The slowest answer came within the time that a suspicion waits for one.
    pub quick: bool,
}

/// What a look at a link showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, before the look.
    pub at: MonotonicTime,
    /// Whether the link is up.
    pub up: bool,
    /// Whether it carries the mark of a withdrawal.
    pub marked: bool,
}

/// What the engine wants done. None of it may block.
pub trait Effects {
    /// Send a burst of local probes; its result comes back by [`Engine::probed`](super::Engine::probed). False when that can't be done now.
    fn probe(&mut self, ask: Ask) -> bool;
    /// Put a link down; the result comes back by [`Engine::acted`](super::Engine::acted). False when that can't be done now.
    fn withdraw(&mut self, link: usize, decided_at: MonotonicTime) -> bool;
    /// Put a link up; the result comes back by [`Engine::acted`](super::Engine::acted). False when that can't be done now.
    fn announce(&mut self, link: usize, decided_at: MonotonicTime) -> bool;
    /// Take the mark of a withdrawal off a link that somebody else put up. Nobody waits for it.
    fn unmark(&mut self, link: usize);
    /// Tell.
    fn event(&mut self, event: Event);
}

/// What the engine must know before it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Whether links may be touched.
    pub armed: bool,
    /// The detector's.
    pub detect: detect::Settings,
    /// The policy's for services.
    pub suspicion: SuspicionSettings,
    /// Alerts that count as a service's death when they have lasted for ten seconds: what the operator asked for in so
    /// many words.
    pub withdraw_also_on: AlertSet,
    /// The first hold-down.
    pub hold_down: Duration,
    /// Answers may leave uncounted, so that silence proves nothing; see [`Engine::bypass`](super::Engine::bypass).
    pub bypassed: bool,
}

/// How a link is found when the engine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Up.
    Up,
    /// Down, and marked as withdrawn by an earlier run.
    WithdrawnByUs,
    /// Down by somebody else's hand.
    Down,
}

/// A link and its services, as the engine starts.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSetup {
    /// How it was found.
    pub found: Found,
    /// With how many dead services it goes down.
    pub withdraw_when: WithdrawWhen,
    /// Its services. They are numbered through all links in order.
    pub services: Vec<ServiceSetup>,
}

/// A service, as the engine starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceSetup {
    /// Why it is only watched, if it is.
    pub watch_only: Option<WatchOnly>,
    /// What it weighs where a share of the services decides.
    pub weight: f64,
}

impl Default for ServiceSetup {
    fn default() -> Self {
        Self {
            watch_only: None,
            weight: 1.0,
        }
    }
}

/// What a look at the sockets of a service showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketsSeen {
    /// When.
    pub at: MonotonicTime,
    /// Sockets that are bound to its address and port.
    pub sockets: u32,
    /// Packets that found a receive queue full, so far.
    pub receive_drops: u64,
    /// Sockets whose receive queue is nearly full now.
    pub full: u32,
    /// Sockets that ran full and yet were read from since the look before: those of a server that works and can't keep up.
    /// Those of one that was stopped run full as well, and nobody reads from them.
    pub draining: u32,
    /// Sockets that nobody has read from for a while, while others of the service are read.
    pub hung: u32,
}

/// What the actuator did with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Index of the link.
    pub link: usize,
    /// Whether it was to go up or down.
    pub up: bool,
    /// When that was decided.
    pub decided_at: MonotonicTime,
    /// When the kernel acknowledged it, or why it did not happen.
    pub result: Result<MonotonicTime, Failure>,
}

/// Why an order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The kernel would not, or the link was read back otherwise.
    Refused,
    /// Somebody else had put the link down, and it was left alone.
    NotOurs,
}

/// What is shown of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Its state.
    pub state: State,
    /// Evidence that answers are missing, by the channel that has more.
    pub evidence: Nats,
    /// Evidence at which silence alone is proof.
    pub threshold: Nats,
    /// The most that evidence and failed bursts have come to since it was armed, as a share of the threshold. What led to
    /// a withdrawal included.
    pub closest_approach: f64,
    /// The floor that holds now.
    pub floor: Duration,
    /// h/μ: the least delay that answers alone allow; zero as long as nothing is known.
    pub limit: Duration,
    /// What is wrong with it now, as far as there is an alert for it.
    pub alerts: AlertSet,
    /// Answers that leave its sockets should be counted.
    pub wants_second_proof: bool,
}
