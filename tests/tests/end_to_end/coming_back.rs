//! What withdraws comes back, when it should and in the hands of the next daemon too, and the metrics tell of it.

use crate::{PATIENCE, RATE_QPS, binaries, daemon_events, options, wait_for, wait_for_state};
use anycast_tests::alone::one_at_a_time;
use anycast_tests::clock::Moment;
use anycast_tests::daemon::{DaemonOptions, METRICS};
use anycast_tests::event::EventKind;
use anycast_tests::fault::Fault;
use anycast_tests::lab::{Lab, Mark};
use anycast_tests::node::{Family, Node};
use anycast_tests::scenario::wait_for_withdrawal;
use anycast_tests::timeline::{Silent, What};
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long a scrape may take. It is answered in microseconds.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn a_withdrawal_and_the_return_keep_the_hold_down_and_show_in_the_metrics() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("metrics and hold-down") else {
        return;
    };
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries, true), &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    let before = wait_for_sample(&mut lab, "service_state", r#"state="healthy""#, 1);
    assert_eq!(link(&before), [1, 0, 0], "{before}");
    // It armed on a thousand answers, each to a query.
    for name in ["queries_total", "answers_total"] {
        assert!(sample(&before, name, SERVICE) >= Some(1000), "{name} in {before}");
    }
    assert_eq!(sample(&before, "armed", ""), Some(1), "{before}");

    let mark = lab.mark();
    lab.strike(Fault::Sigstop).unwrap();
    wait_for(&mut lab, mark, "link_down", |event| {
        matches!(event, EventKind::LinkDown { .. })
    });
    let withdrawn = wait_for_sample(&mut lab, "service_state", r#"state="withdrawn""#, 1);
    assert_eq!(link(&withdrawn), [0, 1, 0], "{withdrawn}");
    assert_eq!(sample(&withdrawn, "service_state", r#"state="healthy""#), Some(0));
    for name in ["queries_total", "answers_total"] {
        assert!(
            sample(&withdrawn, name, SERVICE) >= sample(&before, name, SERVICE),
            "{name}"
        );
    }

    // The server has been silent for a while, and was asked all the time.
    let [queries, answers] = ["queries_total", "answers_total"].map(|name| sample(&withdrawn, name, SERVICE));
    assert!(queries > answers, "{withdrawn}");

    let recovered = Moment::now();
    lab.recover().unwrap();
    wait_for(&mut lab, mark, "link_up", |event| {
        matches!(event, EventKind::LinkUp { .. })
    });
    let (down, hold) = find(&lab, mark, |event| match event {
        EventKind::HoldDown { for_ms, .. } => Some(*for_ms),
        _ => None,
    });
    let (up, ()) = find(&lab, mark, |event| {
        matches!(event, EventKind::LinkUp { .. }).then_some(())
    });
    // By the daemon's own clock and word, and no less than what it was configured for.
    assert!(hold >= DaemonOptions::LAB.hold_down.as_secs_f64() * 1000.0, "{hold} ms");
    assert!(up.ms_since(down) >= hold, "{:#?}", daemon_events(&lab));
    // It waits for health that lasts, which it can't have seen before there was any.
    assert!(up.ms_since(recovered) >= hold, "{:#?}", daemon_events(&lab));
    let after = wait_for_sample(&mut lab, "link_announced", LINK_LABELS, 1);
    assert_eq!(link(&after), [1, 1, 1], "{after}");
}

/// The first event of node a since `mark` of which `of` makes something, and when it happened.
fn find<T>(lab: &Lab<'_>, mark: Mark, of: impl Fn(&EventKind) -> Option<T>) -> (Moment, T) {
    let mut since = lab
        .since(mark)
        .iter()
        .filter_map(|observation| match &observation.what {
            What::Daemon { node: Node::A, event } => of(&event.kind).map(|found| (observation.at, found)),
            _ => None,
        });
    since
        .next()
        .unwrap_or_else(|| panic!("no such event: {:#?}", daemon_events(lab)))
}

pub(crate) const SERVICE: &str = r#"address="192.0.2.53""#;
const LINK_LABELS: &str = r#"link="anycast0""#;

/// Whether the link is announced, and how often it was withdrawn and announced again.
fn link(text: &str) -> [u64; 3] {
    ["link_announced", "withdrawals_total", "announcements_total"]
        .map(|name| sample(text, name, LINK_LABELS).unwrap_or_else(|| panic!("no {name} in {text}")))
}

/// The value of the only sample of a metric that has `labels`, of the IPv4 service where it has an address.
pub(crate) fn sample(text: &str, name: &str, labels: &str) -> Option<u64> {
    let mut found = text.lines().filter_map(|line| {
        let (series, value) = line.strip_prefix("anycast_probe_")?.rsplit_once(' ')?;
        let (of, with) = series.split_once('{').unwrap_or((series, ""));
        let other = with.contains("address=") && !with.contains(SERVICE);
        (of == name && with.contains(labels) && !other).then(|| value.parse().unwrap())
    });
    let first = found.next();
    assert!(found.next().is_none(), "more than one {name} with {labels}: {text}");
    first
}

/// Scrapes node a until it says so: a state is shown from the tick on that follows its event.
fn wait_for_sample(lab: &mut Lab<'_>, name: &str, labels: &str, value: u64) -> String {
    let deadline = Moment::now() + PATIENCE;
    loop {
        let text = scrape(lab);
        if sample(&text, name, labels) == Some(value) {
            return text;
        }
        assert!(Moment::now() < deadline, "not {value}: {name} with {labels}: {text}");
        lab.run_for(Duration::from_millis(10)).unwrap();
    }
}

/// What a Prometheus on node a would get.
pub(crate) fn scrape(lab: &Lab<'_>) -> String {
    let node = &lab.network().nodes.a;
    let mut stream = node.run(|| Ok(TcpStream::connect(METRICS)?)).unwrap();
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, text) = response.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && text.ends_with("# EOF\n"),
        "{response}"
    );
    text.to_owned()
}

#[test]
fn sigterm_leaves_the_link_and_a_restart_takes_over_what_was_lowered() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("SIGTERM and restart") else {
        return;
    };
    let mut nobody = Silent;
    let mut lab = Lab::start(options(binaries, true), &mut nobody).unwrap();
    lab.start_daemons().unwrap();
    let mark = lab.mark();
    lab.start_traffic(RATE_QPS).unwrap();
    wait_for_state(&mut lab, mark, "healthy");
    // Up when it was up.
    let status = lab.stop_daemon(Node::B, Signal::SIGTERM).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(lab.network().link_is_up(Node::B).unwrap());
    // Down when it was withdrawn.
    let mark = lab.mark();
    lab.strike(Fault::Sigstop).unwrap();
    wait_for(&mut lab, mark, "link_down", |event| {
        matches!(event, EventKind::LinkDown { .. })
    });
    assert!(
        wait_for_withdrawal(&mut lab, mark, PATIENCE, Family::V4)
            .unwrap()
            .is_some()
    );
    let status = lab.stop_daemon(Node::A, Signal::SIGTERM).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(!lab.network().link_is_up(Node::A).unwrap());
    // The next one knows whose deed that was, and undoes it when the server is well.
    lab.recover().unwrap();
    let mark = lab.mark();
    lab.start_daemon(Node::A, &DaemonOptions::default()).unwrap();
    wait_for(&mut lab, mark, "link_up", |event| {
        matches!(event, EventKind::LinkUp { .. })
    });
    assert!(lab.network().link_is_up(Node::A).unwrap());
    lab.wait_for_route(Family::V4, Some(Node::A)).unwrap();
}
