//! One link, from the withdrawal to the next announcement.

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    policy::{HoldDown, RETRY_AFTER},
};

/// Wait between rounds of probes to a withdrawn link: a tenth of its hold-down, within these bounds.
const RETURN_PROBE_INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPhase {
    /// Up. After a withdrawal that did not take, the next attempt waits until `not_before`.
    Announced {
        /// Earliest time of a withdrawal.
        not_before: MonotonicTime,
    },
    /// Going down: the kernel has not acknowledged yet.
    Withdrawing,
    /// Down, by this tool.
    Withdrawn {
        /// How long all its services must answer before it comes up.
        hold: Duration,
        /// Since when they do.
        healthy_since: Option<MonotonicTime>,
        /// When to ask them next.
        next_probe: MonotonicTime,
    },
    /// Coming up: the kernel has not acknowledged yet.
    Announcing {
        /// The hold-down that it came through, to go back to when the link doesn't come up.
        hold: Duration,
    },
    /// Down, and not by this tool: it stays so.
    HeldByOperator,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Send a burst to each service that must answer before the link comes up.
    Probe,
    /// Put the link up.
    Announce,
}

/// The policy for one link.
#[derive(Clone, Debug)]
pub struct LinkPolicy {
    phase: LinkPhase,
    hold_down: HoldDown,
}

impl LinkPolicy {
    /// A link that is up.
    #[must_use]
    pub fn announced(hold_down: HoldDown) -> Self {
        Self {
            phase: LinkPhase::Announced {
                not_before: MonotonicTime(0),
            },
            hold_down,
        }
    }

    /// A link that somebody else put down.
    #[must_use]
    pub fn held_by_operator(hold_down: HoldDown) -> Self {
        Self {
            phase: LinkPhase::HeldByOperator,
            hold_down,
        }
    }

    /// A link that an earlier run of this daemon put down: it comes up as after any withdrawal.
    #[must_use]
    pub fn withdrawn_before(hold_down: HoldDown, now: MonotonicTime) -> Self {
        let mut policy = Self::held_by_operator(hold_down);
        policy.withdrawn(now);
        policy
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> LinkPhase {
        self.phase
    }

    /// Whether a withdrawal would be carried out now.
    #[must_use]
    pub fn may_withdraw(&self, now: MonotonicTime) -> bool {
        matches!(self.phase, LinkPhase::Announced { not_before } if now >= not_before)
    }

    /// The withdrawal was handed to the actuator.
    pub fn withdrawing(&mut self) {
        self.phase = LinkPhase::Withdrawing;
    }

    /// The kernel acknowledged that the link is down. Returns the hold-down.
    pub fn withdrawn(&mut self, now: MonotonicTime) -> Duration {
        let hold = self.hold_down.withdrawn(now);
        self.wait(hold, now);
        hold
    }

    /// The link did not go down: to be tried again.
    pub fn withdrawal_failed(&mut self, now: MonotonicTime) {
        self.phase = LinkPhase::Announced {
            not_before: now.after(RETRY_AFTER),
        };
    }

    /// A whole round of probes came back: `good` when every service answered every probe.
    pub fn probed(&mut self, now: MonotonicTime, good: bool) {
        if let LinkPhase::Withdrawn { healthy_since, .. } = &mut self.phase {
            *healthy_since = good.then(|| healthy_since.unwrap_or(now));
        }
    }

    /// Somebody else put the link down.
    pub fn held_by_operator_now(&mut self) {
        self.phase = LinkPhase::HeldByOperator;
    }

    /// What is to be done; an answer other than `Nothing` is taken as done.
    pub fn tick(&mut self, now: MonotonicTime) -> Wish {
        let LinkPhase::Withdrawn {
            hold,
            healthy_since,
            next_probe,
        } = &mut self.phase
        else {
            return Wish::Nothing;
        };
        if healthy_since.is_some_and(|since| now.since(since) >= *hold) {
            self.phase = LinkPhase::Announcing { hold: *hold };
            Wish::Announce
        } else if now >= *next_probe {
            let (least, most) = RETURN_PROBE_INTERVAL;
            *next_probe = now.after((*hold / 10).clamp(least, most));
            Wish::Probe
        } else {
            Wish::Nothing
        }
    }

    /// The kernel acknowledged that the link is up.
    pub fn announced_again(&mut self) {
        self.phase = LinkPhase::Announced {
            not_before: MonotonicTime(0),
        };
    }

    /// The link did not come up: the hold-down starts anew.
    pub fn announcement_failed(&mut self, now: MonotonicTime) {
        if let LinkPhase::Announcing { hold } = self.phase {
            self.wait(hold, now);
        }
    }

    fn wait(&mut self, hold: Duration, now: MonotonicTime) {
        self.phase = LinkPhase::Withdrawn {
            hold,
            healthy_since: None,
            next_probe: now,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime(seconds * 1_000_000_000)
    }

    fn withdrawn() -> LinkPolicy {
        let mut policy = LinkPolicy::announced(HoldDown::new(HOLD, at(0)));
        assert!(policy.may_withdraw(at(1)));
        policy.withdrawing();
        assert!(!policy.may_withdraw(at(1)), "once is enough");
        assert_eq!(policy.withdrawn(at(1)), HOLD);
        policy
    }

    #[test]
    fn it_comes_back_when_every_round_was_good_for_the_hold_down() {
        let mut policy = withdrawn();
        assert_eq!(policy.tick(at(1)), Wish::Probe);
        assert_eq!(policy.tick(at(1)), Wish::Nothing);
        policy.probed(at(2), true);
        policy.probed(at(11), true);
        assert_ne!(policy.tick(at(11)), Wish::Announce);
        assert_eq!(policy.tick(at(12)), Wish::Announce);
        assert_eq!(policy.tick(at(13)), Wish::Nothing, "once is enough");
        policy.announced_again();
        assert!(policy.may_withdraw(at(13)));
    }

    #[test]
    fn one_bad_round_starts_the_hold_down_anew() {
        let mut policy = withdrawn();
        policy.probed(at(2), true);
        policy.probed(at(11), false);
        policy.probed(at(12), true);
        assert_ne!(policy.tick(at(21)), Wish::Announce);
        assert_eq!(policy.tick(at(22)), Wish::Announce);
    }

    #[test]
    fn without_a_good_round_it_stays_down() {
        let mut policy = withdrawn();
        for seconds in 1..100_000 {
            assert_ne!(policy.tick(at(seconds)), Wish::Announce);
        }
    }

    #[test]
    fn what_somebody_else_put_down_is_never_raised() {
        let mut policy = LinkPolicy::held_by_operator(HoldDown::new(HOLD, at(0)));
        for seconds in 0..100 {
            policy.probed(at(seconds), true);
            assert_eq!(policy.tick(at(seconds)), Wish::Nothing);
            assert!(!policy.may_withdraw(at(seconds)));
        }
    }

    #[test]
    fn what_failed_is_tried_again_later() {
        let mut policy = LinkPolicy::announced(HoldDown::new(HOLD, at(0)));
        policy.withdrawing();
        policy.withdrawal_failed(at(5));
        assert!(!policy.may_withdraw(at(5)));
        assert!(policy.may_withdraw(at(6)));

        let mut policy = withdrawn();
        policy.probed(at(2), true);
        assert_eq!(policy.tick(at(12)), Wish::Announce);
        policy.announcement_failed(at(12));
        policy.probed(at(13), true);
        assert_eq!(policy.tick(at(23)), Wish::Announce);
    }
}
