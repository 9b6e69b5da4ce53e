//! What can be done to a server or its node, and undone.

use crate::netns::Namespace;
use crate::node::{SERVICE_V4, SERVICE_V6};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage, connect, getsockname, getsockopt,
    sockopt,
};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

/// A port of the loopback addresses from which no query will come (the discard port).
const NOBODY: u16 = 9;
/// The preference of the rule that drops answers: after the local table, so what stays on the node is not touched.
const DROP_PREFERENCE: u32 = 100;

/// What happens to the server of node a.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It hangs: all of its processes are stopped; undone by SIGCONT
    Sigstop,
    /// It dies: all of its processes are killed; undone by a new start
    Sigkill,
    /// It lives but no longer listens: the kernel answers queries with "port unreachable"; undone by a new start
    CloseSocket,
    /// It answers, but its answers don't leave the node; nothing is wrong with it when asked on the node
    DropEgress,
}

impl Fault {
    /// Whether the node should withdraw. When answers are lost behind the server, probes on the node are answered,
    /// and an alert is all there should be.
    #[must_use]
    pub fn should_withdraw(self) -> bool {
        self != Self::DropEgress
    }

    /// Finds what the fault will be done to, so that [`Prepared::strike`] is quick.
    pub fn prepare(self, server: &Server, namespace: &Namespace) -> Result<Prepared> {
        let pids = server.pids();
        if pids.is_empty() {
            bail!("{} has no process to do {self} to", server.kind());
        }
        Ok(match self {
            Self::Sigstop => Prepared::Stop(pids),
            Self::Sigkill => Prepared::Kill(pids),
            Self::CloseSocket => Prepared::Deafen(listening_sockets(&pids)?),
            Self::DropEgress => Prepared::DropEgress(namespace.try_clone()?),
        })
    }

    /// How the fault is undone, in words.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Sigstop => "SIGCONT",
            Self::Sigkill | Self::CloseSocket => "a new start of the server",
            Self::DropEgress => "answers leaving again",
        }
    }
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sigstop => "sigstop",
            Self::Sigkill => "sigkill",
            Self::CloseSocket => "close-socket",
            Self::DropEgress => "drop-egress",
        })
    }
}

/// A fault that is ready to happen, and the means to undo it. One that isn't undone goes with the lab.
#[derive(Debug)]
pub enum Prepared {
    /// Processes to stop.
    Stop(Vec<Pid>),
    /// Processes to kill.
    Kill(Vec<Pid>),
    /// Duplicates of the server's sockets. A real server doesn't close its sockets on command, so they are connected
    /// to a peer that never sends: the kernel then finds no socket for a query, just as if there were none.
    Deafen(Vec<OwnedFd>),
    /// The namespace in which packets from the service addresses that would leave it find no route.
    DropEgress(Namespace),
}

impl Prepared {
    /// Makes the fault happen.
    pub fn strike(&self) -> Result<()> {
        match self {
            Self::Stop(pids) => signal_all(pids, Signal::SIGSTOP),
            Self::Kill(pids) => signal_all(pids, Signal::SIGKILL),
            Self::Deafen(sockets) => sockets.iter().try_for_each(deafen),
            Self::DropEgress(namespace) => change_rules(namespace, "add"),
        }
    }

    /// Whether only a new start of the server undoes it, which is the caller's to do. A connected IPv6 socket can't be
    /// made to listen to all again (seen on Linux 6.18): `connect` with `AF_UNSPEC` leaves the peer's address in place.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        matches!(self, Self::Kill(_) | Self::Deafen(_))
    }

    /// Undoes it, as far as that is possible without a new start.
    pub fn undo(&self) -> Result<()> {
        match self {
            Self::Stop(pids) => signal_all(pids, Signal::SIGCONT),
            Self::Kill(_) | Self::Deafen(_) => Ok(()),
            Self::DropEgress(namespace) => change_rules(namespace, "del"),
        }
    }
}

fn signal_all(pids: &[Pid], signal: Signal) -> Result<()> {
    for &pid in pids {
        // The first of a process id namespace takes the others along, so a later one may be gone already.
        match kill(pid, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("can't send {signal} to {pid}")),
        }
    }
    Ok(())
}

fn change_rules(namespace: &Namespace, verb: &str) -> Result<()> {
    let preference = DROP_PREFERENCE.to_string();
    for (version, source) in [("-4", SERVICE_V4.to_string()), ("-6", SERVICE_V6.to_string())] {
        namespace.ip_output(&[version, "rule", verb, "pref", &preference, "from", &source, "blackhole"])?;
    }
    Ok(())
}

/// Duplicates of all UDP sockets that `pids` have on the port of DNS.
fn listening_sockets(pids: &[Pid]) -> Result<Vec<OwnedFd>> {
    let mut found = Vec::new();
    for &pid in pids {
        let number = rustix::process::Pid::from_raw(pid.as_raw()).context("0 is no process")?;
        let process = pidfd_open(number, PidfdFlags::empty()).context("can't open the server's process (Linux 5.3)")?;
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
            let is_socket =
                fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let (true, Some(number)) = (is_socket, number) else {
                continue;
            };
            let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())
                .context("can't take the server's sockets (Linux 5.6, CAP_SYS_PTRACE)")?;
            if serves_dns(&socket) {
                found.push(socket);
            }
        }
    }
    if found.is_empty() {
        bail!("the server has no UDP socket on port 53");
    }
    Ok(found)
}

fn serves_dns(socket: &OwnedFd) -> bool {
    if getsockopt(socket, sockopt::SockType) != Ok(SockType::Datagram) {
        return false;
    }
    getsockname::<SockaddrStorage>(socket.as_raw_fd()).is_ok_and(|address| {
        let v4 = address.as_sockaddr_in().map(SockaddrIn::port);
        let v6 = address.as_sockaddr_in6().map(SockaddrIn6::port);
        v4.or(v6) == Some(crate::dns::PORT)
    })
}

fn deafen(socket: &OwnedFd) -> Result<()> {
    let own = getsockname::<SockaddrStorage>(socket.as_raw_fd())?;
    let result = if own.family() == Some(AddressFamily::Inet6) {
        let peer = std::net::SocketAddrV6::new(Ipv6Addr::LOCALHOST, NOBODY, 0, 0);
        connect(socket.as_raw_fd(), &SockaddrIn6::from(peer))
    } else {
        let peer = std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, NOBODY);
        connect(socket.as_raw_fd(), &SockaddrIn::from(peer))
    };
    result.context("can't connect the server's socket to nobody")
}
