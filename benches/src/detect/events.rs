//! One run, told.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr},
};

use anycast_tests::simulation::{self, Environment, Scenario};
use anycast_user::event::{Described, Names, ServiceName};
use anyhow::Result;

use super::combinations;

/// Prints all that the engine tells of the run with `seed`, with milliseconds from the end of the warm-up.
pub(super) fn tell(scenarios: &[Scenario], environments: &[Environment], seed: u64) -> Result<()> {
    let names = Names {
        links: vec!["anycast0".to_owned()],
        services: vec![ServiceName {
            link: 0,
            service: "dns".to_owned(),
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)),
            watch_only: None,
        }],
    };
    let mut out = io::stdout().lock();
    for (scenario, environment) in combinations(scenarios, environments) {
        writeln!(out, "# {}, {environment:?}, seed {seed}", scenario.name)?;
        let (outcome, events) = simulation::play(scenario, &environment, seed, true);
        for (at_ms, event) in &events {
            writeln!(out, "{at_ms:>12.1}  {}", Described { event, names: &names })?;
        }
        writeln!(out, "{outcome:?}")?;
    }
    Ok(())
}
