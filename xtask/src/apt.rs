//! Debian packages without an install: apt works out what is needed and downloads it, dpkg unpacks it into a
//! directory. The machine's package database is read and never written, so no privilege is needed either.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::tools;
use anyhow::{Context, Result};
use serde::Serialize;

use crate::store;
use crate::workspace::{capture, say, status, stream};

/// The C library can't be replaced by another copy without its loader, so the machine's own always serves.
const NEVER_UNPACKED: [&str; 2] = ["libc6", "libc-bin"];

/// The machine's apt.
pub(crate) struct Apt {
    /// Whether the package lists below [`tools::home`] are used instead of the machine's own.
    own_lists: Cell<bool>,
}

/// A package to unpack.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The file name under which apt stores it.
    #[serde(skip)]
    file: String,
    /// Size of the download in bytes.
    pub(crate) download_bytes: u64,
    /// Size when unpacked in bytes, as the package says; 0 if it doesn't.
    pub(crate) unpacked_bytes: u64,
}

impl Apt {
    /// The machine's apt, if it has one.
    pub(crate) fn find() -> Option<Self> {
        let complete = ["apt-get", "apt-cache", "dpkg-deb"]
            .iter()
            .all(|program| tools::find_on_machine(program).is_some());
        complete.then(|| Self {
            own_lists: Cell::new(false),
        })
    }

    /// Whether there is a package `name`. Lists that don't know it may be missing or stale, so fresh ones are asked
    /// before the answer is no.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.candidate(name) || (self.refresh().is_ok() && self.candidate(name))
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
        if self.own_lists.replace(true) {
            return Ok(());
        }
        say("fetching package lists (apt-get update, into a directory of our own)");
        for directory in ["lists/partial", "cache/archives/partial"] {
            store::create(&lists_home().join(directory))?;
        }
        // One unreachable third-party archive makes it fail, though the others' lists are fresh: what counts is
        // whether the packages are known afterwards.
        status(self.command("apt-get").args(["update", "--quiet"]))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("LC_ALL", "C.UTF-8")
            // As root apt would otherwise drop to a user who can't write below root's home, and warn.
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", "Acquire::Retries=2"]);
        if self.own_lists.get() {
            for (option, directory) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
                let path = lists_home().join(directory);
                command.args(["-o", &format!("{option}={}", path.display())]);
            }
        }
        command
    }
}

/// Where package lists of our own are kept until a setup ends well.
pub(crate) fn lists_home() -> PathBuf {
    tools::home().join("apt")
}

/// Parses `'URI' FILE SIZE HASH`, where FILE is `name_version_architecture.deb` with the epoch's colon as `%3a`.
fn parse_uri_line(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    words.next().filter(|uri| uri.starts_with('\''))?;
    let file = words.next()?;
    let download_bytes = words.next()?.parse().ok()?;
    let mut parts = file.split('_');
    Some(Package {
        name: parts.next()?.to_owned(),
        version: parts.next()?.replace("%3a", ":"),
        file: file.to_owned(),
        download_bytes,
        unpacked_bytes: 0,
    })
}

/// Reads the sizes of unpacked packages, by name, from the records that `apt-cache show` prints.
fn parse_unpacked_sizes(records: &str) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    let mut name = "";
    for line in records.lines() {
        if let Some(value) = line.strip_prefix("Package: ") {
            name = value;
        } else if let Some(value) = line.strip_prefix("Installed-Size: ")
            && let Ok(kibibytes) = value.trim().parse::<u64>()
        {
            sizes.insert(name.to_owned(), kibibytes * 1024);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_print_uris_names_a_package_and_its_size() {
        let package = parse_uri_line(
            "'http://archive/pool/l/llvm-22-dev_22.1.8-1_amd64.deb' llvm-22-dev_1%3a22.1.8-1_amd64.deb 52412280 SHA256:00",
        )
        .unwrap();
        assert_eq!(package.name, "llvm-22-dev");
        assert_eq!(package.version, "1:22.1.8-1");
        assert_eq!(package.download_bytes, 52_412_280);
    }

    #[test]
    fn sizes_belong_to_the_package_named_before() {
        let sizes =
            parse_unpacked_sizes("Package: a\nVersion: 1\nInstalled-Size: 2\n\nPackage: b\nInstalled-Size: x\n");
        assert_eq!(sizes, BTreeMap::from([("a".to_owned(), 2048)]));
    }

    #[test]
    fn other_lines_are_skipped() {
        assert!(parse_uri_line("").is_none());
        assert!(parse_uri_line("Get:1 http://archive bookworm").is_none());
        assert!(parse_uri_line("'http://archive/x.deb' x_1_amd64.deb large").is_none());
    }
}
