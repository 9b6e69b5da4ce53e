//! All scenarios.

mod alert_only;
mod attacks;
mod invented;
mod must;
mod must_not;

use std::time::Duration;

use super::scenario::Scenario;

/// Every scenario, in the order of a report.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let groups = [
        must_not::scenarios(),
        attacks::scenarios(),
        invented::scenarios(),
        must::scenarios(),
        alert_only::scenarios(),
    ];
    groups.into_iter().flatten().collect()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_told_apart_and_everything_happens_before_the_end() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
        for scenario in &all {
            assert!(scenario.fault < scenario.end, "{}", scenario.name);
            let late: Vec<_> = scenario.steps.iter().filter(|(at, _)| *at >= scenario.end).collect();
            assert!(late.is_empty(), "{}: {late:?}", scenario.name);
        }
    }
}
