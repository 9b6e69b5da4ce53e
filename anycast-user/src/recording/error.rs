//! What is wrong with a recording, and where.

use std::{io, path::PathBuf};

use super::{LINE_BYTES_MAX, SERVICES_MAX};

/// Why a recording can't be read. Its text is one line that begins with the place: `FILE:LINE: what is wrong; what to do`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file can't be opened.
    #[error("{}", .file.display())]
    Open {
        /// The file, as it was named.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system would not let it be read.
    #[error("{}:{line}: can't be read", .file.display())]
    Read {
        /// The file, as it was named.
        file: PathBuf,
        /// The line that was to be read, from 1.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A line makes no sense.
    #[error("{}:{line}: {problem}", .file.display())]
    Line {
        /// The file, as it was named.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineError,
    },
    /// What happened could not be told.
    #[error("the output can't be written")]
    Output(#[source] io::Error),
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum LineError {
    /// More bytes than any sample needs.
    #[error("it is longer than {LINE_BYTES_MAX} bytes; is this a recording, with one sample on each line?")]
    TooLong,
    /// No JSON.
    #[error("broken JSON at column {column}: {problem}; mend the line or remove it, a sample is one whole object")]
    Json {
        /// Where, in bytes from 1.
        column: usize,
        /// What the parser says.
        problem: String,
    },
    /// JSON, but no sample.
    #[error("{0}")]
    Sample(String),
    /// Time runs backwards.
    #[error(
        "t_ms {t_ms} of service {service:?} is before {before_ms}, which an earlier line of link {link:?} has; sort the \
         lines by t_ms (`jq -s -c 'sort_by(.t_ms)[]'`), or replay two recordings apart"
    )]
    TimeBackwards {
        /// Of the line.
        service: String,
        /// The link that the service is on.
        link: String,
        /// The time of the line, in milliseconds.
        t_ms: f64,
        /// The latest time so far, in milliseconds.
        before_ms: f64,
    },
    /// More services than a daemon can have.
    #[error("service {0:?} is one more than the {SERVICES_MAX} that a recording may have; split it by service")]
    TooManyServices(String),
}

impl LineError {
    /// What the parser has to say. It names the place as it knows it: always line 1.
    pub(super) fn from_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let problem = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(problem, _)| problem);
        if error.is_data() {
            return Self::Sample(problem.to_owned());
        }
        Self::Json {
            column: error.column(),
            problem: problem.to_owned(),
        }
    }
}
