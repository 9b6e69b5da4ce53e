//! What the lab runs besides the project's own programs, and which of it can't be had.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anycast_tests::tools;
use anyhow::Error;

use crate::store;
use crate::workspace::say;

/// A program of the lab and its package.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// None of them is required: the lab says what it does without.
pub(crate) const PROGRAMS: [Program; 5] = [
    Program {
        name: "bird",
        package: "bird2",
    },
    Program {
        name: "knotd",
        package: "knot",
    },
    Program {
        name: "nsd",
        package: "nsd",
    },
    Program {
        name: "unbound",
        package: "unbound",
    },
    Program {
        name: "ip",
        package: "iproute2",
    },
];

/// How long a package that couldn't be had is left alone by the lab.
const RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The programs that neither the machine nor the store has, or that don't start.
pub(crate) fn missing() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().filter(|program| tools::find(program.name).is_none())
}

/// Whether it is too early to try again: asking the archives takes seconds, which not every run of the lab should.
pub(crate) fn gave_up_lately(tree: &Path) -> bool {
    fs::metadata(marker(tree))
        .and_then(|marker| marker.modified())
        .is_ok_and(|when| when.elapsed().is_ok_and(|age| age < RETRY_AFTER))
}

/// Says that the package of `tree` can't be had, and with `remember` leaves it alone for a while.
pub(crate) fn give_up(tree: &Path, error: &Error, remember: bool) {
    let name = tree.file_name().unwrap_or_default().display();
    say(format!(
        "{name} can't be had ({error:#}): the lab does without; `cargo xtask setup` tries again"
    ));
    if !remember {
        return;
    }
    let remembered = store::create(&tools::trees()).and_then(|()| Ok(fs::write(marker(tree), format!("{error:#}\n"))?));
    if let Err(error) = remembered {
        say(format!("cannot remember that: {error:#}"));
    }
}

/// The file that remembers that a package of the lab couldn't be had.
fn marker(tree: &Path) -> PathBuf {
    tree.with_extension("unavailable")
}
