//! What goes into the engine and what comes out of it.

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    detect::{self, Nats},
    event::Event,
    policy::{Burst, State, SuspicionSettings, WatchOnly},
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSetup {
    /// How it was found.
    pub found: Found,
    /// For each of its services, why it is only watched, if it is. They are numbered through all links in order.
    pub services: Vec<Option<WatchOnly>>,
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
    /// Evidence of the present silence.
    pub evidence: Nats,
    /// Evidence at which silence alone is proof.
    pub threshold: Nats,
}
