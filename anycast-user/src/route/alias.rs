//! The mark on a link that this tool took down: its alias, set in the same request that takes it down.
//!
//! An operator sees it in `ip link`, and a daemon that starts again knows by it what it may raise: the mark lives
//! exactly as long as the state it tells of, which a file would not.

use crate::net::Link;

const MARK: &str = "anycast-probe withdrew this link";
const BEFORE_PREVIOUS: &str = " | was: ";
/// The kernel's `IFALIASZ` less the terminating zero.
const MAX_ALIAS_BYTES: usize = 255;

/// Who took a link down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It is down and carries the mark: this tool may raise it.
    Ours,
    /// It is up, or somebody else took it down: leave it.
    NotOurs,
}

/// Whether this tool, in this or an earlier life, took `link` down.
#[must_use]
pub fn ownership(link: &Link) -> Ownership {
    if !link.up && is_marked(link) {
        Ownership::Ours
    } else {
        Ownership::NotOurs
    }
}

/// Whether `link` carries the mark. On a link that is up it is stale: somebody else raised it. It should be taken off,
/// or an operator who takes the link down later would find it raised.
#[must_use]
pub fn is_marked(link: &Link) -> bool {
    link.alias.as_deref().is_some_and(|alias| split(alias).is_some())
}

/// What follows the mark in a marked alias, empty when nothing does.
fn split(alias: &str) -> Option<&str> {
    match alias.strip_prefix(MARK)? {
        "" => Some(""),
        rest => rest.strip_prefix(BEFORE_PREVIOUS),
    }
}

/// The alias that `link` has when it is announced: its own, without a mark. Empty for none.
pub(super) fn announced(link: &Link) -> &str {
    let alias = link.alias.as_deref().unwrap_or_default();
    split(alias).unwrap_or(alias)
}

/// The alias for the time of the withdrawal; of a very long alias the end is lost to a daemon that starts again.
pub(super) fn withdrawn(announced: &str) -> String {
    let mut alias = MARK.to_owned();
    if !announced.is_empty() {
        alias.push_str(BEFORE_PREVIOUS);
        alias.push_str(announced);
        let end = (0..=MAX_ALIAS_BYTES)
            .rev()
            .find(|&end| alias.is_char_boundary(end))
            .unwrap_or_default();
        alias.truncate(end);
    }
    alias
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::testing::link;

    fn with(up: bool, alias: Option<&str>) -> Link {
        Link {
            up,
            alias: alias.map(str::to_owned),
            ..link(4, "anycast0", Some("dummy"))
        }
    }

    #[test]
    fn only_a_link_that_is_down_and_marked_is_ours() {
        let marked = [
            MARK.to_owned(),
            format!("{MARK} | was: rack 7"),
            withdrawn(&"x".repeat(400)),
        ];
        for alias in &marked {
            assert_eq!(ownership(&with(false, Some(alias))), Ownership::Ours, "{alias}");
            assert_eq!(ownership(&with(true, Some(alias))), Ownership::NotOurs);
            assert!(is_marked(&with(true, Some(alias))));
        }
        for alias in [
            None,
            Some("rack 7"),
            Some("anycast-probe"),
            Some("anycast-probe withdrew this linked list"),
        ] {
            assert_eq!(ownership(&with(false, alias)), Ownership::NotOurs, "{alias:?}");
            assert!(!is_marked(&with(true, alias)));
        }
    }

    proptest! {
        #[test]
        fn any_alias_comes_back_and_fits(alias in "\\PC{0,255}") {
            let marked = withdrawn(&alias);
            prop_assert!(marked.len() <= MAX_ALIAS_BYTES);
            let link = with(false, Some(&marked));
            prop_assert_eq!(ownership(&link), Ownership::Ours);
            let back = announced(&link);
            prop_assert!(alias.starts_with(back));
            if marked.len() < MAX_ALIAS_BYTES - 4 {
                prop_assert_eq!(back, alias);
            }
            // Marking twice must not nest.
            prop_assert_eq!(withdrawn(announced(&link)), marked);
        }
    }
}
