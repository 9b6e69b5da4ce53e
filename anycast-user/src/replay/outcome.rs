//! What the programs counted, in JSON and in words.

use std::{fmt, path::PathBuf, time::Duration};

use anycast_ebpf::layout::{RCODE_NAMES, UNCLASSIFIED_NAMES, UNCLASSIFIED_REASONS};
use serde_json::{Map, Value, json};

use super::services::ReplayedService;
use crate::{datapath::Reading, table::Table};

/// What became of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// Packets of them that come from no service address and go to none, or that don't tell.
    pub other: u64,
    /// What was counted for each service address.
    pub services: Vec<ServiceOutcome>,
    /// Packets that could not be classified, by the value of [`Unclassified`](anycast_ebpf::layout::Unclassified).
    pub unclassified: [u64; UNCLASSIFIED_REASONS],
    /// The earliest time of a packet, since the start of 1970 UTC.
    pub first: Option<Duration>,
    /// The latest time of a packet.
    pub last: Option<Duration>,
}

/// What was counted for a service at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceOutcome {
    /// The service.
    pub service: ReplayedService,
    /// Its counters.
    pub counted: Reading,
}

impl Outcome {
    /// The object that `--json` prints.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let services: Vec<Value> = self.services.iter().map(ServiceOutcome::to_json).collect();
        json!({
            "file": self.file.to_string_lossy(),
            "packets": self.packets,
            "other": self.other,
            "services": services,
            "unclassified": named(UNCLASSIFIED_NAMES, self.unclassified),
            "first_t": self.first.map(|time| time.as_secs_f64()),
            "last_t": self.last.map(|time| time.as_secs_f64()),
        })
    }
}

impl ServiceOutcome {
    fn to_json(&self) -> Value {
        let ReplayedService {
            link,
            name,
            address,
            port,
            protocol,
        } = &self.service;
        let Reading {
            queries,
            answers,
            packets_in,
            packets_out,
            truncated,
            responses,
            hints,
            local_sources,
            // Nothing leaves a socket in a replay.
            local_answers: _,
        } = self.counted;
        json!({
            "link": link, "service": name, "address": address, "port": port, "protocol": protocol.name(),
            "packets_in": packets_in, "packets_out": packets_out, "queries": queries, "answers": answers,
            "truncated": truncated, "responses": named(RCODE_NAMES, responses), "hints": hints,
            "local_sources": local_sources,
        })
    }
}

fn named<const N: usize>(names: [&str; N], counts: [u64; N]) -> Map<String, Value> {
    let entries = names.into_iter().zip(counts);
    entries.map(|(name, count)| (name.to_owned(), count.into())).collect()
}

/// The columns of the table: a title, and whether it is of numbers.
const COLUMNS: [(&str, bool); 12] = [
    ("link", false),
    ("service", false),
    ("address", false),
    ("protocol", false),
    ("port", true),
    ("packets in", true),
    ("packets out", true),
    ("queries", true),
    ("answers", true),
    ("truncated", true),
    ("hints", true),
    ("local sources", true),
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, other, .. } = self;
        let file = self.file.display();
        writeln!(
            f,
            "{file}: {packets} packets, {other} neither to nor from a service address"
        )?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            writeln!(f, "from {} to {}", Utc(first), Utc(last))?;
        }
        writeln!(f)?;
        write!(
            f,
            "{}",
            Table::new(COLUMNS, self.services.iter().map(ServiceOutcome::cells))
        )?;
        writeln!(f)?;
        for ServiceOutcome { service, counted } in &self.services {
            if counted.answers > 0 {
                let ReplayedService { name, address, .. } = service;
                let answers = Occurred(&RCODE_NAMES, &counted.responses);
                writeln!(f, "answers of {name} at {address}: {answers}")?;
            }
        }
        write!(f, "unclassified: {}", Occurred(&UNCLASSIFIED_NAMES, &self.unclassified))
    }
}

impl ServiceOutcome {
    fn cells(&self) -> [String; COLUMNS.len()] {
        let ReplayedService {
            link,
            name,
            address,
            port,
            protocol,
        } = &self.service;
        let counted = &self.counted;
        [
            link.clone(),
            name.clone(),
            address.to_string(),
            protocol.name().to_owned(),
            port.to_string(),
            counted.packets_in.to_string(),
            counted.packets_out.to_string(),
            counted.queries.to_string(),
            counted.answers.to_string(),
            counted.truncated.to_string(),
            counted.hints.to_string(),
            counted.local_sources.to_string(),
        ]
    }
}

/// Counts that are not zero, with their names.
struct Occurred<'a>(&'a [&'a str], &'a [u64]);

impl fmt::Display for Occurred<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, counts) = self;
        let mut occurred = names.iter().zip(*counts).filter(|(_, count)| **count > 0);
        let Some((name, count)) = occurred.next() else {
            return f.write_str("none");
        };
        write!(f, "{name} {count}")?;
        occurred.try_for_each(|(name, count)| write!(f, ", {name} {count}"))
    }
}

/// A time as a date, or in seconds where no calendar reaches.
struct Utc(Duration);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The end of the year 9999.
        const CALENDAR_END_SECONDS: u64 = 253_402_300_800;
        match std::time::UNIX_EPOCH.checked_add(self.0) {
            Some(time) if self.0.as_secs() < CALENDAR_END_SECONDS => humantime::format_rfc3339_micros(time).fmt(f),
            _ => write!(f, "{} s", self.0.as_secs()),
        }
    }
}
