//! One failover for one address family: the daemon arms, the server hangs, the route is withdrawn, comes back.

use crate::{Host, programs};
use anycast_tests::binaries::Binaries;
use anycast_tests::clock::Moment;
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::dns;
use anycast_tests::event::EventKind;
use anycast_tests::fault::Fault;
use anycast_tests::lab::{Lab, LabOptions, Mark};
use anycast_tests::netns::Namespace;
use anycast_tests::network::LINK;
use anycast_tests::node::{Family, Node};
use anycast_tests::scenario::wait_for_withdrawal;
use anycast_tests::server::ServerKind;
use anycast_tests::timeline::{Observation, Progress, What};
use anycast_tests::vm::{FamilyReport, Report};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

/// Queries a second: as many as an emulated machine manages beside all the rest.
const RATE_QPS: u32 = 300;
/// How long anything that should happen may take: long, because an emulated machine may share its core with others.
const PATIENCE: Duration = Duration::from_secs(120);
/// Healthy traffic before the fault, in which nothing may happen.
const STEADY: Duration = Duration::from_secs(2);
/// Long enough that the link can be looked at while it is down and its server answers again. Not longer: a probe that
/// an emulated machine answers late starts it anew.
const HOLD_DOWN: Duration = Duration::from_secs(1);
/// How long one query to the service waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(200);
/// TCX came with this kernel.
const FIRST_WITH_TCX: (u32, u32) = (6, 6);

/// Runs it; what it finds out goes to `report`. An error is only that the host can't be told.
pub(crate) fn check(family: Family, binaries: &Binaries, report: &mut Report, host: &mut Host) -> Result<()> {
    let mut own = FamilyReport {
        family: if family == Family::V4 { 4 } else { 6 },
        ..FamilyReport::default()
    };
    host.progress(format!("{family}: starting the lab"))?;
    if let Err(error) = run(family, binaries, report, &mut own, host) {
        own.surprises.push(format!("{error:#}"));
    }
    own.ok = own.surprises.is_empty();
    if !own.ok {
        host.progress(format!("{family}: FAILED"))?;
    }
    report.families.push(own);
    Ok(())
}

fn run(
    family: Family,
    binaries: &Binaries,
    report: &mut Report,
    own: &mut FamilyReport,
    host: &mut Host,
) -> Result<()> {
    let daemon = DaemonOptions {
        arming_answers: RATE_QPS,
        hold_down: HOLD_DOWN,
        ..DaemonOptions::default()
    };
    let options = LabOptions {
        server: Some(ServerKind::Builtin),
        // Only the failing node's is of interest, so it is started below, with more patience than the lab has.
        daemon: None,
        family,
        binaries: binaries.clone(),
    };
    let mut console = Console;
    let mut lab = Lab::start(options, &mut console)?;
    report.link_kind = Some(lab.network().link_kind.to_owned());
    ensure!(
        lab.network().link_kind == "dummy",
        "the link is no dummy but a {}",
        lab.network().link_kind
    );

    let start = lab.mark();
    lab.start_daemon(Node::A, &daemon)?;
    let (ingress, egress) = attached(&mut lab, start)?;
    host.progress(format!("{family}: attached by {ingress} and {egress}"))?;
    ensure!(ingress == "xdp", "queries are counted by {ingress}, not by native XDP");
    let expected = if has_tcx(&report.kernel) { "tcx" } else { "clsact" };
    ensure!(egress == expected, "answers are counted by {egress}, not by {expected}");
    (report.ingress, report.egress) = (Some(ingress), Some(egress));
    report.loaded = programs::loaded()?;

    lab.start_traffic(RATE_QPS)?;
    wait_until_armed(&mut lab, start, family)?;
    host.progress(format!("{family}: armed"))?;
    lab.run_for(STEADY)?;
    ensure!(lab.network().link_is_up(Node::A)?, "the link went down without a fault");

    let mark = lab.mark();
    let fault = lab.strike(Fault::Sigstop)?;
    let down = lab.wait_for_event(mark, PATIENCE, Node::A, |event| {
        matches!(event, EventKind::LinkDown { .. })
    })?;
    let down = down.context("the server hung, and the daemon didn't take the link down")?;
    let decided = lab.wait_for_event(mark, Duration::ZERO, Node::A, |event| {
        matches!(event, EventKind::Withdraw(_))
    })?;
    own.detect_ms = decided.map(|at| at.ms_since(fault));
    own.link_down_ms = Some(down.ms_since(fault));
    host.progress(format!(
        "{family}: link down {:.1} ms after the fault",
        down.ms_since(fault)
    ))?;
    ensure!(decided.is_some(), "the link went down without a decision to withdraw");
    ensure!(
        !lab.network().link_is_up(Node::A)?,
        "the link is up, whatever the daemon says"
    );
    if lab.has_router() {
        let withdrawal = wait_for_withdrawal(&mut lab, mark, PATIENCE, family)?;
        let withdrawal = withdrawal.context("the routing daemon didn't withdraw the route")?;
        own.wire_ms = Some(withdrawal.ms_since(fault));
    }
    ensure_addresses_kept(&lab)?;

    let mark = lab.mark();
    let remedy = Moment::now();
    lab.recover()?;
    for family in Family::ALL {
        let address = family.service_address();
        ask(&lab.network().nodes.a, address)
            .with_context(|| format!("{address} is not to be reached on its node while the link is down"))?;
    }
    ensure!(
        !lab.network().link_is_up(Node::A)?,
        "the link came up before its hold-down was over"
    );
    let watch = lab.traffic().context("there is no traffic")?.watch();
    let up = lab.wait_for_event(mark, PATIENCE, Node::A, |event| {
        matches!(event, EventKind::LinkUp { .. })
    })?;
    let up = up.context("the server answers again, and the daemon didn't bring the link up")?;
    own.link_up_ms = Some(up.ms_since(remedy));
    host.progress(format!(
        "{family}: link up {:.1} s after the remedy",
        up.ms_since(remedy) / 1e3
    ))?;
    ensure!(
        lab.network().link_is_up(Node::A)?,
        "the link is down, whatever the daemon says"
    );
    ensure_addresses_kept(&lab)?;
    lab.wait_for_route(family, Some(Node::A))?;
    let back = lab.wait_for_answer(watch, Node::A, PATIENCE)?;
    ensure!(
        back.is_some(),
        "the client gets no answer from the node that has come back"
    );

    lab.stop_traffic();
    let ended = lab.stop_daemon(Node::A, Signal::SIGTERM)?;
    ensure!(
        ended.is_some_and(|status| status.success()),
        "the daemon ended badly: {ended:?}"
    );
    Ok(())
}

/// Waits for the daemon's hooks: ingress and egress.
fn attached(lab: &mut Lab<'_>, since: Mark) -> Result<(String, String)> {
    let found = lab.wait_for(since, PATIENCE, |observation| match &observation.what {
        What::Daemon { event, .. } => match &event.kind {
            EventKind::Attached { ingress, egress, .. } => Some((ingress.clone(), egress.clone())),
            _ => None,
        },
        _ => None,
    })?;
    found.context("the daemon didn't attach its programs")
}

/// Waits until the daemon reports queries and answers, and has seen enough of them to act.
fn wait_until_armed(lab: &mut Lab<'_>, since: Mark, family: Family) -> Result<()> {
    let service = family.service_address().to_string();
    let counted = lab.wait_for_event(since, PATIENCE, Node::A, |event| match event {
        EventKind::Report { services } => services
            .iter()
            .any(|report| report.address == service && report.queries_per_s > 0.0 && report.answers_per_s > 0.0),
        _ => false,
    })?;
    ensure!(counted.is_some(), "the daemon doesn't count queries and answers");
    let armed = lab.wait_for_event(
        since,
        PATIENCE,
        Node::A,
        |event| matches!(event, EventKind::State { address, to, .. } if *address == service && to == "healthy"),
    )?;
    ensure!(armed.is_some(), "the daemon has not armed");
    Ok(())
}

/// Checks that the link has its addresses, whether it is up or down.
fn ensure_addresses_kept(lab: &Lab<'_>) -> Result<()> {
    let node = &lab.network().nodes.a;
    let shown = node.ip_output(&["-json", "address", "show", "dev", LINK])?;
    for family in Family::ALL {
        let address = family.service_address();
        // With the quotes, so that it is not a part of another.
        ensure!(
            shown.contains(&format!("\"{address}\"")),
            "the link has lost {address}: {shown}"
        );
    }
    Ok(())
}

/// Asks the server on its own node until it answers.
fn ask(node: &Namespace, address: IpAddr) -> Result<()> {
    let query = dns::query()?;
    let end = Moment::now() + HOLD_DOWN;
    node.run(|| {
        let unspecified: IpAddr = match address {
            IpAddr::V4(_) => [0; 4].into(),
            IpAddr::V6(_) => [0; 16].into(),
        };
        let socket = UdpSocket::bind((unspecified, 0))?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut buffer = [0; 512];
        while Moment::now() < end {
            socket.send_to(&query, (address, dns::PORT))?;
            let answer = socket.recv(&mut buffer).ok();
            let answer = answer.and_then(|length| buffer.get(..length));
            if answer.and_then(dns::read_answer).is_some() {
                return Ok(());
            }
        }
        bail!("no answer")
    })
}

fn has_tcx(release: &str) -> bool {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()) >= Some(FIRST_WITH_TCX)
}

/// Everything that is seen, on the kernel's console, for when something goes wrong.
struct Console;

impl Progress for Console {
    fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            What::Throughput(_) => {}
            What::Daemon { event, .. } if matches!(event.kind, EventKind::Report { .. }) => {}
            what => eprintln!("{what:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcx_is_expected_of_the_kernels_that_have_it() {
        for (release, expected) in [
            ("6.1.0-56-cloud-amd64", false),
            ("6.5.13", false),
            ("6.6.0", true),
            ("6.12.117+deb12-cloud-amd64", true),
            ("7.0-rc1", true),
        ] {
            assert_eq!(has_tcx(release), expected, "{release}");
        }
    }
}
