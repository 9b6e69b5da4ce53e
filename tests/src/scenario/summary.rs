//! What came of the main scenario, and whether it is what should have.

use crate::fault::Fault;
use crate::ledger::Counts;
use crate::server::ServerKind;
use serde::Serialize;
use std::time::Duration;

/// What came of it. Times are in milliseconds from just before the fault, on `CLOCK_MONOTONIC`; null for what did not
/// happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The daemon of node a decided to withdraw.
    pub detect_ms: Option<f64>,
    /// Its link was down, acknowledged by the kernel.
    pub link_down_ms: Option<f64>,
    /// The BGP withdrawal arrived at the router.
    pub wire_ms: Option<f64>,
    /// The client got node b's first answer to a query that was sent after the fault.
    pub failover_ms: Option<f64>,
    /// The client got node a's first answer after the fault was undone; not a part of the failover.
    pub recovery_ms: Option<f64>,
    /// Queries sent from the fault on that got no answer within a second.
    pub queries_lost: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The DNS server that ran.
    pub server: ServerKind,
    /// The routing daemon: `bird`, or `none`.
    pub router: &'static str,
    /// What was done to the server.
    pub fault: Fault,
    /// Queries a second, as asked for.
    pub rate_qps: u32,
    /// The daemon's floor.
    pub floor_ms: f64,
    /// The family of the queries, 4 or 6.
    pub family: u8,
    /// The route of node a was withdrawn.
    pub withdrawn: bool,
    /// Node a alerted its operator that answers are lost behind the server.
    pub alerted: bool,
    /// All of the client's queries.
    #[serde(skip)]
    pub counts: Counts,
    /// Half of the answers came within this time, and 99 in 100 within that.
    #[serde(skip)]
    pub round_trips: Option<(Duration, Duration)>,
}

impl Summary {
    /// What should have happened and didn't, or the other way round.
    #[must_use]
    pub fn surprises(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut expect = |holds: bool, words: &str| {
            if !holds {
                found.push(words.to_owned());
            }
        };
        if self.fault.should_withdraw() {
            expect(self.withdrawn, "the route should have been withdrawn");
            if self.router != "none" {
                expect(self.failover_ms.is_some(), "the other node should have answered");
            }
        } else {
            expect(!self.withdrawn, "the route should not have been withdrawn");
            expect(self.alerted, "the daemon should have alerted that answers are lost");
        }
        expect(self.recovery_ms.is_some(), "node a should have answered again in time");
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(fault: Fault) -> Summary {
        Summary {
            detect_ms: Some(31.0),
            link_down_ms: Some(31.5),
            wire_ms: Some(32.0),
            failover_ms: Some(33.0),
            recovery_ms: Some(5000.0),
            queries_lost: 40,
            kernel: "6.12.0".into(),
            server: ServerKind::Knot,
            router: "bird",
            fault,
            rate_qps: 1000,
            floor_ms: 30.0,
            family: 4,
            withdrawn: true,
            alerted: false,
            counts: Counts::default(),
            round_trips: None,
        }
    }

    #[test]
    fn what_should_have_happened_depends_on_the_fault() {
        assert_eq!(summary(Fault::Sigstop).surprises(), Vec::<String>::new());
        assert_eq!(summary(Fault::DropEgress).surprises().len(), 2);
        let alerted = Summary {
            withdrawn: false,
            alerted: true,
            ..summary(Fault::DropEgress)
        };
        assert_eq!(alerted.surprises(), Vec::<String>::new());
        let nothing = Summary {
            withdrawn: false,
            failover_ms: None,
            recovery_ms: None,
            ..summary(Fault::Sigkill)
        };
        assert_eq!(nothing.surprises().len(), 3);
    }
}
