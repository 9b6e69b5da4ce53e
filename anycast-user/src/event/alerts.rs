//! Sets of alerts.

use super::AlertKind;

/// A set of alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertSet(u32);

impl AlertSet {
    /// Adds one; whether it was not in the set.
    pub fn insert(&mut self, kind: AlertKind) -> bool {
        let is_new = !self.contains(kind);
        self.0 |= bit(kind);
        is_new
    }

    /// Takes one out; whether it was in the set.
    pub fn remove(&mut self, kind: AlertKind) -> bool {
        let was_in = self.contains(kind);
        self.0 &= !bit(kind);
        was_in
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, kind: AlertKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// Those of it in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = AlertKind> {
        AlertKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// The set as bits, by the alerts' numbers.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of these [`bits`](Self::bits).
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl FromIterator<AlertKind> for AlertSet {
    fn from_iter<I: IntoIterator<Item = AlertKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::default(), |mut set, kind| {
            set.insert(kind);
            set
        })
    }
}

const fn bit(kind: AlertKind) -> u32 {
    1 << kind as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_a_place_of_its_own() {
        let mut set = AlertSet::default();
        for kind in AlertKind::ALL {
            assert!(set.insert(kind), "{kind:?}");
            assert!(!set.insert(kind));
        }
        assert_eq!(set.iter().count(), AlertKind::ALL.len());
        assert!(set.remove(AlertKind::Slow) && !set.contains(AlertKind::Slow));
        assert_eq!(AlertSet::from_bits(set.bits()), set);
    }
}
