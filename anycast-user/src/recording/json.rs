//! A sample from any JSON.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::{
    error::LineError,
    number::{Counter, Probes, Time},
    sample::{Fields, Sample},
};

/// Reads one line, or says what is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Sample<'_>, LineError> {
    let sample = serde_json::from_slice::<Whole<'_>>(line);
    sample
        .map(|Whole(sample)| sample)
        .map_err(|error| LineError::from_json(&error))
}

/// A sample, to be read by serde.
struct Whole<'line>(Sample<'line>);

impl<'line> Deserialize<'line> for Whole<'line> {
    fn deserialize<D: Deserializer<'line>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SampleReader).map(Self)
    }
}

/// By hand rather than derived, so that an unknown key can be told of, and problems be told in the words of the manual.
struct SampleReader;

impl<'line> Visitor<'line> for SampleReader {
    type Value = Sample<'line>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with t_ms, service, queries and answers")
    }

    fn visit_map<A: MapAccess<'line>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(key)) = map.next_key()? {
            let to = &mut fields;
            match &*key {
                "t_ms" => once(&mut to.at, "t_ms", Some(map.next_value_seed(Time)?))?,
                "service" => once(&mut to.service, "service", Some(map.next_value::<Text<'_>>()?.0))?,
                "queries" => counter(&mut to.queries, "queries", &mut map)?,
                "answers" => counter(&mut to.answers, "answers", &mut map)?,
                "packets" => counter(&mut to.packets, "packets", &mut map)?,
                "hints" => counter(&mut to.hints, "hints", &mut map)?,
                "servfails" => counter(&mut to.servfails, "servfails", &mut map)?,
                "local_answers" => counter(&mut to.local_answers, "local_answers", &mut map)?,
                "probe_answered" => probes(&mut to.probe_answered, "probe_answered", &mut map)?,
                "probe_refused" => probes(&mut to.probe_refused, "probe_refused", &mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    to.unknown = to.unknown.take().or(Some(key));
                }
            }
        }
        fields.sample().map_err(Error::custom)
    }
}

fn counter<'line, A: MapAccess<'line>>(slot: &mut Option<u64>, key: &'static str, map: &mut A) -> Result<(), A::Error> {
    once(slot, key, map.next_value_seed(Counter(key))?)
}

fn probes<'line, A: MapAccess<'line>>(slot: &mut Option<u8>, key: &'static str, map: &mut A) -> Result<(), A::Error> {
    once(slot, key, map.next_value_seed(Probes(key))?)
}

/// `null` is as if the key were not there.
fn once<T, E: Error>(slot: &mut Option<T>, key: &'static str, value: Option<T>) -> Result<(), E> {
    if slot.is_some() {
        return Err(E::custom(format_args!("`{key}` is there twice; remove one of the two")));
    }
    *slot = value;
    Ok(())
}

/// A text of the line itself, or a copy of it where it has escapes.
struct Text<'line>(Cow<'line, str>);

impl<'line> Deserialize<'line> for Text<'line> {
    fn deserialize<D: Deserializer<'line>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'line> Visitor<'line> for Reader {
            type Value = Text<'line>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in double quotes")
            }

            fn visit_borrowed_str<E>(self, text: &'line str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}
