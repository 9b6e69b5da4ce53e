//! With how many dead services a link goes down.

/// When a link is withdrawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WithdrawWhen {
    /// One of its services is dead.
    #[default]
    Any,
    /// All of its services are.
    All,
    /// The dead ones have at least this share of the weight of all of them, above 0 and at most 1.
    Share(f64),
}

impl WithdrawWhen {
    /// Whether it is time, given each service's weight and whether it is dead. Services that are only watched are none of
    /// them.
    pub fn is_met(self, services: impl Iterator<Item = (f64, bool)>) -> bool {
        let (mut dead, mut all, mut any, mut every) = (0.0, 0.0, false, true);
        for (weight, is_dead) in services {
            all += weight;
            dead += if is_dead { weight } else { 0.0 };
            any |= is_dead;
            every &= is_dead;
        }
        match self {
            Self::Any => any,
            Self::All => any && every,
            // A hair of tolerance: thirds don't add up in binary.
            Self::Share(share) => any && dead >= share * all * (1.0 - 1e-9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_all_and_a_weighted_share() {
        let met = |rule: WithdrawWhen, dead: [bool; 3]| rule.is_met([2.0, 1.0, 1.0].into_iter().zip(dead));
        let half = WithdrawWhen::Share(0.5);
        for (dead, any, all, share) in [
            ([false; 3], false, false, false),
            ([true, false, false], true, false, true),
            ([false, true, false], true, false, false),
            ([false, true, true], true, false, true),
            ([true; 3], true, true, true),
        ] {
            assert_eq!(met(WithdrawWhen::Any, dead), any, "{dead:?}");
            assert_eq!(met(WithdrawWhen::All, dead), all, "{dead:?}");
            assert_eq!(met(half, dead), share, "{dead:?}");
        }
        for rule in [WithdrawWhen::Any, WithdrawWhen::All, WithdrawWhen::Share(1.0)] {
            assert!(!rule.is_met(std::iter::empty()), "{rule:?}");
        }
    }

    #[test]
    fn thirds_add_up() {
        let thirds = [(1.0 / 3.0, true), (1.0 / 3.0, true), (1.0 / 3.0, false)];
        assert!(WithdrawWhen::Share(2.0 / 3.0).is_met(thirds.into_iter()));
    }
}
