//! What the packets of a service look like, by the names of the configuration file.

use std::fmt;

/// What counts as a query of a service and what as its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// DNS over UDP: QR = 0 in, QR = 1 out.
    DnsUdp,
    /// NTP: mode 3 in, mode 4 out.
    Ntp,
    /// QUIC: Initial in, any packet out.
    Quic,
    /// WireGuard: initiation in, response out.
    WireGuard,
    /// IKE: initiation in, response out.
    Ike,
    /// UDP of any kind: packets in, packets out.
    Udp,
    /// UDP that nobody answers, such as syslog.
    UdpOneWay,
    /// TCP whose clients speak first: payload in, payload out.
    Tcp,
    /// TCP whose servers speak first, such as SMTP.
    TcpServerFirst,
}

impl Protocol {
    const ALL: [Self; 9] = [
        Self::DnsUdp,
        Self::Ntp,
        Self::Quic,
        Self::WireGuard,
        Self::Ike,
        Self::Udp,
        Self::UdpOneWay,
        Self::Tcp,
        Self::TcpServerFirst,
    ];

    /// The name it has in the configuration file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DnsUdp => "dns-udp",
            Self::Ntp => "ntp",
            Self::Quic => "quic",
            Self::WireGuard => "wireguard",
            Self::Ike => "ike",
            Self::Udp => "udp",
            Self::UdpOneWay => "udp-one-way",
            Self::Tcp => "tcp",
            Self::TcpServerFirst => "tcp-server-first",
        }
    }

    /// The number of the IP protocol that carries it: 17 is UDP, 6 is TCP.
    #[must_use]
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Tcp | Self::TcpServerFirst => 6,
            _ => 17,
        }
    }

    /// Whether nobody answers it, so that no answer can be missed.
    #[must_use]
    pub const fn is_one_way(self) -> bool {
        matches!(self, Self::UdpOneWay)
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }
}

/// Whether this version can ask a service of this protocol whether it is alive. What can't be asked is only watched: it
/// never withdraws a route.
#[must_use]
pub const fn has_probe(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::DnsUdp)
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
