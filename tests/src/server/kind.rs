//! The DNS servers that a node can have, and how each is configured.

use crate::binaries::version_of;
use crate::dns::{self, PORT, ZONE};
use crate::node::{Node, SERVICE_V4, SERVICE_V6};
use crate::tools;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::Command;

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

    /// What it says of its own version; `None` when its program isn't there or doesn't run.
    #[must_use]
    pub fn version(self) -> Option<String> {
        let flag = match self {
            Self::Unbound => "-V",
            Self::Nsd => "-v",
            Self::Knot | Self::Builtin => "--version",
        };
        match self.program() {
            Some(program) => version_of(program, flag),
            None => Some("the built-in responder".into()),
        }
    }

    pub(super) fn configuration(self, node: Node, directory: &Path) -> String {
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

    pub(super) fn command(self, node: Node, configuration: &Path, lab: &Path) -> Result<Command> {
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
