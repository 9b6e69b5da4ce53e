//! The DNS servers of the nodes: real ones where they can be had.

mod kind;

pub use kind::ServerKind;

use crate::dns::{self, PORT, ZONE};
use crate::netns::Namespace;
use crate::node::{Family, Node, SERVICE_V4, SERVICE_V6};
use crate::process::Process;
use crate::workdir::WorkDirectory;
use anyhow::{Result, bail};
use nix::unistd::Pid;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a server may take from its start to its first answer.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one try to get an answer waits.
const TRY_TIMEOUT: Duration = Duration::from_millis(50);

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
