//! Recordings of samples: what a daemon read of its services' counters, moment by moment, as lines of JSON; and replays
//! of them, which tell what a daemon would have done.
//!
//! ```text
//! {"t_ms": 12345.0, "service": "dns", "queries": 1000, "answers": 990, "probe_answered": 16}
//! ```
//!
//! A replay runs the engine that the daemon runs, with the time of the recording. It needs no privilege, no interface and
//! no kernel program. `docs/replay.md` is the operator's view.

mod bursts;
mod error;
mod explain;
mod happened;
mod json;
mod kind;
mod layout;
mod line;
mod lines;
mod link;
mod number;
mod quick;
mod reader;
mod replay;
mod sample;
mod service;
mod summary;

pub use self::{
    error::{LineError, RecordingError},
    explain::Explained,
    happened::Happened,
    kind::{Input, Kind},
    line::Line,
    reader::Recording,
    replay::Replay,
    sample::Sample,
    service::Tally,
    summary::{ServiceSummary, Summary},
};

/// The longest line that is read, in bytes. A sample has some 150.
pub const LINE_BYTES_MAX: usize = 1 << 16;
/// The most services of a recording: as many as a daemon can have.
pub const SERVICES_MAX: usize = anycast_ebpf::layout::SERVICES_MAX;
