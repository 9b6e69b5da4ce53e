//! Debian packages without an install: apt works out what is needed and downloads it, dpkg unpacks it into a
//! directory. The machine's package database is read and never written, so no privilege is needed either.

mod records;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::tools;
use anyhow::{Context, Result, ensure};

use crate::store;
use crate::workspace::{capture, say, status, stream};
pub(crate) use records::Package;
use records::{parse_unpacked_sizes, parse_uri_line};

/// The C library can't be replaced by another copy without its loader, so the machine's own always serves.
const NEVER_UNPACKED: [&str; 2] = ["libc6", "libc-bin"];

/// Keeps `apt-get update` from running what the machine has planned for the end of its own updates: it would tidy up
/// the machine's caches and tell its package managers, though nothing of theirs has changed.
const NO_HOOKS: &str = "#clear APT::Update::Pre-Invoke;\n\
                        #clear APT::Update::Post-Invoke;\n\
                        #clear APT::Update::Post-Invoke-Success;\n\
                        #clear APT::Update::Post-Invoke-Stats;\n";

/// The machine's apt.
pub(crate) struct Apt {
    lists: Cell<Lists>,
}

/// Which package lists apt reads.
#[derive(Clone, Copy, PartialEq)]
enum Lists {
    /// The machine's own.
    OfTheMachine,
    /// The machine's own, and fresh ones can't be fetched.
    Offline,
    /// Fresh ones below [`tools::home`].
    Own,
}

impl Apt {
    /// The machine's apt, if it has one.
    pub(crate) fn find() -> Option<Self> {
        let complete = ["apt-get", "apt-cache", "dpkg-deb"]
            .iter()
            .all(|program| tools::find_on_machine(program).is_some());
        complete.then(|| Self {
            lists: Cell::new(Lists::OfTheMachine),
        })
    }

    /// Whether there is a package `name`. Lists that don't know it may be missing or stale, so fresh ones are asked
    /// before the answer is no; an error if they can't be.
    pub(crate) fn knows(&self, name: &str) -> Result<bool> {
        if self.candidate(name) {
            return Ok(true);
        }
        self.refresh()?;
        Ok(self.candidate(name))
    }

    /// Whether there are packages of all these `names`.
    pub(crate) fn knows_all(&self, names: &[&str]) -> Result<bool> {
        for name in names {
            if !self.knows(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether fresh lists were wanted and couldn't be fetched.
    pub(crate) fn is_offline(&self) -> bool {
        self.lists.get() == Lists::Offline
    }

    /// What `packages` need and the machine lacks, themselves included.
    ///
    /// `packages` are named even if the machine has them: a tree must stay whole when they are removed.
    pub(crate) fn closure(&self, packages: &[String]) -> Result<Vec<Package>> {
        let simulation = capture(
            self.command("apt-get")
                .args(["install", "--simulate", "--no-install-recommends"])
                .args(packages),
        )?;
        let mut names = packages.to_vec();
        for line in simulation.lines() {
            let mut words = line.split_whitespace();
            // A conflicting package ("Remv") is of no interest: nothing is installed.
            if let (Some("Inst"), Some(name)) = (words.next(), words.next())
                && !NEVER_UNPACKED.contains(&name)
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        self.exactly(&names)
    }

    /// The packages `names` alone, without what they need.
    pub(crate) fn exactly(&self, names: &[String]) -> Result<Vec<Package>> {
        let listing = capture(self.command("apt-get").args(["download", "--print-uris"]).args(names))?;
        let records = capture(
            self.command("apt-cache")
                .args(["show", "--no-all-versions"])
                .args(names),
        )?;
        let sizes = parse_unpacked_sizes(&records);
        let mut packages: Vec<Package> = listing.lines().filter_map(parse_uri_line).collect();
        for package in &mut packages {
            package.unpacked_bytes = sizes.get(&package.name).copied().unwrap_or_default();
        }
        Ok(packages)
    }

    /// The first package that starts with `prefix` and a digit among all that `package` needs, installed or not.
    pub(crate) fn dependency(&self, package: &str, prefix: &str) -> Option<String> {
        let listing = capture(
            self.command("apt-cache")
                .args(["depends", "--recurse", "--no-recommends", "--no-suggests"])
                .args(["--no-conflicts", "--no-breaks", "--no-replaces"])
                .args(["--no-enhances", package]),
        )
        .ok()?;
        listing
            .lines()
            // The first line is the package itself.
            .skip(1)
            .filter_map(|line| line.split_whitespace().last())
            .find(|name| {
                name.strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            })
            .map(str::to_owned)
    }

    /// Downloads `packages` and unpacks them into `tree`, in one step.
    pub(crate) fn unpack(&self, packages: &[Package], tree: &Path) -> Result<()> {
        self.download(packages)?;
        store::publish(tree, |partial| {
            for package in packages {
                say(format!("unpacking {} {}", package.name, package.version));
                stream(
                    Command::new("dpkg-deb")
                        .arg("--extract")
                        .arg(store::downloads().join(&package.file))
                        .arg(partial),
                )?;
            }
            let manifest = serde_json::to_vec_pretty(packages)?;
            fs::write(partial.join("packages.json"), manifest).context("cannot write packages.json")
        })
    }

    /// Downloads what isn't there already; apt compares the checksums.
    fn download(&self, packages: &[Package]) -> Result<()> {
        let downloads = store::downloads();
        store::create(&downloads)?;
        let exact = packages
            .iter()
            .map(|package| format!("{}={}", package.name, package.version));
        stream(
            self.command("apt-get")
                .args(["download", "--quiet"])
                .args(exact)
                .current_dir(&downloads),
        )
    }

    fn candidate(&self, name: &str) -> bool {
        // A virtual package is known too, but has no candidate.
        capture(self.command("apt-cache").args(["policy", name])).is_ok_and(|policy| {
            policy
                .lines()
                .filter_map(|line| line.trim().strip_prefix("Candidate: "))
                .any(|version| version != "(none)")
        })
    }

    /// Fetches package lists of our own, once a run. The machine's lists stay as they are, which also spares the
    /// privilege that `apt-get update` would need.
    pub(crate) fn refresh(&self) -> Result<()> {
        if self.lists.get() == Lists::OfTheMachine {
            say("fetching package lists (apt-get update, into a directory of our own)");
            self.lists.set(if fetch_lists()? { Lists::Own } else { Lists::Offline });
        }
        ensure!(
            !self.is_offline(),
            "the package lists can't be fetched; is the network there?"
        );
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        match self.lists.get() {
            Lists::OfTheMachine | Lists::Offline => command(program),
            Lists::Own => own_command(program),
        }
    }
}

/// Runs `apt-get update`, and gives whether that fetched anything.
fn fetch_lists() -> Result<bool> {
    for directory in ["lists/partial", "cache/archives/partial"] {
        store::create(&lists_home().join(directory))?;
    }
    let hooks = lists_home().join("no-hooks.conf");
    fs::write(&hooks, NO_HOOKS).with_context(|| format!("cannot write {}", hooks.display()))?;
    // Its exit code tells nothing: an archive that can't be reached may make it fail though the others' lists are
    // fresh, or be a mere warning though none are.
    status(
        own_command("apt-get")
            .arg("--config-file")
            .arg(hooks)
            .args(["update", "--quiet"]),
    )?;
    let lists = lists_home().join("lists");
    let mut files = fs::read_dir(&lists).with_context(|| format!("cannot read {}", lists.display()))?;
    // Such as "archive_debian_dists_bookworm_main_binary-amd64_Packages.lz4".
    Ok(files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().contains("_Packages"))))
}

/// A command that reads and writes package lists of our own.
fn own_command(program: &str) -> Command {
    let mut command = command(program);
    for (option, directory) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
        let path = lists_home().join(directory);
        command.args(["-o", &format!("{option}={}", path.display())]);
    }
    command
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("LC_ALL", "C.UTF-8")
        // As root apt would otherwise drop to a user who can't write below root's home, and warn.
        .args(["-o", "APT::Sandbox::User=root"])
        .args(["-o", "Acquire::Retries=2"]);
    command
}

/// Where package lists of our own are kept until a setup ends well.
pub(crate) fn lists_home() -> PathBuf {
    tools::home().join("apt")
}
