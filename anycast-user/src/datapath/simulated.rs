//! Counting in place of the programs, for benchmarks and tests.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{DatapathError, bank::COUNTERS_WORDS, mapping::Counted};

/// Counts in the memory of a bank that is [without programs](super::Bank::without_programs).
///
/// For no other bank can there be one: what belongs to the kernel's maps is mapped for reading only.
#[derive(Debug)]
pub struct SimulatedPrograms(Arc<Counted>);

impl SimulatedPrograms {
    /// So many words of memory that may be written to, and those who read them.
    pub(super) fn new(words: usize) -> Result<(Self, Arc<Counted>), DatapathError> {
        let counters = Arc::new(Counted::anonymous(words)?);
        Ok((Self(Arc::clone(&counters)), counters))
    }

    /// Counts a query and an answer of every service on every CPU, as the programs on them would.
    pub fn count_everywhere(&self) {
        for counters in self.0.words().chunks_exact(COUNTERS_WORDS) {
            for word in counters.iter().take(2) {
                word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
            }
        }
    }
}
