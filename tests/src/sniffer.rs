//! Sees the nodes' BGP updates arrive at the router, with the kernel's own time of arrival.

use crate::bgp::{Stream, Update};
use crate::clock::Moment;
use crate::netns::Namespace;
use crate::node::Node;
use crate::timeline::{Observation, What};
use anyhow::{Context, Result};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeSpec;
use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

const BGP_PORT: u16 = 179;
/// Longer than any packet on a veth with segmentation offload.
const PACKET_BYTES: usize = 1 << 16;
/// How often the thread looks whether it should end.
const STOP_CHECK_MS: u16 = 50;

/// A thread that reports every update of a node. Dropping it ends the thread.
#[derive(Debug)]
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sniffer {
    /// Starts to listen on all interfaces of `router`; what it sees goes to `timeline`.
    pub fn start(router: &Namespace, timeline: Sender<Observation>) -> Result<Self> {
        let sockets = router.run(|| {
            // One protocol each, not ETH_P_ALL: that would make the kernel clone every packet that leaves, too.
            Ok([open(SockProtocol::EthIp)?, open(SockProtocol::EthIpv6)?])
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("sniffer".into())
            .spawn(move || listen(&sockets, &stopping, &timeline))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn open(protocol: SockProtocol) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let handle = socket(AddressFamily::Packet, SockType::Datagram, flags, protocol)
        .context("can't open a packet socket: the lab needs root (CAP_NET_RAW)")?;
    keep_only_tcp(&handle).context("can't attach a filter to a packet socket")?;
    setsockopt(&handle, sockopt::ReceiveTimestampns, &true)?;
    Ok(handle)
}

/// Has the kernel drop what isn't TCP: ten thousand DNS queries a second cross the router, and all but a few packets
/// of TCP there are BGP.
fn keep_only_tcp(handle: &OwnedFd) -> nix::Result<()> {
    const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // A datagram packet socket starts at the IP header. Offsets: protocol at 9 (IPv4), next header at 6 (IPv6).
    let mut program = [
        instruction(LOAD_BYTE, 0, 0, 0),
        instruction(AND, 0, 0, 0xf0),
        instruction(JUMP_IF_EQUAL, 0, 2, 0x40),
        instruction(LOAD_BYTE, 0, 0, 9),
        instruction(JUMP_IF_EQUAL, 2, 3, libc::IPPROTO_TCP.cast_unsigned()),
        instruction(LOAD_BYTE, 0, 0, 6),
        instruction(JUMP_IF_EQUAL, 0, 1, libc::IPPROTO_TCP.cast_unsigned()),
        instruction(RETURN, 0, 0, u32::MAX),
        instruction(RETURN, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` and the program that it points to are live and of the stated length for the whole call, which
    // copies them.
    let result = unsafe {
        libc::setsockopt(
            handle.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

fn listen(sockets: &[OwnedFd], stop: &AtomicBool, timeline: &Sender<Observation>) {
    let mut streams = HashMap::new();
    let mut buffer = vec![0; PACKET_BYTES];
    while !stop.load(Ordering::Relaxed) {
        let mut polled: Vec<_> = sockets
            .iter()
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        _ = poll(&mut polled, PollTimeout::from(STOP_CHECK_MS));
        for socket in sockets {
            while let Some((at, length)) = receive(socket, &mut buffer) {
                let packet = buffer.get(..length).unwrap_or_default();
                for (node, update) in updates(packet, &mut streams) {
                    let what = What::Bgp { node, update };
                    if timeline.send(Observation { at, what }).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The next packet and when it arrived; `None` when there is none.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<(Moment, usize)> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut pieces = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty()).ok()?;
    let stamp = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
        _ => None,
    });
    let at = stamp.map_or_else(Moment::now, Moment::from_realtime);
    Some((at, message.bytes))
}

/// A direction of a session: the node's address and port (a new session has a new port).
type Session = (IpAddr, u16, u16);

fn updates(packet: &[u8], streams: &mut HashMap<Session, Stream>) -> Vec<(Node, Update)> {
    let Ok(packet) = SlicedPacket::from_ip(packet) else {
        return Vec::new();
    };
    let source: IpAddr = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => ip.header().source_addr().into(),
        Some(NetSlice::Ipv6(ip)) => ip.header().source_addr().into(),
        _ => return Vec::new(),
    };
    let (Some(node), Some(TransportSlice::Tcp(tcp))) = (Node::with_address(source), packet.transport) else {
        return Vec::new();
    };
    let ports = (tcp.source_port(), tcp.destination_port());
    if ports.0 != BGP_PORT && ports.1 != BGP_PORT {
        return Vec::new();
    }
    let stream = streams.entry((source, ports.0, ports.1)).or_default();
    stream
        .push(tcp.sequence_number(), tcp.payload())
        .into_iter()
        .map(|update| (node, update))
        .collect()
}
