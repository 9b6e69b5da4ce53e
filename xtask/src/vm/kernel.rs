//! Kernels of the distribution, unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};

use anycast_tests::tools;
use anyhow::{Context, Result, ensure};

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

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// What its `uname -r` will say.
    pub(super) release: String,
    /// The file to boot.
    pub(super) image: PathBuf,
    /// The modules that the guest loads.
    pub(super) modules: Vec<PathBuf>,
}

/// The kernel of `series`, such as `6.1`, and the emulator; fetched if they aren't there.
pub(super) fn fetch(series: &str) -> Result<Kernel> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernel matrix is of x86-64 kernels, and this machine is another"
    );
    ensure!(
        is_series(series),
        "{series:?} is no series of kernels; write two numbers, such as 6.1"
    );
    // Without the dot, which in the store is for what is unfinished.
    let tree = tools::home().join("kernels").join(series.replace('.', "-"));
    setup::virtual_machine(series, &tree)?;
    Kernel::find(&tree).with_context(|| {
        format!(
            "the kernel in {} is not whole; remove that directory to fetch it again",
            tree.display()
        )
    })
}

impl Kernel {
    fn find(tree: &Path) -> Result<Self> {
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
            release,
            image,
            modules,
        })
    }
}

fn is_series(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_two_numbers() {
        for (text, expected) in [
            ("6.1", true),
            ("6.12", true),
            ("6", false),
            ("6.1.3", false),
            ("../6.1", false),
        ] {
            assert_eq!(is_series(text), expected, "{text}");
        }
    }

    #[test]
    fn a_kernel_is_found_with_its_modules_compressed_or_not() {
        let tree = tempfile::tempdir().unwrap();
        let modules = tree.path().join("lib/modules/6.1.0-x/kernel");
        for directory in ["drivers/net", "net/sched"] {
            fs::create_dir_all(modules.join(directory)).unwrap();
        }
        for (name, suffix) in MODULES.iter().zip(["ko", "ko.xz", "ko", "ko.zst"]) {
            fs::write(modules.join(name).with_extension(suffix), "").unwrap();
        }
        assert!(Kernel::find(tree.path()).is_err(), "nothing to boot");
        fs::create_dir(tree.path().join("boot")).unwrap();
        fs::write(tree.path().join("boot/vmlinuz-6.1.0-x"), "").unwrap();
        let kernel = Kernel::find(tree.path()).unwrap();
        assert_eq!(kernel.release, "6.1.0-x");
        assert_eq!(kernel.modules.len(), MODULES.len());
        fs::remove_file(modules.join("drivers/net/dummy.ko")).unwrap();
        assert!(Kernel::find(tree.path()).is_err(), "no dummy");
    }
}
