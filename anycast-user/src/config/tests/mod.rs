mod refusals;

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::event::AlertKind;

const EXAMPLE: &str = include_str!("../../../../packaging/anycast-probe.toml");
const MANUAL: &str = include_str!("../../../../docs/configuration.md");
const FULL: &str = r#"
armed = true
floor = "10.5ms"
withdraw_also_on = ["partial-loss", "servfail"]
hook = "xdp-generic"
uplinks = ["eth0", "eth1"]
encapsulation = ["gue:6080", "ipip"]
pins = "/run/bpf"
[arming]
answers = 5
time = "1s"
[return]
hold_down = "2m"
[detection]
node_years_between_false_alarms = 0.5
[metrics]
listen = "[::1]:1"
[[link]]
name = "anycast0"
withdraw_when = { share = 0.5 }
[[link.service]]
name = "dns"
protocol = "dns-udp"
port = 53
addresses = ["192.0.2.53", "2001:db8::53"]
weight = 3
[[link]]
name = "anycast1"
withdraw_when = "any"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("probe.toml"))
}

/// The error's text, asserted to be one line.
fn refusal(text: &str) -> String {
    let error = parse(text).expect_err(text).to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The example with the lines uncommented that `uncomment` picks and strips.
fn uncommented(uncomment: fn(&str) -> Option<&str>) -> String {
    EXAMPLE.lines().fold(String::new(), |mut text, line| {
        writeln!(text, "{}", uncomment(line).unwrap_or(line)).expect("a String takes any line");
        text
    })
}

/// A default's line: `#` and then, without a space, a key or a table.
fn default_line(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()))
}

#[test]
fn everything_can_be_said() {
    let config = parse(FULL).expect("valid");
    let dns = ServiceConfig {
        name: "dns".into(),
        protocol: Classifier::DnsUdp,
        port: 53,
        addresses: Some(vec![
            "192.0.2.53".parse().expect("address"),
            "2001:db8::53".parse().expect("address"),
        ]),
        weight: 3,
    };
    let link = |name: &str, withdraw_when, services| LinkConfig {
        name: name.into(),
        withdraw_when,
        services,
    };
    assert_eq!(
        config,
        Config {
            armed: Some(true),
            floor: FloorSettings {
                least: Duration::from_micros(10_500),
                learn: false
            },
            withdraw_also_on: [AlertKind::PartialLoss, AlertKind::Servfail].into_iter().collect(),
            hook: Hook::XdpGeneric,
            uplinks: Some(vec!["eth0".into(), "eth1".into()]),
            encapsulation: Tunnels {
                ip_in_ip: true,
                gue_port: 6080
            },
            pins: PinPlace::Bpffs("/run/bpf".into()),
            arming: Arming {
                answers: 5,
                time: Duration::from_secs(1)
            },
            coming_back: Return {
                hold_down: Duration::from_secs(120)
            },
            detection: Detection {
                node_years_between_false_alarms: 0.5
            },
            metrics: MetricsListen::Address("[::1]:1".parse().expect("address")),
            links: vec![
                link("anycast0", WithdrawWhen::Share(0.5), vec![dns]),
                link("anycast1", WithdrawWhen::Any, vec![])
            ],
        }
    );
}

#[test]
fn one_link_takes_every_default() {
    let config = parse("[[link]]\nname = \"anycast0\"\n").expect("valid");
    assert_eq!(config, Config::for_link("anycast0"));
}

#[test]
fn the_packaged_example_shows_the_defaults() {
    let defaults = Config::for_link("anycast0");
    assert_eq!(parse(EXAMPLE).expect("valid"), defaults);
    assert_eq!(
        parse(&uncommented(default_line)).expect("valid"),
        Config {
            armed: Some(false),
            ..defaults
        },
        "a commented-out default differs from the code's"
    );
    let all = uncommented(|line| line.strip_prefix("#   ").or_else(|| default_line(line)));
    // An example key stands above the first table only while the defaults around it do.
    let config = parse(&all).expect("the examples are valid");
    assert!(config.uplinks.is_some() && config.encapsulation.ip_in_ip);
    assert_eq!(config.links[0].services.len(), 1);
}

#[test]
fn the_manual_lists_every_key_with_its_default() {
    let mut table = String::new();
    let mut keys = 0;
    for line in EXAMPLE.lines() {
        let (line, default) = match (default_line(line), line.strip_prefix("#   ")) {
            (Some(line), _) => (line, true),
            (None, Some(line)) => (line, false),
            (None, None) => (line, false),
        };
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned() + ".";
        } else if let Some((key, value)) = line.split_once(" = ") {
            let row = MANUAL
                .lines()
                .find(|row| row.starts_with(&format!("| `{table}{key}` |")))
                .unwrap_or_else(|| panic!("docs/configuration.md has no row for {table}{key}"));
            assert!(
                !default || row.contains(&format!("| `{value}` |")),
                "docs/configuration.md shows another default: {row}"
            );
            keys += 1;
        }
    }
    let is_key = |row: &&str| row.starts_with("| `") && !row.starts_with("| `\"");
    let rows = MANUAL.lines().filter(is_key).count();
    assert_eq!(keys, rows, "the manual and the example differ in their keys");
}

/// A link with these services, each a name, protocol and port, and its addresses if it has any of its own.
fn with_services(services: &[(&str, &str, u16, &str)]) -> String {
    let mut text = "[[link]]\nname = \"a\"\n".to_owned();
    for (name, protocol, port, addresses) in services {
        write!(
            text,
            "[[link.service]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nport = {port}\n{addresses}\n"
        )
        .expect("a String takes any line");
    }
    text
}

#[test]
fn an_address_may_serve_two_ports_and_a_port_of_two_protocols() {
    let own = "addresses = [\"192.0.2.1\"]";
    let others = "addresses = [\"192.0.2.2\"]";
    for services in [
        [("dns", "dns-udp", 53, own), ("alt", "dns-udp", 5353, own)],
        [("dns", "dns-udp", 53, own), ("dns-tcp", "tcp", 53, own)],
        [("dns", "dns-udp", 53, ""), ("dns-tcp", "tcp", 53, "")],
        [("dns", "dns-udp", 53, own), ("other", "dns-udp", 53, others)],
    ] {
        let config = parse(&with_services(&services)).expect("valid");
        assert_eq!(config.links[0].services.len(), 2);
    }
}

#[test]
fn every_protocol_has_its_name_and_its_row_in_the_manual() {
    let documented: Vec<&str> = MANUAL
        .lines()
        .filter_map(|row| row.strip_prefix("| `\"")?.split('"').next())
        .collect();
    let mut names = Vec::new();
    for &protocol in Classifier::ALL {
        let text = with_services(&[("s", protocol.name(), 1, "")]);
        assert_eq!(parse(&text).expect("valid").links[0].services[0].protocol, protocol);
        names.push(protocol.name());
    }
    assert_eq!(documented, names, "docs/configuration.md lists other protocols");
}

#[test]
fn only_a_link_with_something_to_probe_can_be_armed() {
    let tcp = ("web", "tcp", 443, "");
    let dns = ("dns", "dns-udp", 53, "");
    let armed = |services: &[_]| format!("armed = true\n{}", with_services(services));
    assert!(parse(&with_services(&[tcp])).is_ok(), "it can be watched");
    assert!(parse(&armed(&[])).is_ok() && parse(&armed(&[tcp, dns])).is_ok());
    let error = refusal(&armed(&[tcp]));
    assert!(
        error.starts_with("probe.toml:3:8: no service of `a` can be probed"),
        "{error}"
    );
}

#[test]
fn no_floor_can_be_accepted() {
    let text = "floor = \"0ms\"\naccept_no_floor = true\n[[link]]\nname = \"a\"\n";
    assert_eq!(parse(text).expect("valid").floor.least, Duration::ZERO);
}

#[test]
fn durations_are_exact() {
    for (text, nanoseconds) in [
        ("0ms", 0),
        ("20ms", 20_000_000),
        ("10.5ms", 10_500_000),
        ("1us", 1_000),
        ("1s", 1_000_000_000),
        ("2m", 120_000_000_000),
        ("1m 30s", 90_000_000_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
    }
    for text in [
        "",
        " ",
        "0",
        "5",
        "1e3",
        "ms",
        "1.ms",
        "1 fortnight",
        "-1s",
        "25h",
        "99999999999999999999s",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn a_file_is_read_and_a_missing_or_endless_one_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("probe.toml");
    std::fs::write(&file, FULL).expect("written");
    assert_eq!(Config::load(&file).expect("valid"), parse(FULL).expect("valid"));
    let missing = Config::load(&directory.path().join("other.toml")).expect_err("missing");
    assert!(missing.to_string().contains("other.toml: No such file"), "{missing}");
    let endless = Config::load(Path::new("/dev/zero")).expect_err("endless");
    assert!(endless.to_string().starts_with("/dev/zero: "), "{endless}");
}

#[test]
fn names_in_errors_stay_on_one_line() {
    let error = Config::parse("\"a\\nb\\u0085c\\u2028d\" = 1", Path::new("x\ny")).expect_err("unknown");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(
        error.to_string().starts_with("x\\ny:1:1: unknown key `a\\nb"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
        let _ = parse_duration(&text);
    }

    #[test]
    fn durations_like_text_never_panic(text in "[-0-9.µmnsu \u{2009}]{0,24}") {
        let _ = parse_duration(&text);
    }

    #[test]
    fn mutated_examples_never_panic(
        base in prop::sample::select(vec![FULL, EXAMPLE]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, "[\\PC\n\"\\[\\]=.#-]{0,6}"), 1..8),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (at, length, insert) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        if let Err(error) = parse(&text.into_iter().collect::<String>()) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
