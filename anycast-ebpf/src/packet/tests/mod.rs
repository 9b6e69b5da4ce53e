//! What is found in packets, and that the fast path finds the same.

extern crate std;
use std::{vec, vec::Vec};

mod icmp;
mod link;
mod network;
mod properties;
mod transport;
mod truncation;
mod tunnel;

use super::*;
use crate::testing::{CLIENT_PORT, Family, ethernet, fast};

type Found = Result<Followed, Unclassified>;

/// Where the transport header starts in a plain frame.
fn transport_in_frame(family: Family) -> usize {
    14 + family.header_bytes()
}

/// Follows a packet. Every packet of these tests is a check of the fast path, too.
fn read(packet: &[u8], view: View) -> Found {
    let followed = follow(&packet, view);
    if let Some(flow) = fast(packet, view) {
        assert_eq!(
            followed,
            Ok(Followed::Flow(flow)),
            "the fast path differs: {packet:02x?}"
        );
    }
    followed
}

/// Follows a frame that arrives.
fn arriving(frame: &[u8]) -> Found {
    read(frame, ethernet(Direction::Ingress))
}

/// Follows a frame that leaves.
fn leaving(frame: &[u8]) -> Found {
    read(frame, ethernet(Direction::Egress))
}

/// A datagram of client 7 and the service at `port`, with `bytes` of header and payload from `transport` on.
fn flow(family: Family, (protocol, port): (u8, u16), transport: usize, bytes: usize, head: Head) -> Flow {
    Flow {
        service: family.service(protocol, port),
        client: family.client(7),
        client_port: CLIENT_PORT.to_be(),
        transport,
        transport_bytes: Some(bytes as u16),
        head,
    }
}

/// As [`flow`], of UDP on port 53.
#[expect(clippy::unnecessary_wraps, reason = "it is what the calls are compared with")]
fn dns(family: Family, transport: usize, payload: &[u8]) -> Found {
    let (bytes, head) = (8 + payload.len(), head(payload));
    Ok(Followed::Flow(flow(family, (PROTOCOL_UDP, 53), transport, bytes, head)))
}

fn head(payload: &[u8]) -> Head {
    match payload.first_chunk() {
        Some(word) if payload.len() >= Head::PAYLOAD_BYTES => Head {
            is_known: true,
            word: u32::from_ne_bytes(*word),
        },
        _ => Head::UNKNOWN,
    }
}
