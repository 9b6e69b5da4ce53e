//! Somebody tries to make the node withdraw, or to keep it from withdrawing.

use super::{
    super::{
        scenario::{
            Kind::{Must, MustNot},
            Scenario,
        },
        script::{Change, every},
        traffic::{Retry, Rhythm, Shape, SourceSetup},
    },
    milliseconds, seconds,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = poisoning();
    scenarios.extend(against_the_statistics());
    scenarios.extend(floods());
    scenarios
}

fn poisoning() -> Vec<Scenario> {
    // Ten times the demand within eight hours, five per cent at a time, all answered; then none of that is.
    let hours = 8 * 3600;
    let ramp = (0..=180_u32).map(|step| {
        let at = seconds(u64::from(step) * hours / 180);
        (at, Change::Demand(1, f64::from(step) / 180.0))
    });
    let slow = |name| {
        Scenario {
            rate_most: 50.0,
            ..Scenario::new(name, MustNot)
        }
        .flood(seconds(0), SourceSetup::flood(Shape::Answerable, 9.0))
        .steps(ramp.clone())
        // The tick of a daemon with a floor of 100 ms; hours of it are simulated.
        .at(seconds(0), Change::Tick(milliseconds(10)))
        .at(seconds(hours - 1), Change::Tick(milliseconds(1)))
        .at(seconds(hours), Change::Drop(1, true))
        .until(seconds(hours + 60))
    };
    vec![
        slow("poisoned for eight hours up to x10, which then can't be answered"),
        slow("poisoned for eight hours up to x10, and probes are rate-limited")
            .at(seconds(hours), Change::ProbeAllowance(80)),
    ]
}

fn against_the_statistics() -> Vec<Scenario> {
    let volleys = SourceSetup {
        rhythm: Rhythm::Volleys {
            every: milliseconds(400),
            size: 200.0,
        },
        ..SourceSetup::flood(Shape::Answerable, 1.0)
    };
    let stalls = || every(seconds(20), seconds(5), seconds(125), Change::Pause(milliseconds(25)));
    vec![
        Scenario::new("volleys of answered queries against the dispersion", MustNot)
            .flood(seconds(5), volleys)
            .until(seconds(120)),
        Scenario::new("killed after volleys against the dispersion", Must)
            .flood(seconds(5), volleys)
            .fault(seconds(90), Change::Kill)
            .at(seconds(90), Change::Demand(1, 0.0)),
        Scenario::new("killed after stalls that teach the floor", Must)
            .steps(stalls())
            .fault(seconds(130), Change::Kill),
        Scenario::new("forged ICMP hints, 10,000 a second", MustNot).at(seconds(5), Change::Hints(10_000.0)),
        Scenario::new("hangs under forged ICMP hints", Must)
            .at(seconds(5), Change::Hints(10_000.0))
            .fault(seconds(30), Change::Hang),
        Scenario::new("five minutes of forged answers, which then end", MustNot)
            .at(seconds(5), Change::Forged(5000.0))
            .at(seconds(305), Change::Forged(0.0))
            .until(seconds(365)),
        Scenario::new("killed an instant after forged answers end", Must)
            .at(seconds(5), Change::Forged(5000.0))
            .at(seconds(65), Change::Forged(0.0))
            .fault(seconds(65), Change::Kill),
    ]
}

fn floods() -> Vec<Scenario> {
    let spoofed = SourceSetup {
        rhythm: Rhythm::Bursty {
            duty: 0.5,
            burst: milliseconds(500),
        },
        ..SourceSetup::flood(Shape::Unanswerable, 20.0)
    };
    let shapeless = SourceSetup::flood(Shape::Shapeless, 10.0);
    vec![
        Scenario::new("spoofed queries in waves x20", MustNot)
            .flood(seconds(5), spoofed)
            .until(seconds(65)),
        Scenario::new("flood without DNS shape x10", MustNot)
            .flood(seconds(5), shapeless)
            .until(seconds(65)),
        Scenario::new("hangs in a flood without DNS shape x10", Must)
            .flood(seconds(5), shapeless)
            .fault(seconds(35), Change::Hang),
        Scenario::new(
            "a spoofed flood while the clients with 90 % are dropped, probes rate-limited",
            MustNot,
        )
        .sources([0.1, 0.9].map(|demand| SourceSetup {
            retry: Some(Retry::RESOLVER),
            ..SourceSetup::CLIENTS.with_demand(demand)
        }))
        .flood(seconds(5), SourceSetup::flood(Shape::Unanswerable, 2.8))
        .at(seconds(5), Change::Drop(1, true))
        .at(seconds(5), Change::ProbeAllowance(80))
        .until(seconds(65)),
    ]
}
