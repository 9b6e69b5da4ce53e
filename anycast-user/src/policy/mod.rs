//! What to do about it. Pure: assessments, probe results and time in, decisions out.
//!
//! [`Suspicion`] follows one service from the first doubt to a verdict; [`LinkPolicy`] follows one link from the
//! withdrawal to the next announcement.

mod bucket;
mod floor;
mod hold_down;
mod link;
mod rule;
mod suspicion;

use std::time::Duration;

use serde::Serialize;

use crate::clock::MonotonicTime;

pub use self::{
    floor::{Floor, FloorSettings},
    hold_down::HoldDown,
    link::{LinkPhase, LinkPolicy, Wish},
    rule::WithdrawWhen,
    suspicion::{BURST_NATS, Cause, PROBES_IN_BURST, PROBES_IN_PROOF, Proof, Suspicion, SuspicionSettings, Verdict},
};

/// What an operator is told about a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum State {
    /// Not enough was seen of it; its silence means nothing yet.
    #[default]
    Unarmed,
    /// Queries are answered.
    Healthy,
    /// No queries come.
    Idle,
    /// Answers that should have come did not; probes are asking.
    Suspect,
    /// It does not answer: queries that arrive here are lost.
    Blackholed,
    /// Its link was put down.
    Withdrawn,
    /// Its link is down; probes are answered again and the hold-down is running.
    Holding,
}

impl State {
    /// All states, by their number.
    pub const ALL: [Self; 7] = [
        Self::Unarmed,
        Self::Healthy,
        Self::Idle,
        Self::Suspect,
        Self::Blackholed,
        Self::Withdrawn,
        Self::Holding,
    ];

    /// Its name, as in events and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unarmed => "unarmed",
            Self::Healthy => "healthy",
            Self::Idle => "idle",
            Self::Suspect => "suspect",
            Self::Blackholed => "blackholed",
            Self::Withdrawn => "withdrawn",
            Self::Holding => "holding",
        }
    }
}

/// What came back of a burst of local probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// When the first was sent.
    pub started_at: MonotonicTime,
    /// When the last was answered or refused, or the window closed.
    pub finished_at: MonotonicTime,
    /// Probes that were to be sent: [`PROBES_IN_BURST`], or [`PROBES_IN_PROOF`].
    pub asked: u8,
    /// Probes that could be sent.
    pub sent: u8,
    /// Probes that were answered, by whatever rcode.
    pub answered: u8,
    /// Probes that found no socket (`ECONNREFUSED`).
    pub refused: u8,
}

impl Burst {
    /// All of its probes could be sent. One that could not says nothing about the service.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.sent >= self.asked && self.asked > 0
    }

    /// So many of its probes found no socket that there is none: three in four.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_whole() && u16::from(self.refused) * 4 >= u16::from(self.asked) * 3
    }

    /// Nothing came back of a whole burst.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.is_whole() && self.answered == 0
    }

    /// A whole burst came back.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_whole() && self.answered >= self.sent
    }
}

/// A reason not to withdraw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Neither `--arm` nor `armed = true` was given.
    Observing,
    /// Other services of the link live, and it is to go down with more of them only.
    OthersAlive,
}

impl Guard {
    /// Its name, as in events and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observing => "observing",
            Self::OthersAlive => "others-alive",
        }
    }
}

/// Why a service is only watched: counted and judged, but never probed, and never a reason to move its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchOnly {
    /// This version can't ask a service of its protocol whether it is alive.
    NoProbe,
}

/// Wait between attempts at something that failed: long enough not to fill a log, short enough for a route.
const RETRY_AFTER: Duration = Duration::from_secs(1);
