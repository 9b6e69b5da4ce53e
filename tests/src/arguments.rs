//! The lab's command line, shared by its own executable and by `cargo xtask run`, which passes it on.

use crate::daemon::LONGEST_FLOOR;
use crate::fault::Fault;
use crate::node::Family;
use crate::scenario::{LOWEST_RATE_QPS, SHORTEST_DURATION};
use crate::server::ServerKind;
use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};
use humantime::{format_duration, parse_duration};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub struct LabArguments {
    /// DNS queries a second
    #[arg(long, value_name = "QPS", default_value_t = 10_000, value_parser = rate())]
    pub rate: u32,
    /// The shortest silence on which the daemon acts, at most 60s; 0ms for none
    #[arg(long, value_name = "DURATION", default_value = "30ms", value_parser = floor)]
    pub floor: Duration,
    /// The IP version of the queries
    #[arg(long, default_value = "4", value_parser = family)]
    pub family: Family,
    /// The longest that failure and return may take once the daemon has armed, the floor not counted
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub duration: Duration,
    /// The DNS server of both nodes; the built-in one when it doesn't run here
    #[arg(long, value_enum, default_value = "knot")]
    pub server: ServerKind,
    /// What happens to the server of the nearer node
    #[arg(long, value_enum, default_value = "sigstop")]
    pub fault: Fault,
    /// Print the summary as one JSON object, the last line on standard output
    #[arg(long)]
    pub json: bool,
}

impl LabArguments {
    /// The same as words, for another executable to parse.
    #[must_use]
    pub fn to_words(&self) -> Vec<String> {
        let Self {
            rate,
            floor,
            family,
            duration,
            server,
            fault,
            json,
        } = self;
        let family = match family {
            Family::V4 => "4",
            Family::V6 => "6",
        };
        let mut words = vec![
            format!("--rate={rate}"),
            format!("--floor={}", format_duration(*floor)),
            format!("--family={family}"),
            format!("--duration={}", format_duration(*duration)),
            format!("--server={}", name(server)),
            format!("--fault={}", name(fault)),
        ];
        if *json {
            words.push("--json".into());
        }
        words
    }
}

fn name(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

fn rate() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(LOWEST_RATE_QPS)..=100_000)
}

fn floor(text: &str) -> Result<Duration, String> {
    let floor = parse_duration(text).map_err(|error| error.to_string())?;
    if floor > LONGEST_FLOOR {
        return Err(format!("the daemon takes at most {}", format_duration(LONGEST_FLOOR)));
    }
    Ok(floor)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration < SHORTEST_DURATION {
        let shortest = format_duration(SHORTEST_DURATION);
        return Err(format!("failure, hold-down and return take at least {shortest}"));
    }
    Ok(duration)
}

fn family(text: &str) -> Result<Family, String> {
    match text {
        "4" => Ok(Family::V4),
        "6" => Ok(Family::V6),
        _ => Err("write 4 or 6".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use clap::error::ErrorKind;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        lab: LabArguments,
    }

    fn parse(words: &str) -> Result<Program, clap::Error> {
        Program::try_parse_from(std::iter::once("lab").chain(words.split(' ')))
    }

    #[test]
    fn arguments_survive_being_passed_on() {
        let words = "lab --rate 500 --floor 0ms --family 6 --duration 1m10s --server nsd --fault close-socket --json";
        let first = Program::try_parse_from(words.split(' ')).unwrap().lab;
        let passed = std::iter::once("lab".to_owned()).chain(first.to_words());
        let second = Program::try_parse_from(passed).unwrap().lab;
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
        assert_eq!(second.floor, Duration::ZERO);
    }

    #[test]
    fn a_floor_is_passed_on_to_the_nanosecond() {
        let first = Program::try_parse_from(["lab", "--floor=10.5ms"]).unwrap().lab;
        assert_eq!(first.floor, Duration::from_micros(10_500));
        let passed = std::iter::once("lab".to_owned()).chain(first.to_words());
        assert_eq!(Program::try_parse_from(passed).unwrap().lab.floor, first.floor);
    }

    #[test]
    fn nonsense_is_refused() {
        for words in ["--family 5", "--rate 0", "--floor 30", "--server bind", "--fault fire"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_and_what_can_is_not() {
        for words in [
            "--rate 50",
            "--rate 133",
            "--floor 61s",
            "--floor 2m",
            "--duration 1s",
            "--duration 9s",
        ] {
            let Err(error) = parse(words) else { panic!("{words}") };
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{words}");
        }
        for words in ["--rate 134", "--floor 60s", "--floor 500us", "--duration 10s"] {
            assert!(parse(words).is_ok(), "{words}");
        }
    }
}
