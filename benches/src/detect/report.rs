//! What is printed.

use std::time::Duration;

use anycast_tests::simulation::Kind;
use serde::Serialize;

use super::{ablation, calibration::Calibration, delays, matrix, passive};

/// A: one false alarm in ten node-years.
pub(super) const TEN_YEARS: Duration = Duration::from_secs(315_576_000);
const STEP_BAR_NS: f64 = 100.0;

/// T₁ = ln(1 + μA)/μ: the least delay that answers alone allow, in milliseconds.
pub(super) fn t1_ms(per_second: f64) -> f64 {
    (per_second * TEN_YEARS.as_secs_f64()).ln_1p() / per_second * 1e3
}

#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) scenarios: Vec<matrix::Row>,
    pub(super) passive: Vec<passive::Row>,
    pub(super) delays: Vec<delays::Row>,
    pub(super) calibration: Option<Calibration>,
    pub(super) ablations: Vec<ablation::Row>,
    pub(super) step_ns: Option<f64>,
    pub(super) numbers: Vec<Number>,
}

/// A number that is held to a bar.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Number {
    name: String,
    value: f64,
    bar: f64,
    met: bool,
}

impl Number {
    fn at_most(name: impl Into<String>, value: f64, bar: f64) -> Self {
        Self {
            name: name.into(),
            value,
            bar,
            met: value <= bar,
        }
    }
}

impl Report {
    /// The numbers that are held to bars.
    pub(super) fn sum_up(&mut self) {
        let count = |kinds: &[Kind], of: fn(&matrix::Row) -> usize| {
            let rows = self.scenarios.iter().filter(|row| kinds.contains(&row.kind));
            rows.map(of).sum::<usize>() as f64
        };
        let all = [Kind::MustNot, Kind::Must, Kind::AlertOnly];
        let slow = self
            .scenarios
            .iter()
            .filter(|row| row.delay_p50_ms > row.bar_ms && row.bar_ms.is_some());
        self.numbers = vec![
            Number::at_most("wrong withdrawals", count(&all, |row| row.wrong_withdrawals), 0.0),
            Number::at_most("missed withdrawals", count(&[Kind::Must], |row| row.missed), 0.0),
            Number::at_most("missed alerts", count(&[Kind::AlertOnly], |row| row.missed), 0.0),
            Number::at_most("never armed", count(&all, |row| row.unarmed), 0.0),
            Number::at_most("medians over their bar", slow.count() as f64, 0.0),
        ];
        for row in &self.passive {
            let name = format!("silence alone, {} queries/s: delay / T1", row.queries_per_s);
            self.numbers
                .push(Number::at_most(name, row.ratio.unwrap_or(f64::INFINITY), row.bar));
        }
        for row in self.calibration.iter().flat_map(|calibration| &calibration.rates) {
            self.numbers.push(Number {
                name: format!(
                    "mean s between false alarms ({}), {} queries/s and x{} unanswerable",
                    row.false_alarms, row.queries_per_s, row.unanswerable
                ),
                value: row.mean_s,
                bar: 1000.0,
                met: row.met,
            });
        }
        self.numbers.extend(
            self.step_ns
                .map(|step| Number::at_most("engine step, ns", step, STEP_BAR_NS)),
        );
    }

    /// Tables for people, on stderr.
    pub(super) fn say(&self) {
        eprintln!(
            "{:<72} {:>10} {:<9} {:>6} {:>5} {:>5} {:>5} {:>8} {:>8} {:>6} {:>6}",
            "scenario", "server", "latencies", "qps", "runs", "wrong", "miss", "p50 ms", "p99 ms", "/ T1", "bar"
        );
        for row in &self.scenarios {
            let number = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            eprintln!(
                "{:<72} {:>10} {:<9} {:>6} {:>5} {:>5} {:>5} {:>8} {:>8} {:>6} {:>6} {} {}",
                row.scenario,
                format!("{:?}", row.latency).to_lowercase().chars().collect::<String>(),
                if row.measured { "measured" } else { "unknown" },
                row.queries_per_s,
                row.runs,
                row.wrong_withdrawals,
                row.missed,
                number(row.delay_p50_ms, 1),
                number(row.delay_p99_ms, 1),
                number(row.ratio, 2),
                number(row.bar_ms, 0),
                if row.met { "met" } else { "MISSED" },
                row.alerts.iter().copied().collect::<Vec<_>>().join(" "),
            );
            if row.unarmed > 0 {
                eprintln!("    never armed in {} runs", row.unarmed);
            }
        }
        self.say_ablations();
        for Number { name, value, bar, met } in &self.numbers {
            let met = if *met { "met" } else { "MISSED" };
            eprintln!("{name:<60} {value:>10.2} {bar:>8.2} {met}");
        }
    }

    fn say_ablations(&self) {
        for row in &self.ablations {
            let delay = row
                .delay_ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("x{ratio:.2}"));
            eprintln!(
                "without {}: {} wrong and {} missed of {}; probes x{:.2}, delays {delay}",
                row.without, row.wrong_withdrawals, row.missed, row.runs, row.probes_ratio
            );
            if row.worse.is_empty() {
                eprintln!("    changes nothing else in any scenario");
            }
            row.worse.iter().for_each(|scenario| eprintln!("    worse: {scenario}"));
        }
    }
}
