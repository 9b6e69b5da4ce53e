//! The summary as a table.

use crate::scenario::Summary;
use std::time::Duration;

/// What was done, and to what.
pub(super) fn headline(summary: &Summary) -> String {
    let Summary {
        fault,
        server,
        rate_qps,
        floor_ms,
        family,
        kernel,
        ..
    } = summary;
    format!("{fault} of {server} on node a, {rate_qps} queries/s over IPv{family}, floor {floor_ms} ms, Linux {kernel}")
}

/// What came of it: a name and a value each.
pub(super) fn rows(summary: &Summary) -> Vec<(&'static str, String)> {
    let time = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2} ms"));
    let microseconds = |value: Duration| format!("{} us", value.as_micros());
    let counts = &summary.counts;
    let mut rows = vec![
        ("detection (the daemon decides)", time(summary.detect_ms)),
        ("link down, acknowledged", time(summary.link_down_ms)),
        ("WITHDRAW on the wire, at the router", time(summary.wire_ms)),
        ("first answer from node b", time(summary.failover_ms)),
        ("queries lost", summary.queries_lost.to_string()),
        (
            "queries lost that were sent earlier",
            counts.lost_before_fault.to_string(),
        ),
        ("queries sent", counts.sent.to_string()),
        ("answers from node a", counts.answered.a.to_string()),
        ("answers from node b", counts.answered.b.to_string()),
        ("node a answers again", time(summary.recovery_ms)),
    ];
    if let Some((half, most)) = summary.round_trips {
        rows.push(("round trip, median", microseconds(half)));
        rows.push(("round trip, 99th percentile", microseconds(most)));
    }
    rows
}
