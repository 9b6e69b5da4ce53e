//! A sample as a line, for who records.

use serde::{Serialize, Serializer};

use crate::clock::MonotonicTime;

/// What is written of a service at a moment; the keys are those of a [`Sample`](super::Sample).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line<'a> {
    /// When, in milliseconds.
    #[serde(rename = "t_ms", serialize_with = "milliseconds")]
    pub at: MonotonicTime,
    /// The name of the service.
    pub service: &'a str,
    /// Queries that arrived.
    pub queries: u64,
    /// Answers that left.
    pub answers: u64,
    /// All packets that arrived for the service.
    pub packets: u64,
    /// Signs that nobody listens.
    pub hints: u64,
    /// Answers that say SERVFAIL.
    pub servfails: u64,
    /// What the last burst of probes brought, if there was one: how many were answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_answered: Option<u8>,
    /// And how many were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_refused: Option<u8>,
}

impl Line<'_> {
    /// Appends the line to `text`, with its end.
    pub fn write_to(&self, text: &mut Vec<u8>) {
        // Memory is written to, and a line has nothing in it that JSON lacks.
        let _ = serde_json::to_writer(&mut *text, self);
        text.push(b'\n');
    }
}

/// To the microsecond: finer is no clock of this, and the digits would be half of the line.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn milliseconds<S: Serializer>(at: &MonotonicTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((at.0 / 1000) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Sample;

    #[test]
    fn what_is_written_is_read() {
        let line = Line {
            at: MonotonicTime(12_345_678_901),
            service: "d\"s@192.0.2.53",
            queries: 1,
            answers: u64::MAX,
            packets: 3,
            hints: 4,
            servfails: 5,
            probe_answered: Some(6),
            probe_refused: Some(7),
        };
        let mut text = Vec::new();
        line.write_to(&mut text);
        assert!(text.starts_with(b"{\"t_ms\":12345.678,") && text.ends_with(b"}\n"));
        let sample = Sample::parse(&text).unwrap();
        assert_eq!(sample.at, MonotonicTime(12_345_678_000));
        assert_eq!(
            (&*sample.service, sample.queries, sample.answers),
            (line.service, 1, u64::MAX)
        );
        assert_eq!((sample.packets, sample.hints, sample.servfails), (3, 4, 5));
        assert_eq!((sample.probe_answered, sample.probe_refused), (6, 7));
    }
}
