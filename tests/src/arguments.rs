//! The lab's command line, shared by its own executable and by `cargo xtask run`, which passes it on.

use crate::fault::Fault;
use crate::node::Family;
use crate::server::ServerKind;
use clap::{Args, ValueEnum};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub struct LabArguments {
    /// DNS queries a second
    #[arg(long, value_name = "QPS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// The shortest silence on which the daemon acts; 0ms for none
    #[arg(long, value_name = "DURATION", default_value = "30ms", value_parser = duration)]
    pub floor: Duration,
    /// The IP version of the queries
    #[arg(long, default_value = "4", value_parser = family)]
    pub family: Family,
    /// The longest that traffic flows
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub duration: Duration,
    /// The DNS server of both nodes
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
            format!("--floor={}", humantime::format_duration(*floor)),
            format!("--family={family}"),
            format!("--duration={}", humantime::format_duration(*duration)),
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

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
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

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        lab: LabArguments,
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
    fn nonsense_is_refused() {
        for words in ["--family 5", "--rate 0", "--floor 30", "--server bind", "--fault fire"] {
            let words = std::iter::once("lab").chain(words.split(' '));
            assert!(Program::try_parse_from(words).is_err());
        }
    }
}
