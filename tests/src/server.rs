//! The DNS servers of the nodes: real ones where they can be had.

use crate::dns::{self, PORT, ZONE};
use crate::netns::Namespace;
use crate::node::{Family, Node, SERVICE_V4, SERVICE_V6};
use crate::process::Process;
use crate::tools;
use crate::workdir::WorkDirectory;
use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a server may take from its start to its first answer.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one try to get an answer waits.
const TRY_TIMEOUT: Duration = Duration::from_millis(50);

/// Which DNS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// Knot DNS
    Knot,
    /// NSD
    Nsd,
    /// Unbound
    Unbound,
    /// The built-in responder
    Builtin,
}

impl ServerKind {
    /// The package's program; `None` for the built-in responder.
    #[must_use]
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Knot => Some("knotd"),
            Self::Nsd => Some("nsd"),
            Self::Unbound => Some("unbound"),
            Self::Builtin => None,
        }
    }

    /// Itself when its program is there, else the built-in responder.
    #[must_use]
    pub fn or_builtin(self) -> Self {
        match self.program().map(tools::find) {
            Some(None) => Self::Builtin,
            Some(Some(_)) | None => self,
        }
    }

    /// What the program says of its own version; the plain name when it says nothing.
    #[must_use]
    pub fn version(self) -> String {
        let flag = match self {
            Self::Unbound => "-V",
            Self::Nsd => "-v",
            Self::Knot | Self::Builtin => "--version",
        };
        self.program()
            .and_then(tools::find)
            .and_then(|tool| first_line(tool.command().arg(flag)))
            .unwrap_or_else(|| self.to_string())
    }

    fn configuration(self, node: Node, directory: &Path) -> String {
        let directory = directory.display();
        let name = node.name();
        match self {
            Self::Knot => format!(
                "server:\n\
                 \x20 identity: {name}\n\
                 \x20 nsid: {name}\n\
                 \x20 rundir: {directory}\n\
                 \x20 user: root:root\n\
                 \x20 listen: [ {SERVICE_V4}@{PORT}, {SERVICE_V6}@{PORT} ]\n\
                 log:\n\
                 \x20 - target: stderr\n\
                 \x20   any: warning\n\
                 database:\n\
                 \x20 storage: {directory}\n\
                 template:\n\
                 \x20 - id: default\n\
                 \x20   storage: {directory}\n\
                 zone:\n\
                 \x20 - domain: {ZONE}\n\
                 \x20   file: zone\n"
            ),
            // Its rate limit is on by default, at 200 answers a second for the one client of the lab.
            Self::Nsd => format!(
                "server:\n\
                 \x20 ip-address: {SERVICE_V4}@{PORT}\n\
                 \x20 ip-address: {SERVICE_V6}@{PORT}\n\
                 \x20 ip-freebind: yes\n\
                 \x20 identity: {name}\n\
                 \x20 username: root\n\
                 \x20 chroot: \"\"\n\
                 \x20 zonesdir: {directory}\n\
                 \x20 database: \"\"\n\
                 \x20 pidfile: {directory}/nsd.pid\n\
                 \x20 xfrdfile: {directory}/xfrd.state\n\
                 \x20 xfrdir: {directory}\n\
                 \x20 zonelistfile: {directory}/zone.list\n\
                 \x20 rrl-ratelimit: 0\n\
                 \x20 rrl-whitelist-ratelimit: 0\n\
                 remote-control:\n\
                 \x20 control-enable: no\n\
                 zone:\n\
                 \x20 name: {ZONE}\n\
                 \x20 zonefile: zone\n"
            ),
            // It has no way out of its namespace, so every name it doesn't have must be answered without asking.
            Self::Unbound => format!(
                "server:\n\
                 \x20 interface: {SERVICE_V4}@{PORT}\n\
                 \x20 interface: {SERVICE_V6}@{PORT}\n\
                 \x20 ip-freebind: yes\n\
                 \x20 identity: {name}\n\
                 \x20 username: \"\"\n\
                 \x20 chroot: \"\"\n\
                 \x20 directory: {directory}\n\
                 \x20 pidfile: {directory}/unbound.pid\n\
                 \x20 use-syslog: no\n\
                 \x20 do-daemonize: no\n\
                 \x20 access-control: 0.0.0.0/0 allow\n\
                 \x20 access-control: ::/0 allow\n\
                 \x20 module-config: \"iterator\"\n\
                 \x20 local-zone: . static\n\
                 \x20 local-zone: {ZONE} static\n\
                 \x20 local-data: '{question} TXT \"{name}\"'\n\
                 remote-control:\n\
                 \x20 control-enable: no\n",
                question = dns::QUESTION,
            ),
            Self::Builtin => String::new(),
        }
    }

    fn command(self, node: Node, configuration: &Path, lab: &Path) -> Result<Command> {
        let Some(program) = self.program() else {
            let mut command = Command::new(lab);
            command.args(["responder", node.name()]);
            return Ok(command);
        };
        let tool = tools::find(program)
            .with_context(|| format!("{program} isn't installed; `cargo xtask setup` fetches it"))?;
        let mut command = tool.command();
        if matches!(self, Self::Nsd | Self::Unbound) {
            // Stay in the foreground, and log to standard error.
            command.arg("-d");
        }
        command.arg("-c").arg(configuration);
        Ok(command)
    }
}

impl Display for ServerKind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Knot => "knot",
            Self::Nsd => "nsd",
            Self::Unbound => "unbound",
            Self::Builtin => "builtin",
        })
    }
}

/// A server that runs on a node.
#[derive(Debug)]
pub struct Server {
    wrapper: Process,
    kind: ServerKind,
}

impl Server {
    /// Starts a server on `node`. `lab` is the lab's own executable, which holds the built-in responder.
    pub fn start(
        kind: ServerKind,
        node: Node,
        namespace: &Namespace,
        directory: &WorkDirectory,
        lab: &Path,
    ) -> Result<Self> {
        // Always a new one: a killed predecessor left a file with its process id, which in a process id namespace is
        // that of its successor too, who would take itself for running already.
        let own = tempfile::Builder::new()
            .prefix(&format!("server-{}-", node.name()))
            .tempdir_in(directory.path())?
            .keep();
        let configuration = own.join("server.conf");
        fs::write(&configuration, kind.configuration(node, &own))?;
        fs::write(own.join("zone"), zone(node))?;
        let command = kind.command(node, &configuration, lab)?;
        let name = format!("{kind} on {node}");
        let log = log_path(directory, node);
        let wrapper = Process::spawn_contained(&name, &command, namespace, &log)?;
        Ok(Self { wrapper, kind })
    }

    /// Which server it is.
    #[must_use]
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// The server's processes, the first one first.
    #[must_use]
    pub fn pids(&self) -> Vec<Pid> {
        self.wrapper.descendants()
    }

    /// Fails when the server has ended.
    pub fn check_running(&mut self) -> Result<()> {
        self.wrapper.check_running()
    }

    /// Waits until it answers on the service addresses of both families.
    pub fn wait_ready(&mut self, namespace: &Namespace) -> Result<()> {
        let sockets = namespace.run(|| {
            Family::ALL
                .map(|family| {
                    let socket = UdpSocket::bind((unspecified(family), 0))?;
                    socket.set_read_timeout(Some(TRY_TIMEOUT))?;
                    Ok(socket)
                })
                .into_iter()
                .collect::<Result<Vec<_>>>()
        })?;
        let deadline = Instant::now() + READY_TIMEOUT;
        for (socket, family) in sockets.iter().zip(Family::ALL) {
            while !answers(socket, family)? {
                crate::interrupt::check()?;
                self.check_running()?;
                if Instant::now() > deadline {
                    let log = self.wrapper.log_tail();
                    bail!("{} answers no query over {family}:\n{log}", self.kind);
                }
            }
        }
        Ok(())
    }
}

/// Where the server of `node` logs.
fn log_path(directory: &WorkDirectory, node: Node) -> PathBuf {
    directory.path().join(format!("server-{}.log", node.name()))
}

fn unspecified(family: Family) -> std::net::IpAddr {
    match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether a query gets an answer; waits a little when it doesn't.
fn answers(socket: &UdpSocket, family: Family) -> Result<bool> {
    let began = Instant::now();
    let mut buffer = [0; 512];
    let sent = socket.send_to(&dns::query()?, (family.service_address(), PORT));
    let received = sent.and_then(|_| socket.recv(&mut buffer));
    let answer = received.ok().and_then(|length| dns::read_answer(buffer.get(..length)?));
    if answer.is_none() {
        // A refused query fails at once: don't spin.
        std::thread::sleep(TRY_TIMEOUT.saturating_sub(began.elapsed()));
    }
    Ok(answer.is_some())
}

fn zone(node: Node) -> String {
    format!(
        "$ORIGIN {ZONE}\n\
         $TTL 0\n\
         @ SOA ns hostmaster 1 3600 600 86400 0\n\
         @ NS ns\n\
         ns A {SERVICE_V4}\n\
         ns AAAA {SERVICE_V6}\n\
         {question} TXT \"{name}\"\n",
        question = dns::QUESTION,
        name = node.name(),
    )
}

/// The first line that a command prints, on whichever output.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.to_owned())
}
