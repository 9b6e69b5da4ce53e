//! What a packet of a service is: a query, an answer, or neither.
//!
//! To add a protocol, write a file with a function like [`dns::message`] and give it a row in the table below: that makes
//! it known to the programs, the configuration and the daemon.

mod dns;
mod generic;
mod ike;
mod ntp;
mod quic;
#[cfg(test)]
mod tests;
mod wireguard;

pub(crate) use dns::rcode;

use crate::{
    layout::{PROTOCOL_TCP, PROTOCOL_UDP, Unclassified},
    packet::{Direction, Flow, Packet},
};

/// A UDP datagram of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// It asks for an answer.
    Query {
        /// What its answer will have in common with it besides address and port; zero if there is nothing, so that any
        /// number of packets may answer it.
        id: u64,
    },
    /// It answers.
    Answer {
        /// As in the query.
        id: u64,
        /// DNS: cut off, the client will ask again over TCP.
        truncated: bool,
        /// DNS: the octet whose lower half is the [`rcode`].
        codes: u8,
    },
    /// A packet of the service that says nothing about it.
    Other,
}

impl Message {
    /// An answer of another protocol than DNS.
    #[inline(always)]
    const fn answer(id: u64) -> Self {
        Self::Answer {
            id,
            truncated: false,
            codes: 0,
        }
    }
}

/// The table of classifiers: variant, number in the service table, name in the configuration; for UDP the function that
/// reads a datagram, for TCP whether the server speaks first.
macro_rules! classifiers {
    (
        udp { $($(#[$udp_doc:meta])* $udp:ident = $udp_number:literal, $udp_name:literal, $message:path;)* }
        tcp { $($(#[$tcp_doc:meta])* $tcp:ident = $tcp_number:literal, $tcp_name:literal, server_speaks_first: $first:literal;)* }
    ) => {
        /// How the packets of a service are told into queries and answers. Zero is no classifier.
        #[repr(u16)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Classifier {
            $($(#[$udp_doc])* $udp = $udp_number,)*
            $($(#[$tcp_doc])* $tcp = $tcp_number,)*
        }

        impl Classifier {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$udp,)* $(Self::$tcp,)*];

            /// Its name in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$udp => $udp_name,)*
                    $(Self::$tcp => $tcp_name,)*
                }
            }

            /// The IP protocol number that its packets have.
            #[must_use]
            pub const fn protocol(self) -> u8 {
                match self {
                    $(Self::$udp => PROTOCOL_UDP,)*
                    $(Self::$tcp => PROTOCOL_TCP,)*
                }
            }
        }

        /// Reads a datagram of a service with the classifier of this number.
        #[inline(always)]
        pub(crate) fn message<P: Packet>(
            classifier: u16,
            packet: &P,
            flow: &Flow,
            direction: Direction,
        ) -> Result<Message, Unclassified> {
            match classifier {
                $($udp_number => $message(packet, flow, direction),)*
                _ => Ok(Message::Other),
            }
        }

        /// Whether, on the connections of a service with the classifier of this number, the server speaks first.
        #[inline(always)]
        pub(crate) fn server_speaks_first(classifier: u16) -> bool {
            match classifier {
                $($tcp_number => $first,)*
                _ => false,
            }
        }
    };
}

classifiers! {
    udp {
        /// DNS over UDP: QR=0 in is a query, QR=1 out an answer.
        DnsUdp = 1, "dns-udp", dns::message;
        /// NTP: mode 3 in is a query, mode 4 out an answer.
        Ntp = 2, "ntp", ntp::message;
        /// QUIC: an Initial in is a query, any packet out an answer.
        Quic = 3, "quic", quic::message;
        /// `WireGuard`: a handshake initiation in is a query, its response or a cookie out an answer.
        WireGuard = 4, "wireguard", wireguard::message;
        /// IKE on port 500: a request in is a query, a response out an answer.
        Ike = 5, "ike", ike::message;
        /// IKE on port 4500, among ESP in UDP.
        IkeNatTraversal = 6, "ike-nat-traversal", ike::nat_traversal;
        /// Any other protocol over UDP: every datagram in is a query, every one out an answer.
        Udp = 7, "udp", generic::message;
        /// UDP that is never answered, such as syslog: every datagram in is a query.
        UdpOneWay = 8, "udp-one-way", generic::one_way;
    }
    tcp {
        /// TCP on which the client speaks first, such as DNS, `DoT` or LDAP: what it sends in one go is a query, the first
        /// payload that comes back its answer.
        /// What asks for nothing, such as LDAP's unbind or a farewell of TLS in a segment of its own, is a query without
        /// an answer.
        Tcp = 9, "tcp", server_speaks_first: false;
        /// TCP on which the server speaks first, such as SMTP: the end of the handshake is a query too, and the greeting
        /// its answer.
        TcpServerFirst = 10, "tcp-server-first", server_speaks_first: true;
    }
}

impl Classifier {
    /// The classifier of this name in the configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|classifier| classifier.name() == name)
    }

    /// Whether a sample of its transactions is timed: of TCP all are, and of what is never answered none.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.protocol() == PROTOCOL_UDP && !self.is_one_way()
    }

    /// Whether nothing ever answers, so that silence says nothing.
    #[must_use]
    pub const fn is_one_way(self) -> bool {
        matches!(self, Self::UdpOneWay)
    }
}

/// The start of a UDP payload. What pads a short frame is none of it.
#[inline(always)]
fn payload<'packet, const N: usize, P: Packet>(
    packet: &'packet P,
    flow: &Flow,
) -> Result<&'packet [u8; N], Unclassified> {
    const UDP_HEADER_BYTES: usize = 8;
    if flow
        .transport_bytes
        .is_some_and(|bytes| usize::from(bytes) < UDP_HEADER_BYTES + N)
    {
        return Err(Unclassified::Truncated);
    }
    packet
        .bytes(flow.transport + UDP_HEADER_BYTES)
        .ok_or(Unclassified::Truncated)
}
