//! A virtual machine from its start to its end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anycast_tests::process::die_with_parent;
use anycast_tests::tools;
use anycast_tests::vm::{Message, PROGRAMS, Report};
use anyhow::{Context, Result};
use serde::Serialize;

use super::kernel::Kernel;
use crate::plan::EMULATOR;
use crate::test_output::Counts;
use crate::workspace::say;

/// The machine's first process.
pub(super) const GUEST: &str = "anycast-vm-guest";
/// How long a machine may run; an emulated one on a quiet host needs a tenth of it.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long it may take to power off after its report.
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of the console is kept as a failure needs.
const CONSOLE_BYTES: usize = 64 * 1024;

/// What runs the machine's instructions.
#[derive(Clone, Copy, Serialize)]
pub(super) enum Accelerator {
    /// The processor.
    #[serde(rename = "kvm")]
    Kvm,
    /// Software: QEMU's "tiny code generator".
    #[serde(rename = "tcg")]
    Emulation,
}

impl Accelerator {
    /// QEMU's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "tcg",
        }
    }

    /// How long the guest may be silent at first.
    fn boot_timeout(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(20),
            Self::Emulation => DEADLINE,
        }
    }
}

/// A machine that has ended.
pub(super) struct Ended {
    /// What it found; `None` when it ended or was ended without saying.
    pub(super) report: Option<Report>,
    /// The results of the tests that ran in it.
    pub(super) tests: Counts,
    /// What they printed.
    pub(super) test_output: String,
    /// The end of the kernel's console and of what the emulator said.
    pub(super) console: String,
    /// How the emulator ended by itself; `None` when it was ended.
    pub(super) status: Option<ExitStatus>,
    /// Whether it said anything at all.
    pub(super) spoke: bool,
    /// What ran it.
    pub(super) accelerator: Accelerator,
    /// From start to end.
    pub(super) duration: Duration,
}

/// Boots `kernel` with `image` and waits for the machine's end, or ends it at its deadline.
///
/// KVM is used if it works, which is seen only by trying: there may be a device that fails, or that starts a machine
/// which then does nothing, as where this machine is a virtual one itself.
pub(super) fn boot(kernel: &Kernel, image: &File, emulate: bool) -> Result<Ended> {
    if !emulate && File::options().read(true).write(true).open("/dev/kvm").is_ok() {
        let machine = watch(Running::start(kernel, image, Accelerator::Kvm)?);
        if machine.spoke {
            return Ok(machine);
        }
        say("  KVM doesn't work here: emulating the processor");
    }
    Ok(watch(Running::start(kernel, image, Accelerator::Emulation)?))
}

fn watch(running: Running) -> Ended {
    let start = Instant::now();
    let mut tests = Counts::default();
    let mut test_output = String::new();
    let mut report = None;
    let mut spoke = false;
    let mut end = start + running.accelerator.boot_timeout();
    loop {
        let message = running
            .messages
            .recv_timeout(end.saturating_duration_since(Instant::now()));
        if message.is_ok() && !spoke {
            spoke = true;
            end = start + DEADLINE;
        }
        match message {
            Ok(Message::Progress(words)) => say(format!("  {:5.1} s  {words}", start.elapsed().as_secs_f64())),
            Ok(Message::TestOutput(line)) => {
                tests.read(&line);
                test_output.push_str(&line);
                test_output.push('\n');
            }
            Ok(Message::Report(found)) => {
                report = Some(found);
                end = Instant::now() + POWER_OFF_TIMEOUT;
            }
            Err(RecvTimeoutError::Timeout) => {
                say("  the machine is out of time: ending it");
                break;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let accelerator = running.accelerator;
    let (console, status) = running.end();
    Ended {
        report,
        tests,
        test_output,
        spoke,
        accelerator,
        console,
        status,
        duration: start.elapsed(),
    }
}

/// A running emulator. Dropping it kills it.
struct Running {
    emulator: Child,
    messages: Receiver<Message>,
    console: Option<JoinHandle<String>>,
    accelerator: Accelerator,
}

impl Running {
    fn start(kernel: &Kernel, image: &File, accelerator: Accelerator) -> Result<Self> {
        let emulator = tools::find(EMULATOR).with_context(|| format!("there is no {EMULATOR}"))?;
        let mut command = emulator.command();
        command.args(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"]);
        command.args(["-m", "1024", "-smp", "2", "-cpu", "max"]);
        command.args(["-accel", accelerator.name()]);
        command.arg("-kernel").arg(&kernel.image);
        // The files behind its standard streams: an image without a name, the console and the messages.
        command.args(["-initrd", "/proc/self/fd/0"]);
        command.args(["-serial", "file:/proc/self/fd/2", "-serial", "file:/proc/self/fd/1"]);
        command.arg("-append");
        command.arg(format!("console=ttyS0 loglevel=4 panic=-1 rdinit={PROGRAMS}/{GUEST}"));
        command
            .stdin(image.try_clone()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_parent(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot start {EMULATOR}"))?;
        let (sender, messages) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || read_messages(stdout, &sender));
        }
        let console = child.stderr.take().map(|stderr| thread::spawn(|| read_console(stderr)));
        Ok(Self {
            emulator: child,
            messages,
            console,
            accelerator,
        })
    }

    /// Ends it, if it still runs, and gives what was on the console, and how it ended by itself.
    fn end(mut self) -> (String, Option<ExitStatus>) {
        let status = self.emulator.try_wait().ok().flatten();
        self.kill();
        let console = self.console.take().and_then(|thread| thread.join().ok());
        (console.unwrap_or_default(), status)
    }

    fn kill(&mut self) {
        _ = self.emulator.kill();
        _ = self.emulator.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_messages(stdout: ChildStdout, messages: &Sender<Message>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let message = serde_json::from_str(line.trim_end())
            // The guest writes nothing else, but it may be cut off in the middle of a line.
            .unwrap_or_else(|_| Message::Progress(format!("(not understood) {line}")));
        if messages.send(message).is_err() {
            return;
        }
    }
}

fn read_console(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let surplus = kept.len().saturating_sub(CONSOLE_BYTES);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).replace('\r', "")
}
