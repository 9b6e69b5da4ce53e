//! The answer that would be sent to a packet, or the query to an answer.

use std::ops::Range;

use anycast_ebpf::packet::{self, Direction, Followed, View};

/// The other way, with source and destination swapped; `None` for what has none, or more between its addresses and its
/// ports than the IP header.
pub(crate) fn reversed(frame: &[u8], view: View) -> Option<(Vec<u8>, View)> {
    let Ok(Followed::Flow(flow)) = packet::follow(&frame, view) else {
        return None;
    };
    let (source, destination) = addresses(frame, flow.transport)?;
    let mut answer = frame.to_vec();
    swap(&mut answer, source, destination);
    let ports = flow.transport;
    swap(&mut answer, ports..ports + 2, ports + 2..ports + 4);
    // DNS: the answer to a query, and the other way round.
    if let Some(flags) = answer.get_mut(ports + 10) {
        *flags ^= 0x80;
    }
    let direction = match view.direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    Some((answer, View { direction, ..view }))
}

/// Where the addresses are in the IP header that ends where the transport header starts.
fn addresses(frame: &[u8], transport: usize) -> Option<(Range<usize>, Range<usize>)> {
    let version = |header_bytes: usize| {
        let start = transport.checked_sub(header_bytes)?;
        Some((start, frame.get(start)? >> 4))
    };
    match (version(20), version(40)) {
        (Some((start, 4)), _) => Some((start + 12..start + 16, start + 16..start + 20)),
        (_, Some((start, 6))) => Some((start + 8..start + 24, start + 24..start + 40)),
        _ => None,
    }
}

fn swap(bytes: &mut [u8], one: Range<usize>, other: Range<usize>) {
    for (one, other) in one.zip(other) {
        bytes.swap(one, other);
    }
}
