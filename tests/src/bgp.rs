//! BGP messages out of a TCP stream, and what they say about routes.

use anyhow::{Context, Result};
use bgpkit_parser::models::{AsnLength, BgpMessage, BgpUpdateMessage, NetworkPrefix};
use bgpkit_parser::parser::bgp::messages::parse_bgp_message;
use bytes::Bytes;
use std::net::IpAddr;

/// The length of a message's header (RFC 4271, 4.1): marker, length, type.
const HEADER_BYTES: usize = 19;
/// Sixteen octets of ones stand before every message.
const MARKER: [u8; 16] = [0xff; 16];

/// A prefix: address and length.
pub type Prefix = (IpAddr, u8);

/// An UPDATE that says something about routes; an End-of-RIB (RFC 4724), which says nothing, has both lists empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// The prefixes that are announced, of either family.
    pub announced: Vec<Prefix>,
    /// The prefixes that are withdrawn, of either family.
    pub withdrawn: Vec<Prefix>,
}

/// One direction of a session, put together from TCP segments as captured.
#[derive(Debug, Default)]
pub struct Stream {
    /// The sequence number of the next octet; unknown before the first segment.
    next: Option<u32>,
    buffer: Vec<u8>,
}

impl Stream {
    /// Takes the payload of a segment and gives the updates that it completes. A retransmission gives nothing twice;
    /// after a gap (a captured packet was lost) the stream goes on with the next message that starts a segment.
    pub fn push(&mut self, sequence: u32, payload: &[u8]) -> Vec<Update> {
        let next = *self.next.get_or_insert(sequence);
        let offset = sequence.wrapping_sub(next).cast_signed();
        let fresh = if offset > 0 {
            self.buffer.clear();
            payload
        } else {
            payload.get(offset.unsigned_abs() as usize..).unwrap_or_default()
        };
        if fresh.is_empty() {
            return Vec::new();
        }
        self.next = Some(sequence.wrapping_add(payload.len() as u32));
        self.buffer.extend_from_slice(fresh);
        std::iter::from_fn(|| self.message())
            .filter_map(|message| update(message).ok().flatten())
            .collect()
    }

    /// The next whole message; `None` when there is none yet, or none that could be found.
    fn message(&mut self) -> Option<Bytes> {
        if self.buffer.len() >= MARKER.len() && !self.buffer.starts_with(&MARKER) {
            self.buffer.clear();
        }
        let length = self.buffer.get(16..18)?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        if length < HEADER_BYTES {
            self.buffer.clear();
        }
        if self.buffer.len() < length.max(HEADER_BYTES) {
            return None;
        }
        Some(self.buffer.drain(..length).collect::<Vec<u8>>().into())
    }
}

/// What `message` says about routes; `None` when it isn't an UPDATE.
fn update(mut message: Bytes) -> Result<Option<Update>> {
    // Both ends are BIRD, which always agrees on four-octet AS numbers (RFC 6793).
    let message = parse_bgp_message(&mut message, false, &AsnLength::Bits32)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("can't parse a BGP message")?;
    let BgpMessage::Update(update) = message else {
        return Ok(None);
    };
    let BgpUpdateMessage {
        withdrawn_prefixes,
        attributes,
        announced_prefixes,
    } = update;
    let mut found = Update {
        announced: prefixes(&announced_prefixes),
        withdrawn: prefixes(&withdrawn_prefixes),
    };
    if let Some(nlri) = attributes.get_reachable_nlri() {
        found.announced.extend(prefixes(&nlri.prefixes));
    }
    if let Some(nlri) = attributes.get_unreachable_nlri() {
        found.withdrawn.extend(prefixes(&nlri.prefixes));
    }
    Ok(Some(found))
}

fn prefixes(list: &[NetworkPrefix]) -> Vec<Prefix> {
    list.iter()
        .map(|entry| (entry.prefix.addr(), entry.prefix.prefix_len()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{SERVICE_V4, SERVICE_V6};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + body.len()) as u16;
        [&MARKER[..], &length.to_be_bytes(), &[kind], body].concat()
    }

    fn withdraw_v4() -> Vec<u8> {
        message(2, &[0, 5, 32, 192, 0, 2, 53, 0, 0])
    }

    fn withdraw_v6() -> Vec<u8> {
        // MP_UNREACH_NLRI: optional, type 15; AFI 2, SAFI 1, one /128.
        let nlri = [&[0, 2, 1, 128][..], &SERVICE_V6.octets()].concat();
        let attribute = [&[0x80, 15, nlri.len() as u8][..], &nlri].concat();
        message(2, &[&[0, 0, 0, attribute.len() as u8][..], &attribute].concat())
    }

    const END_OF_RIB_V6: [u8; 10] = [0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1];

    #[test]
    fn withdrawals_of_both_families_are_seen() {
        let mut stream = Stream::default();
        let bytes = [message(4, &[]), withdraw_v4(), withdraw_v6()].concat();
        let updates = stream.push(7, &bytes);
        assert_eq!(updates.len(), 2);
        assert_eq!(updates[0].withdrawn, [(SERVICE_V4.into(), 32)]);
        assert_eq!(updates[1].withdrawn, [(SERVICE_V6.into(), 128)]);
    }

    #[test]
    fn an_end_of_rib_withdraws_nothing() {
        let mut stream = Stream::default();
        let bytes = [message(2, &[0, 0, 0, 0]), message(2, &END_OF_RIB_V6)].concat();
        assert_eq!(stream.push(0, &bytes), [Update::default(), Update::default()]);
    }

    #[test]
    fn a_message_may_be_cut_anywhere_and_come_twice() {
        let bytes = withdraw_v4();
        for cut in 1..bytes.len() {
            // The sequence number wraps inside the message.
            let start = u32::MAX - 3;
            let (head, tail) = bytes.split_at(cut);
            let mut stream = Stream::default();
            assert!(stream.push(start, head).is_empty());
            assert!(stream.push(start, head).is_empty());
            let sequence = start.wrapping_add(cut as u32);
            assert_eq!(stream.push(sequence, tail).len(), 1);
            assert!(stream.push(sequence, tail).is_empty());
        }
    }

    #[test]
    fn after_a_gap_or_garbage_the_stream_finds_its_way_back() {
        let bytes = withdraw_v4();
        let mut stream = Stream::default();
        assert!(stream.push(0, &bytes[..20]).is_empty());
        assert_eq!(stream.push(500, &bytes).len(), 1);
        assert!(stream.push(500 + bytes.len() as u32, &[1; 40]).is_empty());
        assert_eq!(stream.push(540 + bytes.len() as u32, &bytes).len(), 1);
        // A length below a header's.
        let mut short = bytes.clone();
        short[17] = 3;
        assert!(stream.push(540 + 2 * bytes.len() as u32, &short).is_empty());
    }
}
