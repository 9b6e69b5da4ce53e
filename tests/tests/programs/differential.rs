//! The same frames through the library on the host and through the loaded programs: whatever is in a frame, both count the
//! same. That the programs pass it unchanged is checked on the way.

use anycast_ebpf::{
    host::Host,
    layout::{Counter, UNCLASSIFIED_REASONS},
    packet::{Direction, Framing, Tunnels, View},
};
use anycast_user::datapath::{Reading, locals, slots};

use crate::frames::{
    ALL, ANSWER, CLIENT, CLIENT_V6, Hook, QUERY, SERVFAIL_TRUNCATED, SERVICE, SERVICE_V6, V4, V6, everything,
    is_runnable, load, pass, services, v4, v6,
};

/// Mutated frames for each hook.
const FRAMES: u32 = 30_000;
const SEED: u64 = 53;
/// Most headers end here.
const HEADERS_BYTES: usize = 70;

fn host() -> Host {
    let services = services();
    let numbers: Vec<u16> = (0..).take(services.len()).collect();
    Host::new(&slots(&services, &numbers, 1), &locals(&services, &[]), 0, 1).expect("a perfect hash")
}

fn everything_on(host: &Host) -> (Vec<Reading>, [u64; UNCLASSIFIED_REASONS]) {
    let memory = host.memory();
    (
        memory.counters.iter().map(Reading::from).collect(),
        memory.unclassified.by_reason.each_ref().map(Counter::get),
    )
}

/// Frames that reach every branch of the parser, to start from.
pub(crate) fn crafted() -> Vec<Vec<u8>> {
    let extended = |extensions: &[u8], first: u8| {
        let mut frame = v6(CLIENT_V6, SERVICE_V6, (40000, 53), &QUERY);
        frame[20] = first;
        frame.splice(54..54, extensions.iter().copied());
        frame
    };
    let mut frames = vec![
        v4(CLIENT, SERVICE, (40000, 53), &QUERY),
        v4(SERVICE, CLIENT, (53, 40000), &ANSWER),
        v4(SERVICE, CLIENT, (5353, 40000), &SERVFAIL_TRUNCATED),
        v4(CLIENT, SERVICE, (53, 53), &QUERY),
        v6(CLIENT_V6, SERVICE_V6, (40000, 53), &QUERY),
        v6(SERVICE_V6, CLIENT_V6, (53, 40000), &SERVFAIL_TRUNCATED),
        extended(&[17, 0, 1, 4, 0, 0, 0, 0], 0),
        extended(
            &[
                43, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9,
            ],
            60,
        ),
    ];
    for tags in [&[0x8100_u16][..], &[0x88a8, 0x8100], &[0x8100, 0x8100, 0x8100]] {
        let mut frame = v4(CLIENT, SERVICE, (40000, 53), &QUERY);
        for tag in tags {
            let [high, low] = tag.to_be_bytes();
            frame.splice(12..12, [high, low, 0, 5]);
        }
        frames.push(frame);
    }
    let mut options = v4(SERVICE, CLIENT, (53, 40000), &ANSWER);
    options[14] = 0x47;
    options.splice(34..34, [1; 8]);
    frames.push(options);
    frames
}

/// Changes a few bytes, half of the time in the headers, and sometimes the length.
pub(crate) fn mutate(random: &mut fastrand::Rng, frame: &mut Vec<u8>) {
    for _ in 0..random.usize(0..4) {
        let reach = if random.bool() { HEADERS_BYTES } else { usize::MAX };
        let position = random.usize(0..frame.len().min(reach));
        frame[position] = match random.u8(0..4) {
            0 => random.u8(..),
            1 => frame[position] ^ (1 << random.u8(0..8)),
            2 => [0, 1, 0x7f, 0x80, 0xff][random.usize(0..5)],
            _ => frame[random.usize(0..frame.len())],
        };
    }
    match random.u8(0..8) {
        0 => frame.truncate(random.usize(14..=frame.len())),
        1 => frame.extend((0..random.usize(0..300)).map(|_| 0xa5)),
        _ => {}
    }
}

#[test]
fn host_and_kernel_count_the_same() {
    let Some(mut datapath) = load() else { return };
    let host = host();
    let crafted = crafted();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut run = anycast_tests::differential::Run::start(FRAMES.into());
    for number in 0..run.frames() {
        if number % 1000 == 0 {
            run.progress(number);
        }
        let mut frame = crafted[number as usize % crafted.len()].clone();
        if number as usize >= crafted.len() {
            mutate(&mut random, &mut frame);
        }
        for hook in ALL {
            if is_runnable(hook, &frame) {
                pass(&mut datapath, hook, &frame);
                let direction = if hook == Hook::TcEgress {
                    Direction::Egress
                } else {
                    Direction::Ingress
                };
                let view = View {
                    direction,
                    framing: Framing::Ethernet,
                    tunnels: Tunnels::default(),
                };
                host.record(&frame, view);
                assert_eq!(
                    everything(&datapath),
                    everything_on(&host),
                    "seed {SEED}, {number}: {hook:?} {frame:02x?}"
                );
            }
        }
    }
    let (readings, unclassified) = everything_on(&host);
    run.finish(&serde_json::json!({"unclassified": unclassified})).unwrap();
    assert!(
        unclassified.iter().all(|&count| count > 100),
        "every reason occurred: {unclassified:?}"
    );
    let lively = |service: usize| readings[service].queries > 1000 && readings[service].answers > 1000;
    assert!(lively(V4) && lively(V6), "queries and answers occurred: {readings:?}");
}
