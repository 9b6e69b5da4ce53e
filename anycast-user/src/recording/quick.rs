//! A sample from a line as recorders write it: keys that are known, each once, whole numbers and plain texts.
//!
//! A day of samples is 86 million lines. Reading them as any JSON takes most of the time of a replay; this takes a quarter
//! of that. What it doesn't understand is left to the other reader, which knows what is wrong: both agree on whatever this
//! one reads.

use std::borrow::Cow;

use super::sample::{Fields, Sample};
use crate::{clock::MonotonicTime, policy::PROBES_IN_BURST};

/// Digits that any number of 64 bits has room for.
const DIGITS_MAX: usize = 19;
/// Digits of a whole number that a floating-point number holds exactly, and the powers of ten that it is divided by: both
/// being exact, the quotient is the nearest number to what was written.
const EXACT_DIGITS: usize = 15;
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Reads one line; `None` if it is anything but usual.
pub(super) fn parse(line: &[u8]) -> Option<Sample<'_>> {
    let mut rest = Rest(line);
    let mut fields = Fields::default();
    rest.take(b'{')?;
    loop {
        rest.take(b'"')?;
        let key = rest.text()?;
        rest.take(b':')?;
        let to = &mut fields;
        match key {
            "t_ms" => once(&mut to.at, rest.time()?)?,
            "service" => {
                rest.take(b'"')?;
                once(&mut to.service, Cow::Borrowed(rest.text()?))?;
            }
            "queries" => once(&mut to.queries, rest.whole()?.0)?,
            "answers" => once(&mut to.answers, rest.whole()?.0)?,
            "packets" => once(&mut to.packets, rest.whole()?.0)?,
            "hints" => once(&mut to.hints, rest.whole()?.0)?,
            "servfails" => once(&mut to.servfails, rest.whole()?.0)?,
            "local_answers" => once(&mut to.local_answers, rest.whole()?.0)?,
            "probe_answered" => once(&mut to.probe_answered, rest.probes()?)?,
            "probe_refused" => once(&mut to.probe_refused, rest.probes()?)?,
            _ => return None,
        }
        match rest.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    rest.skip_spaces();
    rest.0.is_empty().then(|| fields.sample().ok())?
}

fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// What of the line has not been read.
struct Rest<'line>(&'line [u8]);

impl<'line> Rest<'line> {
    fn skip_spaces(&mut self) {
        while let [b' ', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// The next byte that isn't a space.
    fn next(&mut self) -> Option<u8> {
        self.skip_spaces();
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// What is left of a text in quotes, if it is ASCII without escapes.
    fn text(&mut self) -> Option<&'line str> {
        let length = self
            .0
            .iter()
            .position(|&byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.strip_prefix(b"\"")?;
        str::from_utf8(text).ok()
    }

    /// Digits up to what is none: their value and their number.
    fn digits(&mut self) -> Option<(u64, usize)> {
        let (mut value, mut count) = (0_u64, 0);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            count += 1;
            self.0 = rest;
        }
        (1..=DIGITS_MAX).contains(&count).then_some((value, count))
    }

    /// A whole number. What JSON doesn't allow after it, or what makes it another kind of number, is found there.
    fn whole(&mut self) -> Option<(u64, usize)> {
        self.skip_spaces();
        let starts_with_zero = self.0.starts_with(b"0");
        let (value, count) = self.digits()?;
        (count == 1 || !starts_with_zero).then_some((value, count))
    }

    fn probes(&mut self) -> Option<u8> {
        let (probes, _) = self.whole()?;
        u8::try_from(probes).ok().filter(|&probes| probes <= PROBES_IN_BURST)
    }

    fn time(&mut self) -> Option<MonotonicTime> {
        let (mut number, mut digits) = self.whole()?;
        let mut divisor = 1.0;
        if let [b'.', rest @ ..] = self.0 {
            self.0 = rest;
            let (fraction, count) = self.digits()?;
            divisor = *POWERS.get(count)?;
            digits += count;
            if digits <= EXACT_DIGITS {
                number = number * divisor as u64 + fraction;
            }
        }
        if digits > EXACT_DIGITS {
            return None;
        }
        MonotonicTime::from_millis_f64(number as f64 / divisor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recording::json;

    /// Whether both readers agree, where this one reads the line at all.
    fn agrees(line: &str) -> bool {
        match parse(line.as_bytes()) {
            Some(sample) => json::parse(line.as_bytes()) == Ok(sample),
            None => true,
        }
    }

    #[test]
    fn the_usual_lines_are_read() {
        for line in [
            r#"{"t_ms": 12345.0, "service": "dns", "queries": 1000, "answers": 990, "packets": 1000, "hints": 0, "local_answers": 990, "probe_answered": 16, "probe_refused": 0}"#,
            r#"{"t_ms":0,"service":"dns@2001:db8::53","queries":0,"answers":0}"#,
            r#" { "t_ms" : 123456789012.345 , "service" : "a b" , "queries" : 9223372036854775807 , "answers" : 1 } "#,
        ] {
            assert!(parse(line.as_bytes()).is_some() && agrees(line), "{line}");
        }
    }

    #[test]
    fn what_is_unusual_or_wrong_is_left_to_the_other_reader() {
        let line = r#"{"t_ms": 1.5, "service": "dns", "queries": 10, "answers": 9}"#;
        for (from, to) in [
            ("1.5", "1."),
            ("1.5", ".5"),
            ("1.5", "-1.5"),
            ("1.5", "1.5e3"),
            ("1.5", "1234567890.123456"),
            ("10", "010"),
            ("10", "10.0"),
            ("10", "-1"),
            ("10", "null"),
            ("10", "18446744073709551616"),
            ("dns", "d\\u006es"),
            ("dns", "dñs"),
            ("dns", ""),
            ("9}", "9"),
            ("9}", "9}}"),
            ("9}", "9,}"),
            ("9}", "9, \"probe_answered\": 17}"),
            ("9}", "9, \"queries\": 11}"),
            ("9}", "9, \"colour\": 1}"),
            ("queries", "questions"),
        ] {
            let line = line.replacen(from, to, 1);
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn times_are_the_nearest_numbers(whole in 0_u64..10_u64.pow(12), fraction in "[0-9]{0,9}") {
            let dot = if fraction.is_empty() { "" } else { "." };
            let line = format!(r#"{{"t_ms":{whole}{dot}{fraction},"service":"dns","queries":1,"answers":1}}"#);
            prop_assert!(agrees(&line), "{}", line);
        }

        #[test]
        fn whatever_is_read_is_read_alike(at in 0..100_usize, byte in prop::sample::select(b" \"{}:,.-0159e\\x\n".to_vec())) {
            let mut line = br#"{"t_ms": 12.50, "service": "dns", "queries": 1000, "answers": 990, "probe_answered": 16, "hints": 0}"#.to_vec();
            let length = line.len();
            line[at % length] = byte;
            prop_assert!(agrees(str::from_utf8(&line).unwrap()), "{:?}", line);
        }
    }
}
