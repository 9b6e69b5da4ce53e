//! What each kernel's verifier and compiler of machine code made of the programs, against the figures that are kept: a
//! program that has grown should be noticed when it grows, and not when a kernel refuses it.

use std::collections::BTreeMap;

use anycast_tests::vm::ProgramReport;
use serde::{Deserialize, Serialize};

/// How far a figure may be above the kept one, in percent.
///
/// The same sources give other figures where another rustc or LLVM compiles them, where an update of the kernel changes
/// how its verifier prunes branches, or where a processor has shorter instructions for the same. A program in which a
/// loop is followed once more than before grows by far more.
const ALLOWANCE_PERCENT: u64 = 10;

/// How many instructions a verifier may go through, half of the million after which it gives up: what another compiler
/// makes of the same sources, or another version of the kernel, may be twice as much.
const VERIFIED_MAX: u32 = 500_000;

/// What one program costs one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Instructions that the verifier went through.
    pub(super) verified_instructions: u32,
    /// Bytes of machine code.
    pub(super) jited_bytes: u32,
}

/// The figures of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// What compiled the programs.
    toolchain: String,
    /// By program and settings.
    programs: BTreeMap<String, Cost>,
}

/// One program's figures beside the kept ones.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Comparison {
    /// Its name, and its settings where they aren't the usual ones.
    program: String,
    /// `null`: it was not loaded.
    now: Option<Cost>,
    /// `null`: it is not kept.
    kept: Option<Cost>,
    verdict: Verdict,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Within,
    /// A figure is below the kept one by more than the allowance: worth keeping.
    Below,
    /// A figure is above the kept one by more than the allowance.
    Above,
    /// There is nothing to compare it with.
    NotKept,
    /// It is kept, and is not loaded any more.
    Gone,
    /// So much that not every kernel may load it, whatever is kept.
    TooMuch,
}

impl Figures {
    pub(super) fn new(toolchain: &str, programs: &[ProgramReport]) -> Self {
        let programs = programs.iter().map(|program| {
            let name = match &program.settings {
                None => program.name.clone(),
                Some(settings) => format!("{} ({settings})", program.name),
            };
            let cost = Cost {
                verified_instructions: program.verified_instructions,
                jited_bytes: program.jited_bytes,
            };
            (name, cost)
        });
        Self {
            toolchain: toolchain.to_owned(),
            programs: programs.collect(),
        }
    }

    /// Compares these with those that are kept of the same kernel, by program.
    pub(super) fn compare(&self, kept: Option<&Self>) -> Vec<Comparison> {
        let of = |figures: Option<&Self>, name: &str| figures.and_then(|figures| figures.programs.get(name)).copied();
        let mut names: Vec<&String> = self.programs.keys().collect();
        names.extend(kept.iter().flat_map(|kept| kept.programs.keys()));
        names.sort();
        names.dedup();
        let compare = |name: &String| {
            let (now, kept) = (of(Some(self), name), of(kept, name));
            Comparison {
                program: name.clone(),
                now,
                kept,
                verdict: Verdict::of(now, kept),
            }
        };
        names.into_iter().map(compare).collect()
    }
}

impl Verdict {
    fn of(now: Option<Cost>, kept: Option<Cost>) -> Self {
        if now.is_some_and(|now| now.verified_instructions > VERIFIED_MAX) {
            return Self::TooMuch;
        }
        let (Some(now), Some(kept)) = (now, kept) else {
            return if now.is_some() { Self::NotKept } else { Self::Gone };
        };
        let figures = [
            (now.verified_instructions, kept.verified_instructions),
            (now.jited_bytes, kept.jited_bytes),
        ];
        let is_far_above = |more: u32, less: u32| u64::from(more) * 100 > u64::from(less) * (100 + ALLOWANCE_PERCENT);
        if figures.iter().any(|&(now, kept)| is_far_above(now, kept)) {
            Self::Above
        } else if figures.iter().any(|&(now, kept)| is_far_above(kept, now)) {
            Self::Below
        } else {
            Self::Within
        }
    }
}

impl Figures {
    /// What must not be, a line for each program; `kept` are those of the same kernel that are kept.
    pub(super) fn failures(&self, kernel: &str, kept: Option<&Self>) -> Vec<String> {
        let accept = format!("`cargo xtask vm --kernel {kernel} --keep` accepts it");
        let compilers = kept.map_or_else(String::new, |kept| {
            format!("kept by {}, now by {}", kept.toolchain, self.toolchain)
        });
        let line = |program: Comparison| {
            let what = match program.verdict {
                Verdict::Within | Verdict::Below => return None,
                Verdict::NotKept if kept.is_none() => return None,
                Verdict::NotKept => format!("it is not kept yet; {accept}"),
                Verdict::Gone => format!("it is not loaded any more; {accept}"),
                Verdict::Above => format!("that is more than {ALLOWANCE_PERCENT} % above ({compilers}); {accept}"),
                Verdict::TooMuch => format!(
                    "more than {VERIFIED_MAX} instructions verified is half of what a verifier goes through before it \
                     gives up"
                ),
            };
            let Comparison { program, now, kept, .. } = program;
            let (kept, now) = (words(kept), words(now));
            Some(format!("{program} on {kernel}: kept {kept}, now {now}: {what}"))
        };
        let mut lines: Vec<String> = self.compare(kept).into_iter().filter_map(line).collect();
        if kept.is_none() {
            lines.push(format!("what programs cost on {kernel} is not kept yet; {accept}"));
        }
        lines
    }
}

impl Comparison {
    /// Its figures, in words.
    pub(super) fn describe(&self) -> String {
        let Self {
            program, now, verdict, ..
        } = self;
        let hint = if *verdict == Verdict::Below {
            ", much less than what is kept: `cargo xtask vm --keep` keeps it"
        } else {
            ""
        };
        format!("{program}: {}{hint}", words(*now))
    }
}

fn words(cost: Option<Cost>) -> String {
    cost.map_or_else(
        || "nothing".to_owned(),
        |Cost {
             verified_instructions,
             jited_bytes,
         }| format!("{verified_instructions} instructions verified and {jited_bytes} bytes of machine code"),
    )
}

#[cfg(test)]
mod tests {
    use super::{Figures, ProgramReport, VERIFIED_MAX, Verdict};

    fn figures(programs: &[(&str, Option<&str>, u32, u32)]) -> Figures {
        let programs: Vec<_> = programs
            .iter()
            .map(|&(name, settings, verified_instructions, jited_bytes)| ProgramReport {
                name: name.to_owned(),
                settings: settings.map(str::to_owned),
                verified_instructions,
                jited_bytes,
            })
            .collect();
        Figures::new("rustc", &programs)
    }

    /// The verdict on figures of which 1000 instructions and 500 bytes are kept.
    fn verdict(verified_instructions: u32, jited_bytes: u32) -> Verdict {
        let kept = figures(&[("a", None, 1000, 500)]);
        let now = figures(&[("a", None, verified_instructions, jited_bytes)]);
        now.compare(Some(&kept))[0].verdict
    }

    #[test]
    fn a_tenth_more_is_allowed_of_either_figure() {
        assert_eq!(verdict(1100, 550), Verdict::Within);
        assert_eq!(verdict(1101, 500), Verdict::Above);
        assert_eq!(verdict(1000, 551), Verdict::Above);
    }

    #[test]
    fn much_less_is_worth_keeping_unless_the_other_figure_has_grown() {
        assert_eq!(verdict(910, 460), Verdict::Within);
        assert_eq!(verdict(900, 500), Verdict::Below);
        assert_eq!(verdict(500, 551), Verdict::Above);
    }

    /// The lines about `now` where `kept` is kept.
    fn lines(now: &Figures, kept: Option<&Figures>) -> Vec<String> {
        now.failures("6.12", kept)
    }

    #[test]
    fn a_program_that_is_new_or_gone_or_has_other_settings_fails() {
        let kept = figures(&[("a", None, 1000, 500), ("b", None, 7, 7)]);
        let now = figures(&[("a", None, 1000, 500), ("a", Some("atomic"), 1000, 500)]);
        let lines = lines(&now, Some(&kept));
        assert!(lines[0].starts_with("a (atomic) on 6.12: kept nothing,"), "{lines:?}");
        assert!(
            lines[1].starts_with("b on 6.12:") && lines[1].contains("now nothing"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_kernel_that_is_new_fails_in_one_line() {
        let now = figures(&[("a", None, 1, 1), ("b", None, 1, 1)]);
        assert_eq!(lines(&now, None).len(), 1);
    }

    #[test]
    fn a_failure_tells_both_figures_and_how_to_accept_and_what_is_well_is_silent() {
        let kept = figures(&[("a", None, 1000, 500), ("b", None, 1, 1)]);
        let now = figures(&[("a", None, 2000, 510), ("b", None, 1, 1)]);
        let found = lines(&now, Some(&kept));
        for part in ["1000", "500", "2000", "510", "rustc", "vm --kernel 6.12 --keep"] {
            assert!(found[0].contains(part), "{found:?}");
        }
        assert_eq!(found.len(), 1);
        assert_eq!(lines(&kept, Some(&kept)), [""; 0]);
    }

    #[test]
    fn what_a_verifier_almost_refuses_fails_even_when_it_is_kept() {
        let now = figures(&[("a", None, VERIFIED_MAX + 1, 500)]);
        assert_eq!(lines(&now, Some(&now)).len(), 1);
        let now = figures(&[("a", None, VERIFIED_MAX, 500)]);
        assert_eq!(lines(&now, Some(&now)).len(), 0);
    }
}
