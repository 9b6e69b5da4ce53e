//! `cargo xtask setup`: gives the machine what it lacks to build the BPF programs and to run the lab.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anycast_tests::tools;
use anyhow::{Context, Result};
use serde::Serialize;

use crate::plan::{self, Plan};
use crate::toolchain::{self, Toolchain};
use crate::workspace::say;
use crate::{Outcome, lab, store};

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct SetupArgs {
    /// Take away everything that setup fetched
    #[arg(long)]
    remove: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the machine has after a setup.
#[derive(Serialize)]
struct Report {
    home: PathBuf,
    toolchain: String,
    /// The lab's programs; `null` for one that can't be had.
    programs: BTreeMap<&'static str, Option<PathBuf>>,
}

/// What `setup --remove` did.
#[derive(Serialize)]
struct Removed {
    home: PathBuf,
    /// Whether there is nothing left; `false` when something else is in the directory.
    removed: bool,
}

pub(crate) fn run(arguments: &SetupArgs) -> Result<Outcome> {
    if arguments.remove {
        Outcome::success(&remove()?)
    } else {
        Outcome::success(&everything()?)
    }
}

/// The toolchain for the BPF programs, fetched first if the machine has none.
pub(crate) fn toolchain() -> Result<Toolchain> {
    if let Some(toolchain) = toolchain::find()? {
        return Ok(toolchain);
    }
    say("this machine has no toolchain for BPF yet: setting one up");
    let _lock = store::lock()?;
    set_up_toolchain(Plan::new())
}

/// Fetches what the lab needs and the machine lacks. A package that can't be had is said and left out.
pub(crate) fn lab() -> Result<()> {
    if lab::missing().next().is_none() {
        return Ok(());
    }
    let _lock = store::lock()?;
    let mut plan = Plan::new();
    plan.add_lab(false);
    plan.announce();
    plan.carry_out()
}

/// Fetches what boots the distribution's newest kernel of `series` and `flavour`, and that kernel as `tree`, if they
/// aren't there.
pub(crate) fn virtual_machine(series: &str, flavour: &str, tree: &Path) -> Result<()> {
    if tree.is_dir() && tools::find(plan::EMULATOR).is_some() {
        return Ok(());
    }
    let _lock = store::lock()?;
    let mut plan = Plan::new();
    plan.add_emulator()?;
    if !tree.is_dir() {
        plan.add_kernel(series, flavour, tree)?;
    }
    plan.announce();
    plan.carry_out()
}

fn everything() -> Result<Report> {
    let _lock = store::lock()?;
    let mut plan = Plan::new();
    plan.add_lab(true);
    let toolchain = set_up_toolchain(plan)?;
    say(format!("BPF toolchain: {}", toolchain.description));
    let programs: BTreeMap<_, _> = lab::PROGRAMS
        .iter()
        .map(|program| {
            (
                program.name,
                tools::find(program.name).map(|tool| tool.path().to_owned()),
            )
        })
        .collect();
    for (name, path) in &programs {
        match path {
            Some(path) => say(format!("{name}: {}", path.display())),
            None => say(format!("{name}: can't be had; the lab does without")),
        }
    }
    Ok(Report {
        home: tools::home(),
        toolchain: toolchain.description,
        programs,
    })
}

/// Carries out `plan` and what the toolchain needs besides. The lock is held: another setup may have been faster.
fn set_up_toolchain(mut plan: Plan) -> Result<Toolchain> {
    if toolchain::find()?.is_none() {
        plan.add_toolchain()?;
    }
    plan.announce();
    plan.carry_out()?;
    toolchain::find()?.with_context(|| {
        format!(
            "the toolchain in {} doesn't run; `cargo xtask setup --remove` and setup again make it anew",
            tools::home().display()
        )
    })
}

fn remove() -> Result<Removed> {
    let home = tools::home();
    if !home.exists() {
        say(format!("there is no {}", home.display()));
        return Ok(Removed { home, removed: true });
    }
    let _lock = store::lock()?;
    let removed = store::remove_all(&home)?;
    if removed {
        say(format!("removed {}", home.display()));
    } else {
        say(format!(
            "removed what setup had put into {}, and left what else is there",
            home.display()
        ));
    }
    Ok(Removed { home, removed })
}
