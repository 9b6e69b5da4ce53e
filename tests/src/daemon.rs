//! `anycast-probe` on a node.

use crate::clock::Moment;
use crate::event::Event;
use crate::netns::Namespace;
use crate::network::LINK;
use crate::node::Node;
use crate::process::Process;
use crate::timeline::{Observation, What};
use crate::workdir::WorkDirectory;
use anyhow::{Context, Result};
use humantime::format_duration;
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where the daemon of a node serves its metrics, inside the node's namespace.
pub const METRICS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9853);
/// The longest floor that the daemon takes.
pub const LONGEST_FLOOR: Duration = Duration::from_secs(60);
/// A floor below it is none, which the daemon wants to be told is meant.
const NO_FLOOR: Duration = Duration::from_millis(1);

/// How the daemon is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonOptions {
    /// Whether it may touch the link.
    pub armed: bool,
    /// The shortest silence on which it acts.
    pub floor: Duration,
    /// How many answers it has to see before it arms.
    pub arming_answers: u32,
    /// For how long it has to see answers before it arms.
    pub arming_time: Duration,
    /// The first wait before it announces again.
    pub hold_down: Duration,
    /// How often it reports rates.
    pub report_interval: Duration,
    /// The BPF file system on which it pins what it attaches; `None` for none, so that nothing of it is left.
    pub pins: Option<PathBuf>,
    /// Configuration of services of the link besides DNS over UDP.
    pub more_services: &'static str,
}

impl Default for DaemonOptions {
    fn default() -> Self {
        Self::LAB
    }
}

impl DaemonOptions {
    /// What the lab uses: arming and hold-down are much shorter than the daemon's own defaults.
    pub const LAB: Self = Self {
        armed: true,
        floor: Duration::from_millis(30),
        arming_answers: 1000,
        arming_time: Duration::from_secs(1),
        hold_down: Duration::from_secs(3),
        report_interval: Duration::from_millis(500),
        pins: None,
        more_services: "",
    };

    /// Whether the floor is so low that the daemon wants to be told that none is meant.
    #[must_use]
    pub fn has_no_floor(&self) -> bool {
        self.floor < NO_FLOOR
    }

    fn configuration(&self) -> String {
        let Self {
            armed,
            floor,
            arming_answers,
            arming_time,
            hold_down,
            report_interval: _,
            pins,
            more_services,
        } = self;
        let pins = pins.as_deref().unwrap_or("off".as_ref()).display();
        format!(
            "armed = {armed}\n\
             floor = \"{floor}\"\n\
             accept_no_floor = {accept_no_floor}\n\
             pins = \"{pins}\"\n\
             [arming]\n\
             answers = {arming_answers}\n\
             time = \"{arming_time}\"\n\
             [return]\n\
             hold_down = \"{hold_down}\"\n\
             [metrics]\n\
             listen = \"{METRICS}\"\n\
             [[link]]\n\
             name = \"{LINK}\"\n\
             [[link.service]]\n\
             name = \"dns\"\n\
             protocol = \"dns-udp\"\n\
             port = 53\n\
             {more_services}",
            // Exact: not one of them is rounded to milliseconds.
            floor = format_duration(*floor),
            accept_no_floor = self.has_no_floor(),
            arming_time = format_duration(*arming_time),
            hold_down = format_duration(*hold_down),
        )
    }
}

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts the executable `program` on `node`; its events go to `timeline`.
    pub fn start(
        program: &Path,
        node: Node,
        options: &DaemonOptions,
        namespace: &Namespace,
        directory: &WorkDirectory,
        timeline: Sender<Observation>,
    ) -> Result<Self> {
        let name = format!("anycast-probe-{}", node.name());
        let configuration = directory.path().join(format!("{name}.toml"));
        fs::write(&configuration, options.configuration())?;
        let mut command = Command::new(program);
        command.args(["run", "--json", "--report-interval"]);
        command.arg(format_duration(options.report_interval).to_string());
        command.arg("--config").arg(&configuration);
        let log = directory.path().join(format!("{name}.log"));
        let mut process = Process::spawn_piped(&format!("anycast-probe on {node}"), command, namespace, &log)?;
        let output = process.take_stdout().context("the daemon has no standard output")?;
        let reader = thread::Builder::new().name(name).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if timeline.send(observation(node, &line)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            process,
            reader: Some(reader),
        })
    }

    /// Fails when it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        self.process.check_running()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it by `signal` and waits for that; all events that it wrote are on the timeline afterwards. `None` when it
    /// didn't end within `timeout` and was killed.
    pub fn stop(mut self, signal: Signal, timeout: Duration) -> Result<Option<ExitStatus>> {
        self.process.signal(signal)?;
        let status = self.process.wait(timeout)?;
        if status.is_none() {
            self.process.kill();
        }
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        Ok(status)
    }
}

fn observation(node: Node, line: &str) -> Observation {
    match serde_json::from_str::<Event>(line) {
        Ok(event) => Observation {
            at: event.at(),
            what: What::Daemon { node, event },
        },
        Err(error) => Observation {
            at: Moment::now(),
            what: What::Note(format!("{node} printed what is no event ({error}): {line}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anycast_user::config::{Config, MetricsListen, PinPlace};

    #[test]
    fn the_daemon_takes_the_configuration_as_it_was_meant() {
        for floor in [0, 500, 999, 1_000, 10_500, 30_000, 60_000_000].map(Duration::from_micros) {
            let options = DaemonOptions {
                floor,
                arming_time: Duration::from_micros(1_234_567),
                ..DaemonOptions::default()
            };
            let config = Config::parse(&options.configuration(), "lab.toml".as_ref()).unwrap();
            assert_eq!((config.is_armed(), config.floor.least), (true, floor));
            assert_eq!(config.arming.answers, u64::from(options.arming_answers));
            assert_eq!(config.arming.time, options.arming_time);
            assert_eq!(config.coming_back.hold_down, options.hold_down);
            assert_eq!(config.pins, PinPlace::Off);
            assert_eq!(config.metrics, MetricsListen::Address(METRICS.into()));
        }
    }

    #[test]
    fn the_limits_are_the_daemons_own() {
        assert_eq!((LONGEST_FLOOR, NO_FLOOR), (Config::MAX_FLOOR, Config::NO_FLOOR));
    }
}
