//! UDP of any kind: only the direction tells.

use super::Message;
use crate::{
    layout::Unclassified,
    packet::{Direction, Flow, Packet},
};

/// Whatever comes in is a query, whatever leaves an answer.
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "the signature of all classifiers")]
pub(super) fn message<P: Packet>(_: &P, _: &Flow, direction: Direction) -> Result<Message, Unclassified> {
    Ok(match direction {
        Direction::Ingress => Message::Query { id: 0 },
        Direction::Egress => Message::answer(0),
    })
}

/// Whatever comes in is a query; nothing answers.
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "the signature of all classifiers")]
pub(super) fn one_way<P: Packet>(_: &P, _: &Flow, _: Direction) -> Result<Message, Unclassified> {
    Ok(Message::Query { id: 0 })
}
