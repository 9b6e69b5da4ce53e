//! From a frame to the counters that it changes: the one place where the programs and the host decide what counts.

use crate::{
    dns,
    layout::{Counters, Slot, Table, Unclassified},
    packet::{Datagram, Direction, Packet, datagram},
    table,
};

/// A datagram of a service.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'table> {
    /// The service.
    pub slot: &'table Slot,
    /// What the datagram is, or why that can't be told. It is a packet of the service either way.
    pub message: Result<dns::Message, Unclassified>,
}

/// What a frame is to the services in `table`: `Ok(None)` when it isn't theirs, `Err` when its ports can't be reached.
#[inline(always)]
pub fn observe<'table, P: Packet>(
    table: &'table Table,
    packet: &P,
    direction: Direction,
) -> Result<Option<Observed<'table>>, Unclassified> {
    let Some(Datagram { key, payload }) = datagram(packet, direction)? else {
        return Ok(None);
    };
    Ok(table::find(table, &key).map(|slot| Observed {
        slot,
        // One classifier so far; the next one makes this a match on `slot.classifier`.
        message: dns::message(packet, payload),
    }))
}

/// Counts a datagram of a service that was seen in `direction`.
///
/// A query on its way out or an answer on its way in is a packet and nothing else: it is no evidence of demand or life.
#[inline(always)]
pub fn count(counters: &mut Counters, direction: Direction, message: Option<dns::Message>) {
    match direction {
        Direction::Ingress => increment(&mut counters.packets_in),
        Direction::Egress => increment(&mut counters.packets_out),
    }
    match (direction, message) {
        (Direction::Ingress, Some(dns::Message::Query)) => increment(&mut counters.queries),
        (Direction::Egress, Some(dns::Message::Answer { truncated, codes })) => {
            increment(&mut counters.answers);
            if truncated {
                increment(&mut counters.truncated);
            }
            if let Some(responses) = counters.responses.get_mut(dns::rcode(codes)) {
                increment(responses);
            }
        }
        _ => {}
    }
}

/// Adds one, and wraps: a program in the kernel can't panic.
#[inline(always)]
pub fn increment(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}
