//! Stand-in until the engine takes these.

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) queries: u64,
    pub(super) answers: u64,
    pub(super) packets: u64,
    pub(super) hints: u64,
    pub(super) servfails: u64,
    pub(super) local_answers: Option<u64>,
}
