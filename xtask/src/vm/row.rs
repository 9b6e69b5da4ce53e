//! What is told of one kernel.

use anycast_tests::vm::{FamilyReport, Loaded, Report};
use serde::Serialize;

use super::kept::Kept;
use super::kernel::{Kernel, Name};
use super::machine::{Accelerator, Ended};
use super::verifier::{Comparison, Figures};
use crate::workspace::say;

/// The result for one kernel. Times are in milliseconds, `null` for what did not happen; under software emulation they
/// tell that it works, not how fast it is.
#[derive(Serialize)]
pub(super) struct Row {
    /// The guest's `uname -r`.
    pub(super) kernel: String,
    /// What it is called here: its series, and `-rt` where it has `PREEMPT_RT`.
    pub(super) name: Name,
    /// Whether all went as it should.
    pub(super) ok: bool,
    accelerator: Accelerator,
    /// From the machine's start to its end.
    seconds: f64,
    link_kind: Option<String>,
    ingress: Option<String>,
    egress: Option<String>,
    families: Vec<FamilyReport>,
    /// The daemon's programs and maps.
    loaded: Loaded,
    /// Every program under all its settings, beside the figures that are kept.
    programs: Vec<Comparison>,
    program_tests: TestCounts,
    /// What is wrong with their figures.
    too_costly: Vec<String>,
    /// What should have happened and didn't, or the other way round, apart from the families' own.
    surprises: Vec<String>,
    #[serde(skip)]
    console: String,
    #[serde(skip)]
    test_output: String,
    #[serde(skip)]
    pub(super) figures: Figures,
}

/// How the tests of the kernel programs ended.
#[derive(Serialize)]
struct TestCounts {
    passed: u64,
    failed: u64,
}

impl Row {
    /// `kept` are the figures to compare with, or `None` where those of this run are going to be kept.
    pub(super) fn new(kernel: &Kernel, ended: Ended, toolchain: &str, kept: Option<&Kept>) -> Self {
        let Ended {
            report,
            tests,
            test_output,
            console,
            accelerator,
            duration,
            status,
            spoke: _,
        } = ended;
        let report = report.unwrap_or_else(|| Report {
            kernel: kernel.release.clone(),
            preempt_rt: false,
            link_kind: None,
            ingress: None,
            egress: None,
            families: Vec::new(),
            loaded: Loaded::default(),
            programs: Vec::new(),
            surprises: vec![match status {
                Some(status) => format!("the machine ended without a report, its emulator by itself: {status}"),
                None => "the machine ended without a report".to_owned(),
            }],
        });
        let mut surprises = report.surprises;
        if tests.passed == 0 || tests.failed > 0 {
            let names = tests.failures.join(", ");
            surprises.push(format!(
                "of the tests of the kernel programs {} passed and {} failed: {names}",
                tests.passed, tests.failed
            ));
        }
        if report.preempt_rt != kernel.name.is_realtime() {
            let with = if report.preempt_rt { "with" } else { "without" };
            surprises.push(format!("this is a kernel {with} PREEMPT_RT"));
        }
        if report.programs.is_empty() {
            surprises.push("no kernel program was measured".to_owned());
        }
        let name = kernel.name.to_string();
        let figures = Figures::new(toolchain, &report.programs);
        let kept = match kept {
            Some(kept) => kept.get(&name),
            None => Some(&figures),
        };
        let programs = figures.compare(kept);
        let too_costly = figures.failures(&name, kept);
        Self {
            kernel: report.kernel,
            name: kernel.name.clone(),
            ok: surprises.is_empty() && too_costly.is_empty() && report.families.iter().all(|family| family.ok),
            accelerator,
            seconds: (duration.as_secs_f64() * 10.0).round() / 10.0,
            link_kind: report.link_kind,
            ingress: report.ingress,
            egress: report.egress,
            families: report.families,
            loaded: report.loaded,
            programs,
            program_tests: TestCounts {
                passed: tests.passed,
                failed: tests.failed,
            },
            too_costly,
            surprises,
            console,
            test_output,
            figures,
        }
    }

    /// Tells it to a person; with the machine's console when something went wrong.
    pub(super) fn say(&self) {
        // It tells nothing about figures.
        if !self.surprises.is_empty() || self.families.iter().any(|family| !family.ok) {
            say(format!("the end of the console of Linux {}:", self.kernel));
            eprintln!("{}", self.console.trim_end());
        }
        if self.program_tests.failed > 0 {
            say("what the tests of the kernel programs printed:");
            eprintln!("{}", self.test_output.trim_end());
        }
        say(format!(
            "Linux {} ({}, {:.0} s): {}",
            self.kernel,
            self.accelerator.name(),
            self.seconds,
            if self.ok { "ok" } else { "FAILED" }
        ));
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        say(format!(
            "  queries by {}, answers by {}, link of kind {}; program tests: {} passed, {} failed",
            or_none(&self.ingress),
            or_none(&self.egress),
            or_none(&self.link_kind),
            self.program_tests.passed,
            self.program_tests.failed
        ));
        let ms = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), |time| format!("{time:.1} ms"));
        for family in &self.families {
            say(format!(
                "  IPv{}: detected {}, link down {}, withdrawn on the wire {}, link up {} after the remedy",
                family.family,
                ms(family.detect_ms),
                ms(family.link_down_ms),
                ms(family.wire_ms),
                ms(family.link_up_ms)
            ));
        }
        for program in &self.programs {
            say(format!("  {}", program.describe()));
        }
        let of_families = self.families.iter().flat_map(|family| {
            family
                .surprises
                .iter()
                .map(move |words| format!("IPv{}: {words}", family.family))
        });
        let all = self.surprises.iter().chain(&self.too_costly).cloned();
        for surprise in all.chain(of_families) {
            say(format!("  FAILED: {surprise}"));
        }
    }
}
