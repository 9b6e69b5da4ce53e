//! What the lab sees, in one stream: the daemons' events, BGP on the wire, the client's answers.

use crate::bgp::Update;
use crate::clock::Moment;
use crate::event::Event;
use crate::node::{Node, PerNode};

/// Something that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
}

impl Observation {
    /// An observation of this moment.
    #[must_use]
    pub fn now(what: What) -> Self {
        Self {
            at: Moment::now(),
            what,
        }
    }
}

/// What can be seen.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The lab says what it does.
    Note(String),
    /// The daemon of a node reports an event.
    Daemon {
        /// The daemon's node.
        node: Node,
        /// The event.
        event: Event,
    },
    /// A node's update arrived at the router.
    Bgp {
        /// The node that sent it.
        node: Node,
        /// What it says.
        update: Update,
    },
    /// The client's answers come from this node from now on.
    AnsweredBy(Node),
    /// The fault happens now: times are counted from here.
    Fault(String),
    /// What goes through, a few times a second.
    Throughput(Throughput),
}

/// Rates since the last such observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Queries a second that the client sent.
    pub sent_per_s: f64,
    /// Answers a second that it got, by node.
    pub answered_per_s: PerNode<f64>,
    /// What the daemons last reported: queries and answers a second for the service address, and its state.
    pub reported: PerNode<Option<Reported>>,
}

/// A daemon's own figures for the service address that the client uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// Queries a second.
    pub queries_per_s: f64,
    /// Answers a second.
    pub answers_per_s: f64,
}

/// Somebody who wants to hear of observations as they come, such as a display.
pub trait Progress {
    /// Takes an observation. They come in about the order of their moments, not strictly.
    fn observe(&mut self, observation: &Observation);

    /// Called many times a second, for whoever holds something back.
    fn tick(&mut self) {}
}

/// Nobody: for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn observe(&mut self, _observation: &Observation) {}
}
