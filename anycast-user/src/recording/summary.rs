//! What became of a replay, in JSON and in words.

use std::fmt;

use serde_json::{Value, json};

use super::{link::Link, service::Tally};
use crate::{clock::MonotonicTime, policy::State, table::Table};

/// What became of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Samples.
    pub samples: u64,
    /// The first and the last time, when there was any sample.
    pub span: Option<(MonotonicTime, MonotonicTime)>,
    /// The services, in the order of the recording.
    pub services: Vec<ServiceSummary>,
    /// Times that a link was announced again.
    pub announcements: u64,
    /// Alerts that are about no service in particular.
    pub link_alerts: u64,
}

/// What became of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSummary {
    /// Its name in the recording.
    pub service: String,
    /// The link that it is on.
    pub link: String,
    /// What it was at the end.
    pub state: State,
    /// How often what happened.
    pub tally: Tally,
    /// How near it came to a withdrawal, in percent of the evidence that it takes.
    pub closest_approach_percent: f64,
}

impl Summary {
    pub(super) fn of(
        samples: u64,
        span: Option<(MonotonicTime, MonotonicTime)>,
        links: &[Link],
        places: impl Iterator<Item = (usize, usize)>,
    ) -> Self {
        let summary = |(link, service): (usize, usize)| {
            let link = links.get(link)?;
            let (name, of, view) = link.services().nth(service)?;
            Some(ServiceSummary {
                service: name.service.clone(),
                link: link.name().to_owned(),
                state: view.state,
                tally: of.tally,
                closest_approach_percent: 100.0 * view.closest_approach,
            })
        };
        Self {
            samples,
            span,
            services: places.filter_map(summary).collect(),
            announcements: links.iter().map(Link::announcements).sum(),
            link_alerts: links.iter().map(Link::alerts).sum(),
        }
    }

    fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.services.iter().map(|service| of(&service.tally)).sum()
    }

    /// How near any service came to a withdrawal, in percent of the evidence that it takes.
    #[must_use]
    pub fn closest_approach_percent(&self) -> f64 {
        let approaches = self.services.iter().map(|service| service.closest_approach_percent);
        approaches.fold(0.0, f64::max)
    }

    /// The last line that `--json` prints.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let services: Vec<Value> = self.services.iter().map(ServiceSummary::to_json).collect();
        let (from, to) = self.span.unzip();
        json!({
            "event": "summary",
            "samples": self.samples,
            "from_ms": from.map(MonotonicTime::as_millis_f64),
            "to_ms": to.map(MonotonicTime::as_millis_f64),
            "services": services,
            "withdrawals": self.sum(|tally| tally.withdrawals),
            "would_withdraw": self.sum(|tally| tally.would_withdraw),
            "announcements": self.announcements,
            "alerts": self.sum(|tally| tally.alerts) + self.link_alerts,
            "refusals": self.sum(|tally| tally.refusals),
            "resets": self.sum(|tally| tally.resets),
            "closest_approach_percent": self.closest_approach_percent(),
        })
    }
}

impl ServiceSummary {
    fn to_json(&self) -> Value {
        let Tally {
            samples,
            queries,
            answers,
            resets,
            withdrawals,
            would_withdraw,
            alerts,
            refusals,
        } = self.tally;
        json!({
            "service": self.service, "link": self.link, "samples": samples, "queries": queries, "answers": answers,
            "state": self.state, "withdrawals": withdrawals, "would_withdraw": would_withdraw, "alerts": alerts,
            "refusals": refusals, "resets": resets, "closest_approach_percent": self.closest_approach_percent,
        })
    }
}

/// The columns of the table: a title, and whether it is of numbers.
const COLUMNS: [(&str, bool); 10] = [
    ("service", false),
    ("link", false),
    ("queries", true),
    ("answers", true),
    ("state", false),
    ("withdrawals", true),
    ("would", true),
    ("refused", true),
    ("alerts", true),
    ("closest %", true),
];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.samples)?;
        if let Some((from, to)) = self.span {
            let lasted = to.since(from).as_secs_f64();
            write!(f, " over {lasted:.3} s, to {:.3} s", to.as_millis_f64() / 1e3)?;
        }
        writeln!(f, "\n")?;
        write!(
            f,
            "{}",
            Table::new(COLUMNS, self.services.iter().map(ServiceSummary::cells))
        )?;
        let resets = self.sum(|tally| tally.resets);
        if resets > 0 {
            writeln!(
                f,
                "\ncounters ran backwards {resets} times: those services were watched from zero then"
            )?;
        }
        Ok(())
    }
}

impl ServiceSummary {
    fn cells(&self) -> [String; COLUMNS.len()] {
        let Tally {
            queries,
            answers,
            withdrawals,
            would_withdraw,
            alerts,
            refusals,
            ..
        } = self.tally;
        [
            self.service.clone(),
            self.link.clone(),
            queries.to_string(),
            answers.to_string(),
            self.state.name().to_owned(),
            withdrawals.to_string(),
            would_withdraw.to_string(),
            refusals.to_string(),
            alerts.to_string(),
            format!("{:.1}", self.closest_approach_percent),
        ]
    }
}
