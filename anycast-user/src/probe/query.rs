//! The query that a probe sends, and what counts as an answer to it.

use bytes::{Bytes, BytesMut};
use domain::base::iana::Class;
use domain::base::{Message, MessageBuilder, Name, Question, Rtype};

use super::ProbeError;

/// The query, composed once; a probe differs from the next by its ID.
pub(super) struct Query {
    message: BytesMut,
    question: Question<Name<Bytes>>,
}

impl Query {
    pub(super) fn new() -> Result<Self, ProbeError> {
        let name: Name<Bytes> = "id.server."
            .parse()
            .map_err(|error| ProbeError::Query(format!("name: {error}")))?;
        let question = Question::new(name, Rtype::TXT, Class::CH);
        let mut builder = MessageBuilder::from_target(BytesMut::with_capacity(64))
            .map_err(|error| ProbeError::Query(format!("header: {error}")))?
            .question();
        builder
            .push(&question)
            .map_err(|error| ProbeError::Query(format!("question: {error}")))?;
        Ok(Self {
            message: builder.finish(),
            question,
        })
    }

    /// The query with this ID.
    pub(super) fn with_id(&mut self, id: u16) -> &[u8] {
        if let Some(start) = self.message.first_chunk_mut() {
            *start = id.to_be_bytes();
        }
        &self.message
    }

    /// Whether `datagram` is an answer to the query with this ID, with whatever response code.
    pub(super) fn is_answered_by(&self, datagram: &[u8], id: u16) -> bool {
        let Ok(message) = Message::from_octets(datagram) else {
            return false;
        };
        let header = message.header();
        header.id() == id && header.qr() && message.sole_question().is_ok_and(|question| question == self.question)
    }
}

/// An ID that nobody can guess.
pub(super) fn random_id() -> u16 {
    let mut header = domain::base::Header::new();
    header.set_random_id();
    header.id()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `id.server. CH TXT` by RFC 1035, written out.
    const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x02id\x06server\0\0\x10\0\x03";

    fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = QUERY.to_vec();
        bytes[2] = 0x84;
        change(&mut bytes);
        bytes
    }

    #[test]
    fn the_query_is_what_the_wire_format_says() {
        assert_eq!(Query::new().unwrap().with_id(0x1234), QUERY);
    }

    #[test]
    fn any_response_code_and_letter_case_is_an_answer() {
        let query = Query::new().unwrap();
        for rcode in 0..16 {
            assert!(query.is_answered_by(&answer(|bytes| bytes[3] = rcode), 0x1234));
        }
        assert!(query.is_answered_by(&answer(|bytes| bytes[13] = b'I'), 0x1234));
        // A truncated answer, and one whose records are nonsense, still came from a server that read the query.
        assert!(query.is_answered_by(&answer(|bytes| bytes[2] |= 0x02), 0x1234));
        assert!(query.is_answered_by(&answer(|bytes| bytes.extend([0xff; 9])), 0x1234));
    }

    #[test]
    fn what_is_not_an_answer_does_not_count() {
        let query = Query::new().unwrap();
        assert!(!query.is_answered_by(QUERY, 0x1234), "an echo");
        assert!(!query.is_answered_by(&answer(|_| {}), 0x1235), "another ID");
        assert!(
            !query.is_answered_by(&answer(|bytes| bytes[14] = b'x'), 0x1234),
            "another name"
        );
        assert!(
            !query.is_answered_by(&answer(|bytes| bytes[26] = 1), 0x1234),
            "another class"
        );
        assert!(
            !query.is_answered_by(&answer(|bytes| bytes[5] = 0), 0x1234),
            "no question"
        );
        assert!(
            !query.is_answered_by(&answer(|bytes| bytes[5] = 2), 0x1234),
            "a second question that isn't there"
        );
        for length in 0..QUERY.len() {
            assert!(
                !query.is_answered_by(&answer(|bytes| bytes.truncate(length)), 0x1234),
                "cut at {length}"
            );
        }
        // A name that points to itself.
        assert!(!query.is_answered_by(&answer(|bytes| bytes[12..14].copy_from_slice(&[0xc0, 12])), 0x1234));
    }

    proptest! {
        #[test]
        fn garbage_is_no_answer_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            prop_assert!(!Query::new().unwrap().is_answered_by(&bytes, 0x1234));
        }
    }
}
