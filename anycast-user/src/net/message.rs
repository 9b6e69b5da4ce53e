//! Netlink messages: requests serialised beforehand, answers taken apart.

use std::io;

use netlink_packet_core::{
    DoneBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};

use super::NetError;

/// A request, serialised once; sending it only patches its sequence number.
pub(crate) struct Request {
    bytes: Vec<u8>,
    operation: &'static str,
}

impl Request {
    /// `flags` come on top of `NLM_F_REQUEST`; without (all of) `NLM_F_DUMP` an acknowledgement is asked for.
    pub(crate) fn new<M>(operation: &'static str, message: M, flags: u16) -> Self
    where
        M: NetlinkSerializable + Into<NetlinkPayload<M>>,
    {
        let mut message = NetlinkMessage::from(message);
        let end = if flags & NLM_F_DUMP == NLM_F_DUMP { 0 } else { NLM_F_ACK };
        message.header.flags = NLM_F_REQUEST | end | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Self { bytes, operation }
    }

    /// What is being asked, for errors.
    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn set_sequence(&mut self, sequence: u32) {
        NetlinkBuffer::new(&mut self.bytes).set_sequence_number(sequence);
    }
}

/// One message from the kernel.
pub(crate) struct Reply<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages in one datagram; ends at the first that makes no sense.
pub(super) struct Replies<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Replies<'a> {
    type Item = Result<Reply<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        Some(match NetlinkBuffer::new_checked(bytes) {
            Ok(message) => {
                // `new_checked` made sure that the length is between the header's and that of `bytes`.
                let end = (message.length() as usize).next_multiple_of(4);
                self.0 = bytes.get(end..).unwrap_or_default();
                Ok(Reply {
                    kind: message.message_type(),
                    flags: message.flags(),
                    sequence: message.sequence_number(),
                    payload: message.payload(),
                })
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

/// The error number in an acknowledgement or at the end of a list.
pub(super) fn status(operation: &'static str, reply: &Reply<'_>) -> Result<(), NetError> {
    // Both start with a (negative) error number; an empty end of a list means success.
    let code = match DoneBuffer::new_checked(reply.payload) {
        Ok(done) => done.code(),
        Err(_) if reply.kind == NLMSG_DONE && reply.payload.is_empty() => 0,
        Err(error) => {
            return Err(NetError::Malformed {
                operation,
                reason: error.to_string(),
            });
        }
    };
    match code {
        0 => Ok(()),
        _ => Err(NetError::Kernel {
            operation,
            source: io::Error::from_raw_os_error(code.saturating_neg()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::AddressFamily;
    use proptest::prelude::*;

    use super::*;
    use crate::net::{LinkIndex, Side, decode, tc};

    #[test]
    fn a_datagram_is_split_at_aligned_lengths() {
        let mut bytes = Vec::new();
        for (sequence, payload) in [(7_u32, 5_usize), (8, 4)] {
            let length = 16 + payload;
            bytes.extend((length as u32).to_ne_bytes());
            bytes.extend([16, 0, 0, 0]);
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend(0_u32.to_ne_bytes());
            bytes.extend(vec![0xaa; payload]);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let seen: Vec<_> = Replies(&bytes)
            .map(|reply| reply.map(|r| (r.sequence, r.payload.len())))
            .collect();
        assert_eq!(seen, [Ok((7, 5)), Ok((8, 4))]);
    }

    proptest! {
        #[test]
        fn hostile_datagrams_end_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(Replies(&bytes).count() <= bytes.len() / 16 + 1);
        }

        #[test]
        fn hostile_attributes_never_panic(
            kind in 16_u16..46,
            body in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(4), Just(8), any::<u8>()], 0..160),
        ) {
            let reply = Reply { kind, flags: 0, sequence: 1, payload: &body };
            let _ = decode::link(&reply);
            let _ = decode::address(&reply);
            let _ = tc::filter(&reply, LinkIndex(1), Side::Egress);
            let _ = decode::route(&reply, AddressFamily::Inet);
            let _ = decode::route(&reply, AddressFamily::Inet6);
            let _ = status("test", &reply);
        }
    }
}
