//! What a virtual machine of the kernel matrix tells its host, and where things are in it.
//!
//! The guest is `anycast-vm-guest`, which `cargo xtask vm` boots as the first process of a Debian kernel. It writes
//! [`Message`]s to a serial port of their own, one JSON object a line, so that words of the kernel never fall among
//! them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The serial port for messages, as the guest sees it; the kernel's console is the other one.
pub const MESSAGE_PORT: &str = "/dev/ttyS1";
/// The guest's directory of programs.
pub const PROGRAMS: &str = "/bin";
/// The guest's directory of kernel modules, all of which it loads.
pub const MODULES: &str = "/modules";
/// The compiled tests of the kernel programs, below [`PROGRAMS`].
pub const PROGRAM_TESTS: &str = "program-tests";
/// The object of the kernel programs, as `cargo xtask build-ebpf` made it.
pub const OBJECT: &str = "/programs.o";
/// The guest's copy of the [`corpus`](crate::corpus).
pub const CORPUS: &str = "/corpus";

/// One line of the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// What it has done, in words for a person who waits.
    Progress(String),
    /// A line of the test harness.
    TestOutput(String),
    /// All that it found; the last message.
    Report(Report),
}

/// What came of one kernel. Times are in milliseconds on `CLOCK_MONOTONIC`, `None` for what did not happen. Under
/// software emulation they tell that it works, not how fast it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// Whether it is one with `PREEMPT_RT`.
    pub preempt_rt: bool,
    /// The kind of the link that holds the service addresses.
    pub link_kind: Option<String>,
    /// The daemon's hook for queries: `xdp`, `xdp-generic` or `tc`.
    pub ingress: Option<String>,
    /// The daemon's hook for answers: `tcx` or `clsact`.
    pub egress: Option<String>,
    /// What came of each address family.
    pub families: Vec<FamilyReport>,
    /// What the daemon had in the kernel while it was at work.
    pub loaded: Loaded,
    /// Every kernel program under every one of its settings.
    pub programs: Vec<ProgramReport>,
    /// What should have happened and didn't, or the other way round, for the machine as a whole.
    pub surprises: Vec<String>,
}

/// A failure of the server of one address family, and its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FamilyReport {
    /// 4 or 6.
    pub family: u8,
    /// Whether there was no surprise.
    pub ok: bool,
    /// From the fault to the daemon's decision.
    pub detect_ms: Option<f64>,
    /// From the fault to the link being down, acknowledged by the kernel.
    pub link_down_ms: Option<f64>,
    /// From the fault to the BGP withdrawal's arrival at the router; `None` without a routing daemon too.
    pub wire_ms: Option<f64>,
    /// From the remedy to the link being up again, hold-down included.
    pub link_up_ms: Option<f64>,
    /// What should have happened and didn't, or the other way round.
    pub surprises: Vec<String>,
}

/// The kernel programs and maps of a daemon, by the 15 bytes that the kernel keeps of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Bytes of machine code of the programs.
    pub programs: BTreeMap<String, u32>,
    /// Numbers of entries of the maps.
    pub maps: BTreeMap<String, u32>,
}

/// A kernel program as this kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: String,
    /// The settings that it was loaded with, where they aren't the usual ones. They are read-only globals: the verifier
    /// drops what they turn off, so that each makes another program of it.
    pub settings: Option<String>,
    /// Instructions that the verifier went through: what it calls `processed insns`. The limit is a million.
    pub verified_instructions: u32,
    /// Size of its machine code in bytes.
    pub jited_bytes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines_that_can_be_read_back() {
        let message = Message::Report(Report {
            kernel: "6.1".into(),
            link_kind: Some("dummy".into()),
            ingress: None,
            egress: None,
            families: vec![FamilyReport {
                family: 6,
                detect_ms: Some(31.25),
                ..FamilyReport::default()
            }],
            preempt_rt: false,
            loaded: Loaded::default(),
            programs: Vec::new(),
            surprises: vec!["two\nlines".into()],
        });
        let line = serde_json::to_string(&message).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
    }
}
