//! Durations as operators write them: a number with a unit.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Nothing that the configuration times lasts a day: a longer one is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// A number alone: milliseconds and seconds are too easily confused to guess.
    #[error("{0:?} has no unit; write one, like \"30ms\", \"10s\" or \"2m\"")]
    NoUnit(String),
    /// Less than zero.
    #[error("{0:?} is negative; write zero or more, like \"30ms\", \"10s\" or \"2m\"")]
    Negative(String),
    /// Something else.
    #[error("{text:?} is not a duration ({cause}); write a number and a unit, like \"30ms\", \"10s\" or \"2m\"")]
    Malformed {
        /// What was written.
        text: String,
        /// What the parser makes of it.
        cause: String,
    },
    /// More than a day.
    #[error("{0:?} is longer than a day; check its unit (\"ms\", \"s\", \"m\", \"h\")")]
    TooLong(String),
    /// A floor above [`Config::MAX_FLOOR`](super::Config::MAX_FLOOR).
    #[error("a floor of {0:?} is longer than 60s; write a shorter one: the default is \"site\"")]
    FloorTooLong(String),
}

/// Reads a duration such as `30ms`, `10.5ms`, `1s` or `2m`, of at most a day.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let refused = |error: fn(String) -> DurationError| Err(error(text.to_owned()));
    if text.trim_start().starts_with('-') {
        return refused(DurationError::Negative);
    }
    // A zero needs no unit for the parser; here it does, so that what is shown is what is meant.
    if text.trim().parse::<f64>().is_ok() {
        return refused(DurationError::NoUnit);
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration > LONGEST => refused(DurationError::TooLong),
        Ok(duration) => Ok(duration),
        Err(cause) => Err(DurationError::Malformed {
            text: text.to_owned(),
            cause: cause.to_string(),
        }),
    }
}

/// A duration in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written(pub(super) Duration);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

/// Refuses a number where a text with a unit belongs.
pub(super) fn bare_number<T, E: de::Error>(number: impl fmt::Display) -> Result<T, E> {
    Err(E::custom(format_args!(
        "{number} has no unit; write a string with one, like \"{number}ms\" or \"{number}s\""
    )))
}

impl Visitor<'_> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration like \"30ms\", \"10s\" or \"2m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
        parse_duration(text).map(Written).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Written, E> {
        bare_number(number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Written, E> {
        bare_number(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Written, E> {
        bare_number(number)
    }
}
