//! What a case is made of.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// Which kind of context a program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Xdp,
    Tc,
    /// Where packets leave sockets.
    Cgroup,
}

impl Kind {
    /// The empty program of this kind.
    pub(super) const fn empty(self) -> &'static str {
        match self {
            Self::Xdp => "baseline_xdp",
            Self::Tc => "baseline_tc",
            Self::Cgroup => "baseline_cgroup",
        }
    }

    /// What each program here returns, if it does what it should.
    pub(super) const fn verdict(self) -> u32 {
        match self {
            Self::Xdp => 2,
            Self::Tc => u32::MAX,
            Self::Cgroup => 1,
        }
    }
}

/// How much a case may cost.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bar {
    /// So many times the empty program.
    Ratio(f64),
    /// So many nanoseconds more than the empty program.
    AddedNs(f64),
}

impl Bar {
    pub(super) fn is_met(self, ratio: f64, added_ns: f64) -> bool {
        match self {
            Self::Ratio(most) => ratio <= most,
            Self::AddedNs(most) => added_ns <= most,
        }
    }
}

impl Display for Bar {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(most) => write!(formatter, "x{most}"),
            Self::AddedNs(most) => write!(formatter, "+{most} ns"),
        }
    }
}

/// Packets through a program.
#[derive(Clone, Debug)]
pub(super) struct Packets {
    pub(super) kind: Kind,
    pub(super) program: &'static str,
    pub(super) frame: Vec<u8>,
    /// Where the client's address is, if each packet is another client's.
    pub(super) client_at: Option<u16>,
}

/// What one packet of a case changes, so that no case can be something else than its name says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) packets: u64,
    pub(super) queries: u64,
    pub(super) answers: u64,
    pub(super) unclassified: u64,
    /// Answers that left a socket.
    pub(super) sent: u64,
    /// Transactions whose query was sampled.
    pub(super) opened: u64,
    /// Transactions whose time was taken.
    pub(super) closed: u64,
}

impl Change {
    pub(super) const NOTHING: Self = Self {
        packets: 0,
        queries: 0,
        answers: 0,
        unclassified: 0,
        sent: 0,
        opened: 0,
        closed: 0,
    };
    pub(super) const PACKET: Self = Self {
        packets: 1,
        ..Self::NOTHING
    };
    pub(super) const QUERY: Self = Self {
        queries: 1,
        ..Self::PACKET
    };
    pub(super) const ANSWER: Self = Self {
        answers: 1,
        ..Self::PACKET
    };
    pub(super) const UNCLASSIFIED: Self = Self {
        unclassified: 1,
        ..Self::NOTHING
    };
    pub(super) const SENT: Self = Self {
        sent: 1,
        ..Self::NOTHING
    };
    pub(super) const OPENED: Self = Self {
        opened: 1,
        ..Self::QUERY
    };
    pub(super) const CLOSED: Self = Self {
        closed: 1,
        ..Self::ANSWER
    };
}

/// As good as never, as a sampling exponent.
pub(super) const NEVER: u32 = 31;

/// Numbers of runs whose difference in time is taken.
pub(super) type Repeats = (u32, u32);

/// One line of the result.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) bar: Option<Bar>,
    pub(super) packets: Packets,
    pub(super) change: Change,
    /// One in two to the power of this is sampled.
    pub(super) sample_exponent: u32,
    pub(super) repeats: Repeats,
    /// What has to pass before, not measured: as many packets.
    pub(super) before: Option<Packets>,
    /// What passes after, so that the next round finds things as this one did.
    pub(super) after: Option<Packets>,
}

impl Case {
    pub(super) fn new(name: &'static str, bar: Option<Bar>, packets: Packets, change: Change) -> Self {
        Self {
            name,
            bar,
            packets,
            change,
            sample_exponent: NEVER,
            repeats: (2_000, 20_000),
            before: None,
            after: None,
        }
    }

    pub(super) fn sampled(self, sample_exponent: u32) -> Self {
        Self {
            sample_exponent,
            ..self
        }
    }

    pub(super) fn repeats(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    pub(super) fn before(self, packets: Packets) -> Self {
        Self {
            before: Some(packets),
            ..self
        }
    }

    pub(super) fn after(self, packets: Packets) -> Self {
        Self {
            after: Some(packets),
            ..self
        }
    }
}
