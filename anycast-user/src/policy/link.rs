//! One link, from the withdrawal to the next announcement.

use std::time::Duration;

use crate::{
    clock::MonotonicTime,
    policy::{HoldDown, RETRY_AFTER},
};

/// Wait between rounds of probes to a withdrawn link: a tenth of its hold-down, within these bounds.
const RETURN_PROBE_INTERVAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

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
    Withdrawn(Waiting),
    /// Coming up: the kernel has not acknowledged yet.
    Announcing {
        /// The hold-down that it came through, to go back to when the link doesn't come up.
        hold: Duration,
    },
    /// Down, and not by this tool: it stays so.
    HeldByOperator,
}

/// A withdrawn link on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How long all its services must answer before it comes up.
    hold: Duration,
    /// Since when they do.
    healthy_since: Option<MonotonicTime>,
    /// When to ask them next.
    next_probe: MonotonicTime,
    /// A round of probes is out.
    asked: bool,
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

    /// The link is down by our hand. Returns the hold-down.
    pub fn withdrawn(&mut self, now: MonotonicTime) -> Duration {
        let hold = self.hold_down.withdrawn(now);
        self.wait(hold, now);
        hold
    }

    /// The link did not go down: to be tried again.
    pub fn withdrawal_failed(&mut self, now: MonotonicTime) {
        if self.phase == LinkPhase::Withdrawing {
            self.phase = LinkPhase::Announced {
                not_before: now.after(RETRY_AFTER),
            };
        }
    }

    /// A whole round of probes came back: `good` when every service answered every probe.
    pub fn probed(&mut self, now: MonotonicTime, good: bool) {
        if let LinkPhase::Withdrawn(waiting) = &mut self.phase {
            waiting.asked = false;
            waiting.healthy_since = good.then(|| waiting.healthy_since.unwrap_or(now));
        }
    }

    /// Somebody else put the link down.
    pub fn held_by_operator_now(&mut self) {
        self.phase = LinkPhase::HeldByOperator;
    }

    /// What is to be done; an answer other than `Nothing` is taken as done.
    pub fn tick(&mut self, now: MonotonicTime) -> Wish {
        let LinkPhase::Withdrawn(waiting) = &mut self.phase else {
            return Wish::Nothing;
        };
        if now < waiting.next_probe {
            return Wish::Nothing;
        }
        if waiting.asked {
            // The last round never came back whole: that is no health.
            waiting.healthy_since = None;
        }
        if waiting
            .healthy_since
            .is_some_and(|since| now.since(since) >= waiting.hold)
        {
            self.phase = LinkPhase::Announcing { hold: waiting.hold };
            return Wish::Announce;
        }
        let (least, most) = RETURN_PROBE_INTERVAL;
        waiting.next_probe = now.after((waiting.hold / 10).clamp(least, most));
        waiting.asked = true;
        Wish::Probe
    }

    /// The link is up.
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

    /// The daemon did not run for `unobserved`: nobody knows whether the services answered then, so it is no part of the
    /// hold-down.
    pub fn forgive(&mut self, unobserved: Duration) {
        if let LinkPhase::Withdrawn(Waiting {
            healthy_since: Some(since),
            ..
        }) = &mut self.phase
        {
            *since = since.after(unobserved);
        }
    }

    fn wait(&mut self, hold: Duration, now: MonotonicTime) {
        self.phase = LinkPhase::Withdrawn(Waiting {
            hold,
            healthy_since: None,
            next_probe: now,
            asked: false,
        });
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

    /// Asks every second; `round` gives what came back. The second of the announcement.
    fn announced(policy: &mut LinkPolicy, until: u64, round: impl Fn(u64) -> Option<bool>) -> Option<u64> {
        (1..until).find(|&second| match policy.tick(at(second)) {
            Wish::Announce => true,
            Wish::Probe => {
                if let Some(good) = round(second) {
                    policy.probed(at(second), good);
                }
                false
            }
            Wish::Nothing => false,
        })
    }

    #[test]
    fn it_comes_back_when_every_round_was_good_for_the_hold_down() {
        let mut policy = withdrawn();
        assert_eq!(announced(&mut policy, 100, |second| Some(second >= 5)), Some(15));
        assert_eq!(policy.tick(at(16)), Wish::Nothing, "once is enough");
        policy.announced_again();
        assert!(policy.may_withdraw(at(16)));
    }

    #[test]
    fn one_bad_or_missing_round_starts_the_hold_down_anew() {
        assert_eq!(announced(&mut withdrawn(), 100, |second| Some(second != 8)), Some(19));
        assert_eq!(
            announced(&mut withdrawn(), 100, |second| (second != 8).then_some(true)),
            Some(19)
        );
    }

    #[test]
    fn without_good_rounds_it_stays_down() {
        assert_eq!(announced(&mut withdrawn(), 100_000, |_| Some(false)), None);
        assert_eq!(
            announced(&mut withdrawn(), 100_000, |second| (second == 1).then_some(true)),
            None
        );
    }

    #[test]
    fn a_pause_of_the_daemon_is_no_part_of_the_hold_down() {
        let mut policy = withdrawn();
        assert_eq!(policy.tick(at(1)), Wish::Probe);
        policy.probed(at(1), true);
        policy.forgive(Duration::from_secs(1000));
        assert_eq!(policy.tick(at(1001)), Wish::Probe, "a second of health so far");
        policy.probed(at(1001), true);
        assert_ne!(policy.tick(at(1010)), Wish::Announce);
        policy.probed(at(1010), true);
        assert_eq!(policy.tick(at(1011)), Wish::Announce);
    }

    #[test]
    fn what_somebody_else_put_down_is_never_raised() {
        let mut policy = LinkPolicy::held_by_operator(HoldDown::new(HOLD, at(0)));
        assert_eq!(announced(&mut policy, 100, |_| Some(true)), None);
        assert!(!policy.may_withdraw(at(100)));
    }

    #[test]
    fn what_failed_is_tried_again_later() {
        let mut policy = LinkPolicy::announced(HoldDown::new(HOLD, at(0)));
        policy.withdrawing();
        policy.withdrawal_failed(at(5));
        assert!(!policy.may_withdraw(at(5)));
        assert!(policy.may_withdraw(at(6)));

        let mut policy = withdrawn();
        assert_eq!(announced(&mut policy, 100, |_| Some(true)), Some(11));
        policy.announcement_failed(at(11));
        assert_eq!(policy.tick(at(11)), Wish::Probe);
        policy.probed(at(11), true);
        assert_ne!(policy.tick(at(20)), Wish::Announce);
        policy.probed(at(20), true);
        assert_eq!(policy.tick(at(21)), Wish::Announce);
    }
}
