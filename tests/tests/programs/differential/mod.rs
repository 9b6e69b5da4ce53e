//! The same packets through the library on the host and through the loaded programs: whatever is in a packet, both count
//! the same. That the programs pass it unchanged is checked on the way.
//!
//! There are [`FRAMES`] mutated packets for each hook, or as many as `cargo xtask test --frames` asks for. Ten million
//! take some minutes.

mod kept;
mod mutation;
mod pair;
mod shapes;

use std::ops::Range;

use anycast_ebpf::packet::Tunnels;
use anycast_tests::differential::Run;
use anycast_user::datapath::LoadSettings;

use crate::{
    hooks::ALL,
    node::{Counted, GUE_PORT, Node, services, settings},
};
use mutation::Mutations;
use pair::Pair;
use serde_json::json;

pub(crate) use mutation::mutate;
pub(crate) use shapes::shapes;

const FRAMES: u64 = 30_000;
/// After so many all counters are compared. If they differ, these are run once more, one by one.
const BLOCK: usize = 1000;
/// After so many both sides start anew, with the next settings.
const EPOCH: u64 = 100_000;

/// What the programs are loaded with, in turn.
fn all_settings() -> [LoadSettings; 3] {
    let tunnels = Tunnels {
        ip_in_ip: true,
        gue_port: GUE_PORT,
    };
    [
        settings(),
        LoadSettings { tunnels, ..settings() },
        LoadSettings {
            atomic_counters: true,
            ..settings()
        },
    ]
}

#[test]
fn host_and_kernel_count_the_same() {
    let mut progress = Run::start(FRAMES);
    let frames = progress.frames();
    let settings = all_settings();
    let epoch = EPOCH.min(frames.div_ceil(settings.len() as u64)).max(1);
    let mutations = Mutations::new();
    let mut total = Counted::default();
    for (settings, start) in settings.iter().cycle().zip((0..frames).step_by(epoch as usize)) {
        let epoch = start..frames.min(start + epoch);
        let Some(counted) = run(&mutations, settings, epoch.clone()) else {
            return;
        };
        add(&mut total, &counted);
        progress.progress(epoch.end);
    }
    progress
        .finish(&json!({"hooks": ALL.len(), "unclassified": total.unclassified}))
        .expect("the report is written");
    // Of a few not everything has to occur.
    if frames >= FRAMES {
        everything_occurred(&total);
    }
}

/// Runs mutated packets on both sides and compares what they count; what that is. `None` where the programs can't be
/// loaded.
fn run(mutations: &Mutations, settings: &LoadSettings, epoch: Range<u64>) -> Option<Counted> {
    let mut pair = Pair::load(settings)?;
    for start in epoch.clone().step_by(BLOCK) {
        let block = start..epoch.end.min(start + BLOCK as u64);
        for number in block.clone() {
            meet(&mut pair, mutations, number);
        }
        if let Err(disagreement) = pair.compare() {
            blame(mutations, settings, epoch.start, block);
            panic!("only once, in a block of packets: {disagreement}");
        }
    }
    Some(pair.counted())
}

fn meet(pair: &mut Pair, mutations: &Mutations, number: u64) {
    let packet = mutations.packet(number);
    for hook in ALL {
        pair.meet(hook, packet.seen_by(hook));
    }
}

/// Names the packet of a block that is counted differently.
fn blame(mutations: &Mutations, settings: &LoadSettings, start: u64, block: Range<u64>) {
    let mut pair = Pair::load(settings).expect("it could be loaded before");
    for number in start..block.start {
        meet(&mut pair, mutations, number);
    }
    for number in block {
        let packet = mutations.packet(number);
        for hook in ALL {
            pair.meet(hook, packet.seen_by(hook));
            if let Err(disagreement) = pair.compare() {
                let bytes = packet.seen_by(hook);
                panic!("packet {number} by {hook:?} with {settings:?}: {disagreement}\n{bytes:02x?}");
            }
        }
    }
}

fn add(total: &mut Counted, counted: &Counted) {
    total.services.resize_with(counted.services.len(), Default::default);
    for ((reading, samples), (more, more_samples)) in total.services.iter_mut().zip(&counted.services) {
        reading.queries += more.queries;
        reading.answers += more.answers;
        reading.truncated += more.truncated;
        reading.hints += more.hints;
        reading.local_sources += more.local_sources;
        reading.local_answers += more.local_answers;
        samples.answered += more_samples.answered;
        samples.overwritten += more_samples.overwritten;
        samples.mismatched += more_samples.mismatched;
        samples.not_followed += more_samples.not_followed;
    }
    for (count, more) in total.unclassified.iter_mut().zip(counted.unclassified) {
        *count += more;
    }
}

/// Two that never count anything would agree, too.
fn everything_occurred(total: &Counted) {
    let Counted {
        services: counted,
        unclassified,
    } = total;
    assert!(
        unclassified.iter().all(|&count| count > 100),
        "every reason: {unclassified:?}"
    );
    let sum = |of: fn(&(_, _)) -> u64| counted.iter().map(of).sum::<u64>();
    assert!(sum(|(reading, _)| reading.truncated) > 100);
    assert!(sum(|(reading, _)| reading.hints) > 100);
    assert!(sum(|(reading, _)| reading.local_sources) > 100);
    assert_eq!(sum(|(reading, _)| reading.local_answers) > 100, Node::shows_sent());
    assert!(sum(|(_, samples)| samples.overwritten) > 10);
    assert!(sum(|(_, samples)| samples.mismatched) > 100);
    assert!(sum(|(_, samples)| samples.not_followed) > 10);
    // The last one is there to be missed.
    for (service, (reading, samples)) in services().iter().zip(counted).take(counted.len() - 1) {
        assert!(reading.queries > 3, "queries: {service:?} {reading:?}");
        let is_answered = !service.classifier.is_one_way();
        assert_eq!(reading.answers > 3, is_answered, "answers: {service:?} {reading:?}");
        assert_eq!(samples.answered > 3, is_answered, "times: {service:?} {samples:?}");
    }
}
