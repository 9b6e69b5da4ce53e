//! Packets by number, each mutated in its own way.

use anycast_tests::corpus::{self, Input};

use super::shapes::{Shape, shapes};
use crate::frames::CLIENT_PORT;

const SEED: u64 = 53;
/// Most headers end here.
const HEADERS_BYTES: usize = 70;

/// Makes the packets.
pub(super) struct Mutations {
    shapes: Vec<Shape>,
}

impl Mutations {
    pub(super) fn new() -> Self {
        let mut shapes = shapes();
        let corpus = corpus::read().expect("the corpus");
        let inputs = corpus.values().filter_map(|bytes| Input::parse(bytes));
        let whole = inputs.filter(|input| !input.starts_with_ip() && input.frame.len() >= HEADERS_BYTES);
        shapes.extend(whole.map(|input| Shape::of_frame(input.frame)));
        Self { shapes }
    }

    /// The packet of a number: always the same.
    pub(super) fn packet(&self, number: u64) -> Shape {
        let mut random = fastrand::Rng::with_seed(SEED ^ number);
        let mut shape = random.choice(&self.shapes).expect("there are some").clone();
        // Of many clients, so that they come into each other's way.
        if random.u8(0..4) == 0 {
            set_client_port(&mut shape.frame, random.u16(..));
        }
        if random.u8(0..4) != 0 {
            mutate(&mut random, &mut shape.frame);
        }
        shape
    }
}

fn set_client_port(frame: &mut [u8], port: u16) {
    let place = frame.windows(2).position(|bytes| bytes == CLIENT_PORT.to_be_bytes());
    if let Some(place) = place {
        frame[place..place + 2].copy_from_slice(&port.to_be_bytes());
    }
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
