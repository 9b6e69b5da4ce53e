//! From the bytes of a packet to the service that it may belong to.
//!
//! [`fast`] knows the common shapes by one bounds check each; [`follow`] knows all of them. Where both have an answer it
//! is the same.

mod blur;
mod fast;
mod icmp;
mod link;
mod network;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

pub use self::{
    fast::{Take, fast},
    transport::{Segment, tcp},
    tunnel::Tunnels,
};
use crate::layout::{PROTOCOL_TCP, PROTOCOL_UDP, ServiceKey, Unclassified};

/// The bytes of one packet, in the kernel or on the host.
pub trait Packet {
    /// `N` bytes from `offset`, or `None` where the packet is shorter.
    ///
    /// One bounds check for a whole header; the fields are then picked at constant positions.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;
}

impl Packet for &[u8] {
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..)?.first_chunk()
    }
}

/// Which end of a packet is the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Arriving: the destination.
    Ingress,
    /// Leaving: the source.
    Egress,
}

/// What a device's packets start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// An Ethernet header.
    Ethernet,
    /// The IP header (tun, `WireGuard`, PPP, IP tunnels).
    Ip,
}

/// How a packet is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it was seen.
    pub direction: Direction,
    /// What it starts with.
    pub framing: Framing,
    /// Which tunnels of a load balancer are looked through.
    pub tunnels: Tunnels,
}

/// The start of a UDP payload, read together with the headers.
///
/// No `Option`: an undefined half of one ends up in a register that the verifier finds uninitialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether the payload has at least [`Head::PAYLOAD_BYTES`].
    pub is_known: bool,
    /// Its first four bytes as one native number, zero if they aren't known.
    pub word: u32,
}

impl Head {
    /// The length of a DNS header.
    pub const PAYLOAD_BYTES: usize = 12;
    /// Of a shorter payload, and of another protocol than UDP.
    pub const UNKNOWN: Self = Self {
        is_known: false,
        word: 0,
    };
}

/// A UDP datagram or a TCP segment, complete or its first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The end of it that may be a service.
    pub service: ServiceKey,
    /// The other end's address, as [`ServiceKey::address`].
    pub client: [u64; 2],
    /// The other end's port: two bytes of the wire, loaded as a native number.
    pub client_port: u16,
    /// Where its UDP or TCP header starts, in bytes from the start of the packet.
    pub transport: usize,
    /// Bytes of header and payload by the header of UDP, or by the IP header of TCP, whose own doesn't say; `None` for
    /// a jumbogram, which doesn't either. What follows them in the packet is padding.
    pub transport_bytes: Option<u16>,
    /// The start of the payload of a UDP datagram.
    pub head: Head,
}

/// What a packet is to a node's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Traffic of another kind (ARP, an echo request, …), which is nobody's business here.
    Other,
    /// UDP or TCP.
    Flow(Flow),
    /// An ICMP message that leaves and says that the port of this service is closed.
    Unreachable(ServiceKey),
}

/// Follows a packet to its ports; an error when they can't be reached.
#[inline(always)]
pub fn follow<P: Packet>(packet: &P, view: View) -> Result<Followed, Unclassified> {
    let start = match view.framing {
        Framing::Ethernet => link::ethernet(packet)?,
        Framing::Ip => link::ip(packet)?,
    };
    let Some(start) = start else {
        return Ok(Followed::Other);
    };
    let mut datagram = network::datagram(packet, start)?;
    if view.direction == Direction::Ingress
        && let Some(inner) = tunnel::inside(packet, &datagram, view.tunnels)?
    {
        datagram = network::datagram(packet, inner)?;
    }
    match datagram.protocol {
        PROTOCOL_UDP => transport::udp(packet, &datagram, view.direction),
        PROTOCOL_TCP => transport::tcp_flow(packet, &datagram, view.direction),
        _ if view.direction == Direction::Egress => icmp::unreachable(packet, &datagram),
        _ => Ok(Followed::Other),
    }
}
