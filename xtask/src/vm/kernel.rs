//! Kernels of the distribution, unpacked and not installed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anycast_tests::tools;
use anyhow::{Context, Error, Result, ensure};
use serde::{Serialize, Serializer};

use crate::setup;

/// The modules that the lab and the daemon need, below the kernel's directory of modules.
const MODULES: [&str; 4] = [
    "drivers/net/dummy",
    "drivers/net/veth",
    "net/sched/sch_ingress",
    "net/sched/cls_bpf",
];
/// How a module's file may end; newer kernels have them compressed.
const MODULE_SUFFIXES: [&str; 4] = ["ko", "ko.xz", "ko.zst", "ko.gz"];

/// How the name of a kernel with `PREEMPT_RT` ends.
const REALTIME: &str = "-rt";

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// What it is called here, whatever its release.
    pub(super) name: Name,
    /// What its `uname -r` will say.
    pub(super) release: String,
    /// The file to boot.
    pub(super) image: PathBuf,
    /// The modules that the guest loads.
    pub(super) modules: Vec<PathBuf>,
}

/// Which kernel, such as `6.1` or `6.1-rt`: its series, and `-rt` for the one with `PREEMPT_RT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    text: String,
    is_realtime: bool,
}

/// The kernel `name` and the emulator; fetched if they aren't there.
pub(super) fn fetch(name: &Name) -> Result<Kernel> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernel matrix is of x86-64 kernels, and this machine is another"
    );
    // Without the dot, which in the store is for what is unfinished.
    let tree = tools::home().join("kernels").join(name.text.replace('.', "-"));
    setup::virtual_machine(name.series(), name.flavour(), &tree)?;
    Kernel::find(name, &tree).with_context(|| {
        format!(
            "the kernel in {} is not whole; remove that directory to fetch it again",
            tree.display()
        )
    })
}

impl Name {
    fn series(&self) -> &str {
        self.text.strip_suffix(REALTIME).unwrap_or(&self.text)
    }

    /// Whether it has `PREEMPT_RT`.
    pub(super) fn is_realtime(&self) -> bool {
        self.is_realtime
    }

    /// The distribution's word for how it is configured.
    fn flavour(&self) -> &'static str {
        if self.is_realtime { "rt" } else { "cloud" }
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let series = text.strip_suffix(REALTIME).unwrap_or(text);
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_series = series
            .split_once('.')
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor));
        ensure!(
            is_series,
            "{text:?} is no series of kernels; write two numbers, such as 6.1, or 6.1{REALTIME} for PREEMPT_RT"
        );
        Ok(Self {
            text: text.to_owned(),
            is_realtime: series != text,
        })
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Kernel {
    fn find(name: &Name, tree: &Path) -> Result<Self> {
        let all = ["lib/modules", "usr/lib/modules"]
            .map(|path| tree.join(path))
            .into_iter()
            .find(|path| path.is_dir())
            .context("it has no modules")?;
        let own = fs::read_dir(&all)?.next().context("it has no modules")??;
        let release = own.file_name().to_string_lossy().into_owned();
        let image = tree.join("boot").join(format!("vmlinuz-{release}"));
        ensure!(image.is_file(), "there is no {}", image.display());
        let modules = MODULES
            .iter()
            .map(|name| {
                let path = own.path().join("kernel").join(name);
                MODULE_SUFFIXES
                    .map(|suffix| path.with_extension(suffix))
                    .into_iter()
                    .find(|path| path.is_file())
                    .with_context(|| format!("it has no module {name}"))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            name: name.clone(),
            release,
            image,
            modules,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_two_numbers_and_perhaps_realtime() {
        for text in ["6", "6.1.3", "../6.1", "6.1-cloud", "-rt"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
        for (text, series, flavour) in [("6.12", "6.12", "cloud"), ("6.1-rt", "6.1", "rt")] {
            let name: Name = text.parse().unwrap();
            assert_eq!((name.series(), name.flavour()), (series, flavour));
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn a_kernel_is_found_with_its_modules_compressed_or_not() {
        let name: Name = "6.1".parse().unwrap();
        let tree = tempfile::tempdir().unwrap();
        let modules = tree.path().join("lib/modules/6.1.0-x/kernel");
        for directory in ["drivers/net", "net/sched"] {
            fs::create_dir_all(modules.join(directory)).unwrap();
        }
        for (name, suffix) in MODULES.iter().zip(["ko", "ko.xz", "ko", "ko.zst"]) {
            fs::write(modules.join(name).with_extension(suffix), "").unwrap();
        }
        assert!(Kernel::find(&name, tree.path()).is_err(), "nothing to boot");
        fs::create_dir(tree.path().join("boot")).unwrap();
        fs::write(tree.path().join("boot/vmlinuz-6.1.0-x"), "").unwrap();
        let kernel = Kernel::find(&name, tree.path()).unwrap();
        assert_eq!(kernel.release, "6.1.0-x");
        assert_eq!(kernel.modules.len(), MODULES.len());
        fs::remove_file(modules.join("drivers/net/dummy.ko")).unwrap();
        assert!(Kernel::find(&name, tree.path()).is_err(), "no dummy");
    }
}
