//! The lab's one question, and who answers it.
//!
//! The zone `example.` (RFC 2606) has a TXT record at `node.example.` that is another on each node, so an answer tells
//! which node gave it.

use crate::node::Node;
use anyhow::Result;
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::Txt;

/// The zone that the servers have.
pub const ZONE: &str = "example.";
/// The name that is asked for.
pub const QUESTION: &str = "node.example.";
/// The port of DNS.
pub const PORT: u16 = 53;

/// A query for [`QUESTION`], with ID 0: its first two octets are for the caller to fill.
pub fn query() -> Result<Vec<u8>> {
    let name: Name<Vec<u8>> = QUESTION.parse()?;
    let mut message = MessageBuilder::new_vec().question();
    message.push((name, Rtype::TXT))?;
    Ok(message.finish())
}

/// The ID of an answer and the node that gave it; `None` when `message` is anything else.
#[must_use]
pub fn read_answer(message: &[u8]) -> Option<(u16, Node)> {
    let message = Message::from_octets(message).ok()?;
    let header = message.header();
    if !header.qr() || header.rcode() != Rcode::NOERROR {
        return None;
    }
    let mut records = message.answer().ok()?.limit_to::<Txt<_>>();
    let record = records.next()?.ok()?;
    let node = record.data().iter().next().and_then(Node::from_name)?;
    Some((header.id(), node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::responder;

    #[test]
    fn the_answer_to_the_query_tells_the_node() {
        let mut query = query().unwrap();
        query[..2].copy_from_slice(&0xabcd_u16.to_be_bytes());
        assert_eq!(read_answer(&query), None, "a query is no answer");
        for node in Node::ALL {
            let answer = responder::answer(&query, node).unwrap();
            assert_eq!(read_answer(&answer), Some((0xabcd, node)));
            for cut in 0..answer.len() {
                assert_eq!(read_answer(&answer[..cut]), None);
            }
        }
    }
}
