//! Network namespaces without names.
//!
//! A namespace is made by a thread that unshares and ends; what holds it is a file descriptor. It has no entry below
//! `/run/netns` that could collide with another lab or stay behind: the kernel frees it when the lab's process and its
//! children are gone, however they went.

use crate::tools::{self, Tool};
use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

/// A network namespace, alive as long as this value or a process in it.
#[derive(Debug)]
pub struct Namespace {
    handle: OwnedFd,
}

impl Namespace {
    /// Makes an empty namespace with the loopback device up, and without duplicate address detection: an IPv6 address
    /// is usable the moment it is added.
    pub fn new() -> Result<Self> {
        let handle = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .context("can't make a network namespace: the lab needs root (CAP_SYS_ADMIN)")?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        })?;
        let namespace = Self { handle };
        for scope in ["all", "default"] {
            namespace.set_sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0")?;
        }
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Runs `work` on a thread inside the namespace and waits for it. A socket opened there stays in the namespace
    /// wherever it is used afterwards.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            self.enter().context("can't enter the namespace")?;
            work()
        })
    }

    /// Runs `ip -batch` with these lines inside the namespace.
    pub fn ip(&self, lines: &str) -> Result<()> {
        // Spawned by a thread inside: a child starts in the namespace of the thread that made it.
        let output = self.run(|| {
            let mut child = ip_command()?
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("can't run ip")?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(lines.as_bytes())?;
            }
            Ok(child.wait_with_output()?)
        })?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("ip -batch failed: {}\nthe lines were:\n{lines}", complaint.trim());
        }
        Ok(())
    }

    /// What `ip` with these arguments prints inside the namespace.
    pub fn ip_output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(ip_command()?.args(arguments))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("ip {}: {}", arguments.join(" "), complaint.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `command` inside the namespace, without input, until it ends.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        let program = command.get_program().to_owned();
        self.run(|| {
            command
                .stdin(Stdio::null())
                .process_group(0)
                .output()
                .with_context(|| format!("can't run {}", program.display()))
        })
    }

    /// What tells the namespace from every other: the number that the kernel shows in `/proc/<pid>/ns/net`.
    pub fn inode(&self) -> Result<u64> {
        Ok(fs::metadata(self.path())?.ino())
    }

    /// Writes `value` to `/proc/sys/<name>` as seen inside the namespace.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| {
            fs::write(format!("/proc/sys/{name}"), value).with_context(|| format!("can't set sysctl {name} to {value}"))
        })
    }

    /// Another handle of the same namespace.
    pub fn try_clone(&self) -> Result<Self> {
        let handle = self.handle.try_clone()?;
        Ok(Self { handle })
    }

    /// A path that names the namespace to a child of this process, such as `ip link set … netns PATH`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Moves the calling thread into the namespace.
    pub(crate) fn enter(&self) -> nix::Result<()> {
        setns(&self.handle, CloneFlags::CLONE_NEWNET)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

fn ip_command() -> Result<Command> {
    // Found once: it runs hundreds of times in a lab.
    static IP: OnceLock<Tool> = OnceLock::new();
    let ip = if let Some(ip) = IP.get() {
        ip
    } else {
        let found = tools::find("ip").context("there is no program ip that runs (package iproute2)")?;
        IP.get_or_init(|| found)
    };
    let mut command = ip.command();
    // A group of its own: Ctrl-C on the terminal is for the lab, which would take a killed `ip` for a failed one.
    command.process_group(0);
    Ok(command)
}

/// Runs `work` on a thread of its own, so that the namespace it enters is left with it.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(anyhow!("a thread inside a namespace panicked")))
}
