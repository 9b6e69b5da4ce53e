//! What the operator wrote: the configuration file and its defaults.
//!
//! [`Config::parse`] is pure. What it returns has been checked as a whole, so the rest of the daemon
//! need not ask again; what it refuses, it refuses with a file, a line, a column and a remedy.
//! `docs/configuration.md` is the operator's view of the same keys.

mod check;
mod duration;
mod encapsulation;
mod error;
mod file;
mod floor;
mod metrics;
mod pins;
mod protocol;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anycast_ebpf::{classify::Classifier, packet::Tunnels};
use serde::Deserialize;

use crate::event::AlertSet;
use crate::policy::{FloorSettings, WithdrawWhen};

pub use duration::{DurationError, parse_duration};
pub use error::ConfigError;
use floor::SITE;
pub use floor::parse_floor;
pub use metrics::{MetricsListen, MetricsListenError};
pub use pins::{PinPlace, PinPlaceError};
pub use protocol::has_probe;

/// A checked configuration: everything the daemon needs to know before it looks at the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether links may be touched. Default: `None`; a daemon observes then and says what it would have done, a replay
    /// decides as if armed.
    pub armed: Option<bool>,
    /// How long a suspicion must last before a withdrawal, whatever the evidence. Default: `site`, see [`parse_floor`].
    ///
    /// At most [`Config::MAX_FLOOR`]. Under [`Config::NO_FLOOR`] only with `accept_no_floor = true`.
    pub floor: FloorSettings,
    /// Alerts that count as a service's death when they last. Default: none.
    pub withdraw_also_on: AlertSet,
    /// Where queries are counted. Default: [`Hook::Auto`].
    pub hook: Hook,
    /// Interfaces that queries arrive on and answers leave by; never empty.
    ///
    /// Default: `None`, those of the routing table.
    pub uplinks: Option<Vec<String>>,
    /// What queries may be wrapped in when they arrive. Default: nothing.
    pub encapsulation: Tunnels,
    /// Where programs and counters are pinned, to outlive the daemon. Default: `/sys/fs/bpf`.
    pub pins: PinPlace,
    /// When a service is known well enough for its silence to mean something.
    pub arming: Arming,
    /// How a withdrawn link comes back: the `[return]` table.
    pub coming_back: Return,
    /// How sure the detector must be.
    pub detection: Detection,
    /// Where metrics are served. Default: 127.0.0.1, port 9853.
    pub metrics: MetricsListen,
    /// The links that are watched; never empty, no name twice.
    pub links: Vec<LinkConfig>,
}

/// Where on an uplink queries are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Native XDP where attaching it is known not to bounce the link, otherwise tc.
    #[default]
    Auto,
    /// Native XDP: the driver must support it.
    Xdp,
    /// Generic XDP: any driver, at the price of a socket buffer for every packet.
    XdpGeneric,
    /// The tc ingress hook: any driver.
    Tc,
}

/// What must have been seen of a service before its silence can withdraw anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arming {
    /// Answers seen, at least 1. Default: 1000.
    pub answers: u64,
    /// Time watched. Default: 60 s.
    pub time: Duration,
}

/// How a withdrawn link comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// The first wait before a healthy service is announced again, above zero. Default: 10 s.
    ///
    /// It grows fourfold with every withdrawal up to [`Return::MAX_HOLD_DOWN`] and decays with a
    /// half-life of 15 minutes.
    pub hold_down: Duration,
}

/// How sure the detector must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Mean time between false alarms of one node, in years. Default: 10.
    ///
    /// Between 0.01 and 10⁹: every further factor of ten costs 2.3 nats of evidence.
    pub node_years_between_false_alarms: f64,
}

/// A link whose state is the switch of an announcement.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// Name of the interface, as in `ip link`: at most 15 bytes.
    pub name: String,
    /// With how many dead services it is withdrawn. Default: any.
    pub withdraw_when: WithdrawWhen,
    /// Services on the link, no name and no (address, IP protocol, port) twice.
    ///
    /// Empty: find the DNS service on the link.
    pub services: Vec<ServiceConfig>,
}

/// One service on the addresses of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Name for people and for the `service` label of metrics.
    pub name: String,
    /// What its packets look like.
    pub protocol: Classifier,
    /// Port that clients send to, never 0.
    pub port: u16,
    /// Service addresses, unicast, never empty. Default: `None`, all addresses on the link.
    pub addresses: Option<Vec<IpAddr>>,
    /// What it weighs where a share of the link's services decides, at least 1. Default: 1.
    pub weight: u32,
}

impl Config {
    /// The longest floor: beyond it a probe that polls would be as quick.
    pub const MAX_FLOOR: Duration = Duration::from_secs(60);
    /// A floor below the fastest sampling tick is no floor, and has to be accepted as such.
    pub const NO_FLOOR: Duration = Duration::from_millis(1);
    /// The largest file that [`Config::load`] reads, in bytes.
    pub const MAX_FILE_BYTES: u64 = 1 << 20;

    /// What `run --link NAME` uses: every default, and the DNS service that is found on that link.
    #[must_use]
    pub fn for_link(name: impl Into<String>) -> Self {
        Self {
            links: vec![LinkConfig::named(name)],
            ..Self::without_links()
        }
    }

    /// Every default, and no link: for a recording, which brings its services.
    #[must_use]
    pub fn without_links() -> Self {
        Self {
            armed: None,
            floor: SITE,
            withdraw_also_on: AlertSet::default(),
            hook: Hook::default(),
            uplinks: None,
            encapsulation: Tunnels::default(),
            pins: PinPlace::default(),
            arming: Arming::default(),
            coming_back: Return::default(),
            detection: Detection::default(),
            metrics: MetricsListen::default(),
            links: Vec::new(),
        }
    }

    /// Whether links may be touched by a daemon.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.armed.unwrap_or(false)
    }

    /// Reads `text`, which names a link; `file` is only named in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        Self::checked(text, file, check::check)
    }

    /// Reads `text`, which need not name any link; `file` is only named in errors.
    pub fn parse_for_recording(text: &str, file: &Path) -> Result<Self, ConfigError> {
        Self::checked(text, file, check::check_without_links)
    }

    /// Reads the file at `path`, of at most [`Config::MAX_FILE_BYTES`], which names a link.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// The same of a file that need not name any link.
    pub fn load_for_recording(path: &Path) -> Result<Self, ConfigError> {
        Self::parse_for_recording(&read(path)?, path)
    }

    fn checked(
        text: &str,
        file: &Path,
        check: fn(file::ConfigFile) -> Result<Self, error::Problem>,
    ) -> Result<Self, ConfigError> {
        toml::from_str(text)
            .map_err(|error| error::Problem::from_toml(&error))
            .and_then(check)
            .map_err(|problem| problem.at(text, file))
    }
}

/// Reads a bounded text, so that naming a device or a log by mistake ends in an error, not in memory.
fn read(path: &Path) -> Result<String, ConfigError> {
    let bounded = || {
        let mut text = String::new();
        File::open(path)?
            .take(Config::MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)?;
        if text.len() as u64 > Config::MAX_FILE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(text)
    };
    bounded().map_err(|cause| ConfigError::Read {
        file: path.to_owned(),
        cause,
    })
}

impl LinkConfig {
    /// A link with the DNS service that is found on it.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            withdraw_when: WithdrawWhen::default(),
            services: Vec::new(),
        }
    }

    /// Whether a service on it can be asked whether it is alive: without one, nothing could ever withdraw the link.
    #[must_use]
    pub fn can_be_armed(&self) -> bool {
        self.services.is_empty() || self.services.iter().any(|service| has_probe(service.protocol))
    }
}

impl Return {
    /// The longest hold-down, which repeated withdrawals grow to.
    pub const MAX_HOLD_DOWN: Duration = Duration::from_secs(30 * 60);
}

impl Default for Arming {
    fn default() -> Self {
        Self {
            answers: 1000,
            time: Duration::from_secs(60),
        }
    }
}

impl Default for Return {
    fn default() -> Self {
        Self {
            hold_down: Duration::from_secs(10),
        }
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            node_years_between_false_alarms: 10.0,
        }
    }
}

impl Hook {
    /// The name it has in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
            Self::Tc => "tc",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
