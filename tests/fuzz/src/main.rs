//! The fuzz target `frame`: whatever is in a packet, the library that the kernel programs are made of takes it in
//! without a panic, and what it counts can be.
//!
//! An input is one packet. So that what is kept between packets is reached too, it is met again, as the answer that
//! would be sent to it, and once more much later.

#![no_main]

#[path = "../../src/corpus/input.rs"]
mod input;
mod memory;
mod reverse;
mod services;

use std::{cell::Cell, sync::LazyLock};

use anycast_ebpf::{
    layout::Services,
    packet::{self, Direction, Flow, Followed, Framing, Take, Tunnels, View},
    record::{active_table, recognise, record},
};
use input::Input;
use libfuzzer_sys::fuzz_target;
use memory::{Counted, OneCpu};

/// Between a query and its answer, in nanoseconds.
const SOON: u64 = 1_000_000;
/// Longer than anybody waits for an answer.
const LATE: u64 = 100_000_000_000;

static SERVICES: LazyLock<Box<Services>> = LazyLock::new(services::services);

fuzz_target!(|bytes: &[u8]| {
    if let Some(input) = Input::parse(bytes) {
        check(&input);
    }
});

fn check(input: &Input<'_>) {
    let view = View {
        direction: if input.is_egress() {
            Direction::Egress
        } else {
            Direction::Ingress
        },
        framing: if input.starts_with_ip() {
            Framing::Ip
        } else {
            Framing::Ethernet
        },
        tunnels: Tunnels {
            ip_in_ip: input.looks_through_ip_in_ip(),
            gue_port: input.gue_port().unwrap_or(0),
        },
    };
    ways_agree(input.frame, view);
    let mut memory = OneCpu::new();
    meet(&mut memory, input.frame, view);
    // The same again is a repeated query or answer.
    meet(&mut memory, input.frame, view);
    memory.check_repeated();
    if let Some((answer, back)) = reverse::reversed(input.frame, view) {
        memory.now += SOON;
        meet(&mut memory, &answer, back);
        meet(&mut memory, &answer, back);
    }
    memory.now += LATE;
    meet(&mut memory, input.frame, view);
    memory.check_latency();
}

/// The fast path gives what the general one gives, which points into the packet.
fn ways_agree(frame: &[u8], view: View) {
    let followed = packet::follow(&frame, view);
    if let Ok(Followed::Flow(flow)) = followed {
        assert!(flow.transport + 8 <= frame.len(), "ports beyond the end: {flow:?}");
    }
    let taken = Cell::new(None);
    let is_common = packet::fast(&frame, view, Keep(&taken)).is_some();
    assert_eq!(is_common, taken.get().is_some(), "it is taken and left as well");
    if let Some(flow) = taken.get() {
        assert_eq!(followed, Ok(Followed::Flow(flow)), "the fast path differs");
    }
}

/// What the fast path gives.
struct Keep<'a>(&'a Cell<Option<Flow>>);

impl Take for Keep<'_> {
    fn take(self, flow: &Flow) {
        self.0.set(Some(*flow));
    }
}

/// Counts a packet, and checks what that changed. Once in the program, so that a place in the library is one place.
#[inline(never)]
fn meet(memory: &mut OneCpu, frame: &[u8], view: View) {
    record(memory, &SERVICES, &frame, view, || frame);
    let counted = memory.take();
    let service = active_table(&SERVICES).and_then(|table| recognise(table, &frame, view).ok().flatten());
    let Counted {
        bank,
        queries,
        answers,
        packets_in,
        packets_out,
        truncated,
        responses,
        hints,
        local_sources,
        local_answers,
        unclassified,
    } = counted;
    assert_eq!(
        local_answers, 0,
        "the hooks of an interface are no sockets: {counted:?}"
    );
    // A packet is counted once, for its service, in its direction; an ICMP message about a service is none of its.
    let packets = match view.direction {
        Direction::Ingress => (1, 0),
        Direction::Egress => (0, 1),
    };
    match service {
        Some(slot) => assert!(
            bank == Some(slot.bank) && (packets_in, packets_out) == packets,
            "{counted:?}"
        ),
        None => assert!(
            (packets_in, packets_out) == (0, 0) && bank.is_some() == (hints == 1),
            "{counted:?}"
        ),
    }
    // And it is at most one thing.
    assert!(
        queries + answers + hints + local_sources + unclassified <= 1,
        "{counted:?}"
    );
    assert!(queries + local_sources <= packets_in, "{counted:?}");
    assert!(answers <= packets_out, "{counted:?}");
    assert!(truncated <= answers && responses <= answers, "{counted:?}");
}
