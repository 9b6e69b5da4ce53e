//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    clock::MonotonicTime,
    config::{MetricsListen, PinPlace, parse_duration, parse_floor},
    policy::FloorSettings,
};

/// Withdraws an anycast route within milliseconds of its service's death, by watching the traffic itself.
///
/// Exit codes: 0 it ended as told, 1 an error, 2 wrong usage, 78 a bad configuration.
#[derive(Debug, Parser)]
#[command(name = "anycast-probe", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the services of a link; without --arm (or `armed = true`) only say what would be done
    Run(RunArgs),
    /// What would have been done: by a daemon on recorded samples; on a capture, print what the kernel programs count
    Replay(ReplayArgs),
    /// Why a daemon would have acted, or not, at a moment of recorded samples
    Explain(ExplainArgs),
    /// Record what a running daemon reads: samples of its services' counters, as lines of JSON
    Record(RecordArgs),
    /// Show which pinned programs are attached where, and who uses them
    AttachStatus(AttachStatusArgs),
    /// Take programs off the uplinks, and what they counted off the BPF file system
    Cleanup(CleanupArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The dummy link that holds the service addresses; the rest is found by looking
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub link: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Put the link down when its service is dead, and up again when it has recovered
    #[arg(long)]
    pub arm: bool,
    /// Least age of a suspicion before it may withdraw: site (30ms and what the server's pauses teach), global (3s), fast
    /// (none: promises nothing about short pauses) or a time
    #[arg(long, value_name = "FLOOR", value_parser = parse_floor)]
    pub floor: Option<FloorSettings>,
    /// How often to tell what the services do
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = report_interval)]
    pub report_interval: Duration,
    /// Where to serve metrics: ADDRESS:PORT, or off
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<MetricsListen>,
    /// Where to pin programs and counters, so that they outlive the daemon: a BPF file system, or off
    #[arg(long, value_name = "PATH")]
    pub pins: Option<PinPlace>,
    /// Events as JSON lines on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Recorded samples (JSON lines), or a capture (pcap or pcapng), whatever its name
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Configuration file (TOML); samples need none, and one without any [[link]] will do
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// Of samples, events as JSON lines and a summary as the last; of a capture, one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Recorded samples (JSON lines)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The moment, in the time of the recording
    #[arg(long, value_name = "T_MS", value_parser = moment)]
    pub at: MonotonicTime,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Configuration file (TOML) [default: every default, armed]
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Where to write the samples; an existing file is left alone
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write over an existing file
    #[arg(long)]
    pub force: bool,
    /// Time between two samples
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = sample_interval)]
    pub interval: Duration,
    /// How long to record [default: until it is interrupted]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Time between two bursts of local probes (every 10 ms while queries come and no answer leaves), or off
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = probe_interval)]
    pub probes: ProbeInterval,
    /// The link that the daemon watches
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub link: Option<String>,
    /// The configuration file that the daemon runs with
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The BPF file system that the daemon pins on [default: that of the configuration, or /sys/fs/bpf]
    #[arg(long, value_name = "PATH")]
    pub pins: Option<PinPlace>,
}

/// How often to probe, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeInterval {
    /// Never.
    Off,
    /// So often.
    Every(Duration),
}

/// Arguments of `attach-status`.
#[derive(Debug, Args)]
pub struct AttachStatusArgs {
    /// Look where this configuration file says that programs are pinned
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The BPF file system to look at [default: that of the configuration, or /sys/fs/bpf]
    #[arg(long, value_name = "PATH")]
    pub pins: Option<PinPlace>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// What the daemon with this (first) link has attached and pinned, in this network namespace
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present_any = ["config", "all"],
        conflicts_with_all = ["config", "all"]
    )]
    pub link: Option<String>,
    /// What the daemon with this configuration file has
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub config: Option<PathBuf>,
    /// What any daemon has that does not run
    #[arg(long)]
    pub all: bool,
    /// The BPF file system to clean [default: that of the configuration, or /sys/fs/bpf]
    #[arg(long, value_name = "PATH")]
    pub pins: Option<PinPlace>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// More often is no use to a reader, and none at all would be a loop.
const REPORT_INTERVAL_MIN: Duration = Duration::from_millis(100);

fn report_interval(text: &str) -> Result<Duration, String> {
    at_least(REPORT_INTERVAL_MIN, text)
}

/// More often is no tick of a daemon.
const SAMPLE_INTERVAL_MIN: Duration = Duration::from_micros(100);
/// A burst takes a few milliseconds.
const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(10);

fn sample_interval(text: &str) -> Result<Duration, String> {
    at_least(SAMPLE_INTERVAL_MIN, text)
}

fn probe_interval(text: &str) -> Result<ProbeInterval, String> {
    match text {
        "off" => Ok(ProbeInterval::Off),
        text => at_least(PROBE_INTERVAL_MIN, text).map(ProbeInterval::Every),
    }
}

fn at_least(least: Duration, text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if interval < least {
        return Err(format!("at least {least:?}"));
    }
    Ok(interval)
}

/// A time as a recording has it: milliseconds from 0 on.
fn moment(text: &str) -> Result<MonotonicTime, String> {
    let milliseconds: f64 = text.parse().map_err(|_| "not a number of milliseconds".to_owned())?;
    MonotonicTime::from_millis_f64(milliseconds)
        .ok_or_else(|| "not a time of a recording: milliseconds from 0 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(text: &str) -> Option<Duration> {
        let words = ["anycast-probe", "run", "--link", "anycast0", "--report-interval", text];
        match Cli::try_parse_from(words).ok()?.command {
            Command::Run(args) => Some(args.report_interval),
            _ => None,
        }
    }

    #[test]
    fn a_report_interval_is_a_tenth_of_a_second_or_more() {
        assert_eq!(interval("100ms"), Some(Duration::from_millis(100)));
        for text in ["0s", "1ns", "99ms", "1"] {
            assert_eq!(interval(text), None, "{text}");
        }
    }

    #[test]
    fn cleanup_wants_to_know_of_what() {
        let understood = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        for words in ["--link a", "--config f", "--all", "--all --pins /run/bpf --json"] {
            assert!(understood(&format!("anycast-probe cleanup {words}")), "{words}");
        }
        for words in [
            "cleanup",
            "cleanup --link a --all",
            "cleanup --all --pins bpf",
            "attach-status --pins bpf",
        ] {
            assert!(!understood(&format!("anycast-probe {words}")), "{words}");
        }
        for words in ["", " --config f", " --config f --pins /run/bpf --json"] {
            assert!(understood(&format!("anycast-probe attach-status{words}")), "{words}");
        }
    }
}
