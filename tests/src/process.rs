//! Children of the lab, none of which outlives it.

use crate::netns::Namespace;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a child may take to end after SIGKILL, or a wrapper after its child.
const REAP_TIMEOUT: Duration = Duration::from_secs(5);
/// How many lines of a log an error quotes.
const LOG_TAIL_LINES: usize = 15;

/// A child inside a namespace. Dropping it kills it with its descendants and waits for it. The kernel kills it when the
/// thread that made it ends, whatever the reason.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` inside `namespace`, its standard error (and output, unless the caller has piped it) going to
    /// the file `log`.
    pub fn spawn(name: &str, command: Command, namespace: &Namespace, log: &Path) -> Result<Self> {
        Self::start(name, command, namespace, log, false)
    }

    /// As [`Self::spawn`], with the standard output for the caller to read by [`Self::take_stdout`].
    pub fn spawn_piped(name: &str, command: Command, namespace: &Namespace, log: &Path) -> Result<Self> {
        Self::start(name, command, namespace, log, true)
    }

    /// As [`Self::spawn`], in a process id namespace, so that a program that forks takes its children along when it
    /// is killed, even stopped ones.
    pub fn spawn_contained(name: &str, command: &Command, namespace: &Namespace, log: &Path) -> Result<Self> {
        let mut wrapper = Command::new("unshare");
        wrapper
            .args(["--pid", "--fork", "--kill-child", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => wrapper.env(variable, value),
                None => wrapper.env_remove(variable),
            };
        }
        Self::start(name, wrapper, namespace, log, false)
    }

    fn start(name: &str, mut command: Command, namespace: &Namespace, log: &Path, piped: bool) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let stdout = if piped {
            Stdio::piped()
        } else {
            file.try_clone()?.into()
        };
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            // A group of its own: Ctrl-C on the terminal is for the lab, which ends its children in order.
            .process_group(0);
        confine(&mut command, namespace)?;
        let child = command
            .spawn()
            .with_context(|| format!("can't start {name}: {}", command.get_program().display()))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    /// The pipe from the child's standard output; `None` the second time or when it wasn't asked for.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Its descendants, nearest first; empty when it has none or is gone.
    #[must_use]
    pub fn descendants(&self) -> Vec<Pid> {
        descendants(self.pid())
    }

    /// Sends `signal` to the child.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("can't signal {}", self.name))
    }

    /// Fails, with the end of its log, when the child has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!(
                "{} ended unexpectedly ({status}):\n{}",
                self.name,
                self.log_tail()
            )),
        }
    }

    /// Waits for the child to end by itself; `None` when it hasn't within `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The last lines of what it wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines.get(skipped..).unwrap_or_default().join("\n")
    }

    /// Kills the child with its descendants and waits until they are gone.
    pub fn kill(&mut self) {
        let descendants = self.descendants();
        for &pid in &descendants {
            _ = kill(pid, Signal::SIGKILL);
        }
        // A wrapper ends when its child has; giving it the chance means that nothing is left to be reaped by init.
        if descendants.is_empty() || !matches!(self.wait(REAP_TIMEOUT), Ok(Some(_))) {
            _ = self.child.kill();
            _ = self.child.wait();
        }
        let deadline = Instant::now() + REAP_TIMEOUT;
        while descendants.iter().any(|&pid| kill(pid, None) != Err(Errno::ESRCH)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// The lines of a pipe as they come, read by a thread of its own so that whoever waits for one can give up. It closes
/// the pipe at the first line that nobody wants any more.
#[must_use]
pub fn lines(pipe: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Makes the child start inside `namespace` and die with the thread that makes it.
fn confine(command: &mut Command, namespace: &Namespace) -> Result<()> {
    let handle = namespace.as_fd().try_clone_to_owned()?;
    let prepare = move || Ok(setns(&handle, CloneFlags::CLONE_NEWNET)?);
    // SAFETY: between fork and exec only an async-signal-safe call is made: setns, a plain system call that takes no
    // lock and allocates nothing. `handle` is owned by the closure, so it is open when it runs.
    unsafe { command.pre_exec(prepare) };
    die_with_parent(command);
    Ok(())
}

/// Makes the child that `command` starts die, by SIGKILL, with the thread that starts it, whatever ends that.
pub fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above; then no signal will come.
        if getppid() == parent {
            Ok(())
        } else {
            Err(Errno::ESRCH.into())
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl and getppid, plain system calls that
    // take no lock and allocate nothing.
    unsafe { command.pre_exec(prepare) };
}

/// The descendants of a process, nearest first; empty when it has none or is gone.
#[must_use]
pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children_of(pid);
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children_of(pid));
        next += 1;
    }
    found
}

fn children_of(pid: Pid) -> Vec<Pid> {
    // Each thread has the list of the children it made.
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
                .collect::<Vec<_>>()
        })
        .collect()
}
