//! Replay: a recording through the real programs, to see what they would have counted.
//!
//! Each packet of a capture goes through the loaded program of its direction, by a test run, on maps that are made for
//! this and go with it: nothing is attached, and what a daemon on the same machine counts stays its own.
//!
//! The other kind of recording, of samples, is replayed by [`recording`](crate::recording).

mod direction;
mod error;
mod frame;
mod outcome;
mod services;

use std::{
    collections::HashSet,
    io::{BufReader, Read},
    net::IpAddr,
    path::Path,
    time::Duration,
};

use anycast_ebpf::{
    layout::UNCLASSIFIED_REASONS,
    packet::{self, Direction, Tunnels},
};

use self::frame::Frames;
pub use self::{
    error::ReplayError,
    outcome::{Outcome, ServiceOutcome},
    services::ReplayedService,
};
use crate::{
    capture::{Capture, Packet},
    config::Config,
    datapath::{Datapath, DatapathError, LoadSettings, TEST_RUN_MIN_BYTES},
    progress::Progress,
};

/// Bytes that are read from the file at once.
const READ_BYTES: usize = 1 << 18;

/// Pushes the packets of the capture that `input` gives through the programs, which know the services of `config`. `file`
/// is its name, and `length` its bytes (0: nobody knows).
///
/// A service whose addresses `config` doesn't name has those of its link, which then has to be here; uplinks need not.
/// Tells how far it is on stderr, if that is a terminal.
pub fn run(file: &Path, input: impl Read, length: u64, config: &Config) -> Result<Outcome, ReplayError> {
    let services = services::of(config)?;
    let read = |source| ReplayError::Capture {
        file: file.to_owned(),
        source,
    };
    let mut capture = Capture::open(BufReader::with_capacity(READ_BYTES, input)).map_err(read)?;
    let mut replay = Replay::new(services, config.encapsulation)?;
    let mut progress = Progress::on_stderr("packets", 1 << 12, length);
    loop {
        let bytes_read = capture.bytes_read();
        let Some(packet) = capture.next_packet().map_err(read)? else {
            break;
        };
        progress.tell(packet.number, bytes_read);
        replay.take(&packet).map_err(|source| ReplayError::Packet {
            file: file.to_owned(),
            packet: packet.number,
            source,
        })?;
    }
    Ok(replay.outcome(file))
}

/// A replay under way.
#[derive(Debug)]
struct Replay {
    datapath: Datapath,
    services: Vec<ReplayedService>,
    addresses: HashSet<IpAddr>,
    tunnels: Tunnels,
    frames: Frames,
    /// Packets too short for a test run, by the reason that the programs would have given.
    too_short: [u64; UNCLASSIFIED_REASONS],
    packets: u64,
    other: u64,
    first: Option<Duration>,
    last: Option<Duration>,
}

impl Replay {
    fn new(services: Vec<ReplayedService>, tunnels: Tunnels) -> Result<Self, ReplayError> {
        let loaded: Vec<_> = services.iter().map(ReplayedService::for_programs).collect();
        let settings = LoadSettings {
            tunnels,
            ..LoadSettings::default()
        };
        Ok(Self {
            datapath: Datapath::load(&loaded, &settings)?,
            addresses: services.iter().map(|service| service.address).collect(),
            services,
            tunnels,
            frames: Frames::default(),
            too_short: [0; UNCLASSIFIED_REASONS],
            packets: 0,
            other: 0,
            first: None,
            last: None,
        })
    }

    fn take(&mut self, packet: &Packet<'_>) -> Result<(), DatapathError> {
        let frame = self.frames.of(packet);
        let is_service = |address: &IpAddr| self.addresses.contains(address);
        let direction = direction::of(frame.bytes, frame.direction, is_service);
        self.packets += 1;
        if direction.is_none() && !direction::is_tunnelled(frame.bytes, self.tunnels, is_service) {
            self.other += 1;
        }
        // Those of nobody too: they may be ones that can't be read, and then the reason is counted.
        let direction = direction.unwrap_or(Direction::Ingress);
        if frame.bytes.len() >= TEST_RUN_MIN_BYTES {
            self.datapath.test_run(direction, frame.bytes)?;
        } else if let Err(reason) = packet::follow(&frame.bytes, direction::view(direction, self.tunnels))
            && let Some(count) = self.too_short.get_mut(reason as usize)
        {
            *count += 1;
        }
        // Not all captures are in order.
        if let Some(time) = packet.time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        Ok(())
    }

    fn outcome(self, file: &Path) -> Outcome {
        let bank = self.datapath.bank();
        let mut unclassified = bank.unclassified();
        for (count, too_short) in unclassified.iter_mut().zip(self.too_short) {
            *count += too_short;
        }
        let services = self.services.into_iter().enumerate();
        Outcome {
            file: file.to_owned(),
            packets: self.packets,
            other: self.other,
            services: services
                .map(|(index, service)| ServiceOutcome {
                    service,
                    counted: bank.read(index),
                })
                .collect(),
            unclassified,
            first: self.first,
            last: self.last,
        }
    }
}
