//! The floor as operators write it: a preset or a duration.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::Config;
use super::duration::{DurationError, bare_number, parse_duration};
use crate::policy::FloorSettings;

/// Where a withdrawal moves traffic to the next machine of the same site: it costs a rehash of its flows. Grows with the
/// pauses of the server.
pub(super) const SITE: FloorSettings = FloorSettings {
    least: Duration::from_millis(30),
    learn: true,
};
/// As soon as the evidence is there, whatever the server's pauses.
const FAST: FloorSettings = FloorSettings {
    least: Duration::ZERO,
    learn: false,
};
/// Where it moves traffic to another site, through the routers of others.
const GLOBAL: FloorSettings = FloorSettings {
    least: Duration::from_secs(3),
    learn: false,
};

/// Reads a floor, as for `--floor`: `site` (30 ms, and twice the longest pause of a week up to 500 ms), `global` (3 s),
/// `fast` (none), or a duration of at most [`Config::MAX_FLOOR`], which holds as it is written.
///
/// Whoever writes `--floor 0ms` or `fast` accepts by that to have none; a file has to say `accept_no_floor`.
pub fn parse_floor(text: &str) -> Result<FloorSettings, DurationError> {
    match text {
        "site" => return Ok(SITE),
        "fast" => return Ok(FAST),
        "global" => return Ok(GLOBAL),
        _ => {}
    }
    let least = parse_duration(text)?;
    if least > Config::MAX_FLOOR {
        return Err(DurationError::FloorTooLong(text.to_owned()));
    }
    Ok(FloorSettings { least, learn: false })
}

/// A floor in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenFloor(pub(super) FloorSettings);

impl<'de> Deserialize<'de> for WrittenFloor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FloorVisitor)
    }
}

struct FloorVisitor;

impl Visitor<'_> for FloorVisitor {
    type Value = WrittenFloor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"fast\", \"site\", \"global\" or a duration like \"30ms\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WrittenFloor, E> {
        parse_floor(text).map(WrittenFloor).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<WrittenFloor, E> {
        bare_number(number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<WrittenFloor, E> {
        bare_number(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<WrittenFloor, E> {
        bare_number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_and_durations() {
        assert_eq!(parse_floor("site"), Ok(SITE));
        assert_eq!(parse_floor("fast").unwrap().least, Duration::ZERO);
        assert_eq!(parse_floor("global").unwrap().least, Duration::from_secs(3));
        assert_eq!(
            parse_floor("30ms"),
            Ok(FloorSettings {
                least: SITE.least,
                learn: false
            })
        );
        assert!(parse_floor("60s").is_ok());
        for text in ["60.1s", "sites", "", "30"] {
            assert!(parse_floor(text).is_err(), "{text}");
        }
    }
}
