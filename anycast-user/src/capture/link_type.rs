//! What the packets of a capture start with.

/// The headers that are understood, of those in <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet.
    Ethernet,
    /// None: IPv4 or IPv6, as the first half byte tells.
    Ip,
    /// None: IPv4.
    Ipv4,
    /// None: IPv6.
    Ipv6,
    /// That of BSD loopbacks: the number of a protocol family, in the byte order of whoever captured it, or (as
    /// `LINKTYPE_LOOP`) of the network.
    Loopback,
    /// "Linux cooked", as `tcpdump -i any` wrote it for long.
    LinuxCooked,
    /// "Linux cooked", version 2, as `tcpdump -i any` writes it today.
    LinuxCooked2,
}

impl LinkType {
    /// The link type of a number; `None` when it isn't understood.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Ethernet,
            12 | 101 => Self::Ip,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            0 | 108 => Self::Loopback,
            113 => Self::LinuxCooked,
            276 => Self::LinuxCooked2,
            _ => return None,
        })
    }
}
