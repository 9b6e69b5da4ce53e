//! The numbers of a sample, read with what is wrong with them said in the words of the manual.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, Visitor},
};

use crate::{clock::MonotonicTime, policy::PROBES_IN_BURST};

/// Above this, not every whole number is one of floating point, so that it may have been another.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads `t_ms`: not negative, finite, and within what a clock in nanoseconds can show (584 years).
pub(super) struct Time;

impl<'de> DeserializeSeed<'de> for Time {
    type Value = MonotonicTime;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MonotonicTime, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Time {
    type Value = MonotonicTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds as `t_ms`")
    }

    fn visit_u64<E: Error>(self, milliseconds: u64) -> Result<MonotonicTime, E> {
        self.visit_f64(milliseconds as f64)
    }

    fn visit_i64<E: Error>(self, milliseconds: i64) -> Result<MonotonicTime, E> {
        self.visit_f64(milliseconds as f64)
    }

    fn visit_f64<E: Error>(self, milliseconds: f64) -> Result<MonotonicTime, E> {
        MonotonicTime::from_millis_f64(milliseconds).ok_or_else(|| {
            E::custom(format_args!(
                "`t_ms` is {milliseconds}; times are milliseconds from 0 on, and no more than 584 years"
            ))
        })
    }
}

/// Reads a counter by its key. `None` where the line says `null`: as if the key were not there.
pub(super) struct Counter(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for Counter {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Counter {
    fn refused<T, E: Error>(&self, number: impl fmt::Display) -> Result<T, E> {
        Err(E::custom(format_args!(
            "`{}` is {number}; counters are whole numbers from 0 on",
            self.0
        )))
    }
}

impl Visitor<'_> for Counter {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number as `{}`", self.0)
    }

    fn visit_u64<E>(self, count: u64) -> Result<Option<u64>, E> {
        Ok(Some(count))
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Option<u64>, E> {
        match u64::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => self.refused(count),
        }
    }

    /// Many programs know no other numbers, and write 1000.0 for 1000.
    fn visit_f64<E: Error>(self, count: f64) -> Result<Option<u64>, E> {
        if (0.0..=EXACT_MAX).contains(&count) && count.fract() == 0.0 {
            Ok(Some(count as u64))
        } else {
            self.refused(count)
        }
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }
}

/// Reads a number of probes of a burst, by its key.
pub(super) struct Probes(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for Probes {
    type Value = Option<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u8>, D::Error> {
        let Self(key) = self;
        let Some(count) = Counter(key).deserialize(deserializer)? else {
            return Ok(None);
        };
        match u8::try_from(count) {
            Ok(probes) if probes <= PROBES_IN_BURST => Ok(Some(probes)),
            _ => Err(D::Error::custom(format_args!(
                "`{key}` is {count}; a burst has {PROBES_IN_BURST} probes"
            ))),
        }
    }
}
