//! The format of an input: one octet says how the packet is met, the packet is all the rest.
//!
//! | bit | meaning when set |
//! |---|---|
//! | 0 | the packet leaves; else it arrives |
//! | 1 | it starts with the IP header; else with an Ethernet header |
//! | 2 | IP in IP is looked through |
//! | 3 | GUE is looked through, on UDP port 6080 |
//! | 4 to 7 | ignored |

/// One packet, and how it is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'bytes> {
    flags: u8,
    /// The packet.
    pub frame: &'bytes [u8],
}

impl<'bytes> Input<'bytes> {
    /// The UDP port of GUE where it is looked through.
    pub const GUE_PORT: u16 = 6080;
    /// The packet leaves.
    pub const EGRESS: u8 = 1;
    /// The packet starts with the IP header.
    pub const IP: u8 = 1 << 1;
    /// IP in IP is looked through.
    pub const IP_IN_IP: u8 = 1 << 2;
    /// GUE is looked through.
    pub const GUE: u8 = 1 << 3;

    /// Takes an input apart; `None` if it is empty.
    #[must_use]
    pub fn parse(bytes: &'bytes [u8]) -> Option<Self> {
        let (&flags, frame) = bytes.split_first()?;
        Some(Self { flags, frame })
    }

    /// Whether the packet leaves, rather than arrives.
    #[must_use]
    pub const fn is_egress(&self) -> bool {
        self.flags & Self::EGRESS != 0
    }

    /// Whether the packet starts with the IP header, rather than with an Ethernet header.
    #[must_use]
    pub const fn starts_with_ip(&self) -> bool {
        self.flags & Self::IP != 0
    }

    /// Whether IP in IP is looked through.
    #[must_use]
    pub const fn looks_through_ip_in_ip(&self) -> bool {
        self.flags & Self::IP_IN_IP != 0
    }

    /// The UDP port of GUE, if that is looked through.
    #[must_use]
    pub const fn gue_port(&self) -> Option<u16> {
        if self.flags & Self::GUE == 0 {
            None
        } else {
            Some(Self::GUE_PORT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_says_how_the_packet_is_met() {
        assert_eq!(Input::parse(&[]), None);
        let plain = Input::parse(&[0xf0]).unwrap();
        assert!(!plain.is_egress() && !plain.starts_with_ip() && !plain.looks_through_ip_in_ip());
        assert_eq!((plain.gue_port(), plain.frame), (None, &[][..]));
        let all = Input::parse(&[0x0f, 7, 8]).unwrap();
        assert!(all.is_egress() && all.starts_with_ip() && all.looks_through_ip_in_ip());
        assert_eq!((all.gue_port(), all.frame), (Some(6080), &[7, 8][..]));
    }
}
