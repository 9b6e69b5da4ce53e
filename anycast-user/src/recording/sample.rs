//! One line of a recording: the counters of a service at a moment, and what a burst of probes would find then.

use std::borrow::Cow;

use super::{error::LineError, json, quick};
use crate::{clock::MonotonicTime, policy::PROBES_IN_BURST};

/// The longest name of a service, in bytes: that of the configuration, an `@` and an address fit in.
const NAME_BYTES_MAX: usize = 255;

/// A sample. Counters are cumulative: what was counted since somebody began to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'line> {
    /// When: `t_ms`, milliseconds of any clock that doesn't run backwards, kept in nanoseconds.
    pub at: MonotonicTime,
    /// The name of the service, at most 255 bytes without control characters.
    pub service: Cow<'line, str>,
    /// Queries that arrived.
    pub queries: u64,
    /// Answers that left by the uplinks.
    pub answers: u64,
    /// All packets that arrived for the service. Default: as many as queries.
    pub packets: u64,
    /// Signs that nobody listens: ICMP port unreachable, TCP RST. Default: none.
    pub hints: u64,
    /// Answers that say SERVFAIL. Default: none.
    pub servfails: u64,
    /// Answers that left the server's sockets, wherever they went then. Default: not known.
    pub local_answers: Option<u64>,
    /// How many of a burst of 16 probes, sent now, would be answered. Default: 16.
    pub probe_answered: u8,
    /// How many of them would find no socket. Default: none. With those answered at most 16: answers count first.
    pub probe_refused: u8,
    /// The first key that means nothing here, for a warning: it may be a slip of the pen.
    pub unknown: Option<Cow<'line, str>>,
}

impl<'line> Sample<'line> {
    /// Reads one line.
    pub fn parse(line: &'line [u8]) -> Result<Self, LineError> {
        match quick::parse(line) {
            Some(sample) => Ok(sample),
            None => json::parse(line),
        }
    }
}

/// What a line says, key by key.
#[derive(Debug, Default)]
pub(super) struct Fields<'line> {
    pub(super) at: Option<MonotonicTime>,
    pub(super) service: Option<Cow<'line, str>>,
    pub(super) queries: Option<u64>,
    pub(super) answers: Option<u64>,
    pub(super) packets: Option<u64>,
    pub(super) hints: Option<u64>,
    pub(super) servfails: Option<u64>,
    pub(super) local_answers: Option<u64>,
    pub(super) probe_answered: Option<u8>,
    pub(super) probe_refused: Option<u8>,
    pub(super) unknown: Option<Cow<'line, str>>,
}

impl<'line> Fields<'line> {
    /// The sample, with its defaults. The numbers of probes are those of a burst.
    pub(super) fn sample(self) -> Result<Sample<'line>, Incomplete<'line>> {
        let queries = self.queries.ok_or(Incomplete::Missing("queries"))?;
        let service = self.service.ok_or(Incomplete::Missing("service"))?;
        if service.is_empty() || service.len() > NAME_BYTES_MAX || service.chars().any(char::is_control) {
            return Err(Incomplete::Name(service));
        }
        let probe_answered = self.probe_answered.unwrap_or(PROBES_IN_BURST).min(PROBES_IN_BURST);
        Ok(Sample {
            at: self.at.ok_or(Incomplete::Missing("t_ms"))?,
            service,
            queries,
            answers: self.answers.ok_or(Incomplete::Missing("answers"))?,
            packets: self.packets.unwrap_or(queries),
            hints: self.hints.unwrap_or(0),
            servfails: self.servfails.unwrap_or(0),
            local_answers: self.local_answers,
            probe_answered,
            probe_refused: self.probe_refused.unwrap_or(0).min(PROBES_IN_BURST - probe_answered),
            unknown: self.unknown,
        })
    }
}

/// Why fields are no sample.
#[derive(Debug, thiserror::Error)]
pub(super) enum Incomplete<'line> {
    #[error("`{0}` is missing; a sample has t_ms, service, queries and answers")]
    Missing(&'static str),
    /// One that can't be printed on a line.
    #[error("`service` is {0:?}; a name has 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    Name(Cow<'line, str>),
}

#[cfg(test)]
mod tests;
