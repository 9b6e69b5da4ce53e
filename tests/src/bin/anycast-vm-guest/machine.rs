//! What an init process has to do.

use anycast_tests::vm::{MODULES, PROGRAMS};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::{WaitStatus, wait};
use std::convert::Infallible;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// File systems by kind and place.
const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tmpfs", "/tmp"),
];
/// `MODULE_INIT_COMPRESSED_FILE` of `linux/module.h`: newer Debian kernels have their modules compressed, and
/// decompress them on their own.
const COMPRESSED: i32 = 4;

/// Only kernels with `PREEMPT_RT` have this file.
const REALTIME: &str = "/sys/kernel/realtime";

/// Makes the machine usable, runs the program that `make` gives, and powers the machine off when it has ended.
///
/// The work is done by a child: processes that lost their parent come to the first process, and somebody has to bury
/// them while it is at work.
pub(crate) fn boot_and_run(make: impl FnOnce() -> Command) -> Result<()> {
    let done = prepare().and_then(|()| run(&mut make()));
    if let Err(error) = done {
        eprintln!("anycast-vm-guest: error: {error:#}");
    }
    match power_off()? {}
}

/// Whether the kernel says that it is one with `PREEMPT_RT`.
pub(crate) fn is_preempt_rt() -> bool {
    fs::read_to_string(REALTIME).is_ok_and(|flag| flag.trim() == "1")
}

fn prepare() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place)?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("can't mount {kind} on {place}"))?;
    }
    for entry in fs::read_dir(MODULES)? {
        let path = entry?.path();
        load_module(&path).with_context(|| format!("can't load {}", path.display()))?;
    }
    Ok(())
}

fn load_module(path: &Path) -> Result<()> {
    let plain = path.extension().is_some_and(|extension| extension == "ko");
    let flags = if plain { 0 } else { COMPRESSED };
    match finit_module(File::open(path)?, c"", ModuleInitFlags::from_bits_retain(flags as _)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let child = command
        .env_clear()
        .env("PATH", PROGRAMS)
        .env("HOME", "/tmp")
        .stdin(Stdio::null())
        .spawn()
        .context("can't start the checks")?;
    let checks = child.id().cast_signed();
    loop {
        match wait()? {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) if pid.as_raw() == checks => return Ok(()),
            _ => {}
        }
    }
}

fn power_off() -> Result<Infallible> {
    reboot(RebootMode::RB_POWER_OFF).context("can't power off")
}
