use std::path::Path;

use serde_json::Value;

use super::*;

/// A service that is recorded once a millisecond, ten queries each.
struct World {
    replay: Replay,
    at: u64,
    counted: Vec<(&'static str, u64, u64)>,
    told: Vec<Value>,
}

impl World {
    fn new(config: &str, services: &[&'static str]) -> Self {
        let config = format!("arming = {{ answers = 1000, time = \"1s\" }}\n{config}");
        Self {
            replay: Replay::new(&Config::parse_for_recording(&config, Path::new("test.toml")).unwrap()),
            at: 0,
            counted: services.iter().map(|service| (*service, 0, 0)).collect(),
            told: Vec::new(),
        }
    }

    /// Every service is asked, and those are answered and found by probes for which `answers` holds.
    fn run(&mut self, milliseconds: u64, answers: impl Fn(&str) -> bool) -> &mut Self {
        for _ in 0..milliseconds {
            self.at += 1;
            for (service, queries, answered) in &mut self.counted {
                let alive = answers(service);
                *queries += 10;
                *answered += if alive { 10 } else { 0 };
                let probes = if alive { 16 } else { 0 };
                let line = format!(
                    r#"{{"t_ms":{},"service":"{service}","queries":{queries},"answers":{answered},"probe_answered":{probes}}}"#,
                    self.at
                );
                self.replay.take(&Sample::parse(line.as_bytes()).unwrap()).unwrap();
            }
        }
        self.hear();
        self
    }

    fn hear(&mut self) {
        for happened in self.replay.take_news() {
            let names = self.replay.names(happened.link).unwrap();
            self.told.push(happened.to_json(names));
        }
    }

    fn end(&mut self) -> Summary {
        self.replay.finish();
        self.hear();
        self.replay.summary()
    }

    fn times(&self, event: &str) -> Vec<f64> {
        let of = self.told.iter().filter(|line| line["event"] == event);
        of.map(|line| line["t_ms"].as_f64().unwrap()).collect()
    }
}

fn take(replay: &mut Replay, line: &str) -> Result<(), LineError> {
    replay.take(&Sample::parse(line.as_bytes()).unwrap())
}

#[test]
fn a_black_hole_is_withdrawn_and_comes_back() {
    let mut world = World::new("", &["dns"]);
    world.run(3000, |_| true).run(1000, |_| false).run(15_000, |_| true);
    let summary = world.end();
    let withdrawn = world.times("withdraw");
    assert_eq!(withdrawn.len(), 1);
    assert!((3030.0..3050.0).contains(&withdrawn[0]), "{withdrawn:?}");
    assert_eq!(
        (world.times("link_down"), world.times("announce").len()),
        (withdrawn, 1)
    );
    for line in &world.told {
        for key in ["t_ms", "event", "service", "state", "reason", "evidence", "threshold"] {
            assert!(!line[key].is_null(), "{key} in {line}");
        }
        assert_eq!(
            (line["service"].as_str(), line.get("address")),
            (Some("dns"), None),
            "{line}"
        );
    }
    let [service] = &summary.services[..] else {
        panic!("{summary:?}")
    };
    assert_eq!((summary.samples, summary.announcements), (19_000, 1));
    assert_eq!((service.tally.queries, service.tally.answers), (189_990, 179_990));
    assert_eq!((service.tally.withdrawals, service.tally.would_withdraw), (1, 0));
    assert!(service.closest_approach_percent >= 100.0);
}

#[test]
fn who_says_observe_is_told_what_would_have_been() {
    let mut world = World::new("armed = false", &["dns"]);
    world.run(3000, |_| true).run(1000, |_| false);
    let summary = world.end();
    assert_eq!(
        (world.times("withdraw").len(), world.times("would_withdraw").len()),
        (0, 1)
    );
    assert_eq!(summary.services[0].tally.would_withdraw, 1);
}

#[test]
fn probes_that_are_answered_keep_the_route() {
    let mut world = World::new("", &["dns"]);
    world.run(3000, |_| true);
    for _ in 0..2000 {
        world.at += 1;
        world.counted[0].1 += 10;
        let (_, queries, answers) = world.counted[0];
        let line = format!(
            r#"{{"t_ms":{},"service":"dns","queries":{queries},"answers":{answers}}}"#,
            world.at
        );
        take(&mut world.replay, &line).unwrap();
    }
    assert_eq!(world.end().services[0].tally.withdrawals, 0);
}

#[test]
fn a_reset_is_watched_from_zero() {
    let mut world = World::new("", &["dns"]);
    world.run(3000, |_| true);
    world.counted[0] = ("dns", 0, 0);
    world.run(500, |_| true).run(400, |_| false);
    let summary = world.end();
    assert_eq!(
        (summary.services[0].tally.resets, summary.services[0].tally.withdrawals),
        (1, 0)
    );
    assert_eq!(summary.services[0].state.name(), "unarmed");
}

const TOGETHER: &str = r#"
    [[link]]
    name = "anycast0"
    withdraw_when = "all"
    [[link.service]]
    name = "one"
    protocol = "dns-udp"
    port = 53
    [[link.service]]
    name = "two"
    protocol = "dns-udp"
    port = 54
"#;

#[test]
fn services_of_a_link_are_judged_together() {
    let mut world = World::new(TOGETHER, &["one", "two", "other"]);
    world.run(3000, |_| true).run(200, |service| service != "one");
    assert_eq!(
        (world.times("withdraw").len(), world.times("refuse").len()),
        (0, 1),
        "the other lives"
    );
    world.run(200, |service| service == "other");
    let summary = world.end();
    assert_eq!(world.times("withdraw").len(), 1);
    let states: Vec<_> = summary
        .services
        .iter()
        .map(|service| (service.link.as_str(), service.state.name()))
        .collect();
    assert_eq!(
        states,
        [
            ("anycast0", "withdrawn"),
            ("anycast0", "withdrawn"),
            ("other", "healthy")
        ]
    );
    assert_eq!(summary.to_json()["refusals"], 1);
}

#[test]
fn a_service_that_is_configured_and_not_recorded_has_no_say() {
    let mut world = World::new(TOGETHER, &["two"]);
    world.run(3000, |_| true).run(500, |_| false);
    world.end();
    assert_eq!((world.times("withdraw").len(), world.times("refuse").len()), (1, 0));
}

#[test]
fn addresses_of_a_service_that_come_to_be_known_are_services_of_its_link() {
    let config = "[[link]]\nname = \"anycast0\"\n";
    let mut world = World::new(config, &["dns@192.0.2.53", "dns@2001:db8::53"]);
    world
        .run(3000, |_| true)
        .run(500, |service| service != "dns@2001:db8::53");
    let summary = world.end();
    let services: Vec<_> = summary
        .services
        .iter()
        .map(|service| (&*service.service, &*service.link))
        .collect();
    assert_eq!(
        services,
        [("dns@192.0.2.53", "anycast0"), ("dns@2001:db8::53", "anycast0")]
    );
    assert_eq!(world.told.iter().filter(|line| line["event"] == "withdraw").count(), 1);
    assert_eq!(summary.services[0].state, summary.services[1].state);
}

#[test]
fn time_runs_forwards_on_every_link() {
    let mut replay = Replay::new(&Config::without_links());
    take(&mut replay, r#"{"t_ms":10,"service":"a","queries":1,"answers":1}"#).unwrap();
    take(&mut replay, r#"{"t_ms":10,"service":"a","queries":2,"answers":2}"#).unwrap();
    take(&mut replay, r#"{"t_ms":5,"service":"b","queries":1,"answers":1}"#).unwrap();
    let error = take(&mut replay, r#"{"t_ms":9.5,"service":"a","queries":2,"answers":2}"#).unwrap_err();
    let words = error.to_string();
    assert!(words.starts_with("t_ms 9.5 of service \"a\" is before 10"), "{words}");
}

#[test]
fn there_are_no_more_services_than_a_daemon_can_have() {
    let mut replay = Replay::new(&Config::without_links());
    let line = |number: usize| format!(r#"{{"t_ms":1,"service":"s{number}","queries":1,"answers":1}}"#);
    for number in 0..SERVICES_MAX {
        take(&mut replay, &line(number)).unwrap();
    }
    take(&mut replay, &line(0)).unwrap();
    let error = take(&mut replay, &line(SERVICES_MAX)).unwrap_err();
    assert!(
        matches!(&error, LineError::TooManyServices(name) if name == "s384"),
        "{error}"
    );
}

#[test]
fn nothing_recorded_is_nothing_told() {
    let mut replay = Replay::new(&Config::without_links());
    replay.finish();
    assert!(replay.take_news().is_empty());
    let summary = replay.summary().to_json();
    assert_eq!(
        (&summary["samples"], &summary["from_ms"]),
        (&Value::from(0), &Value::Null)
    );
}
