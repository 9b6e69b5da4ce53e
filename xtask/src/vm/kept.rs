//! The figures of the programs that are kept in the repository, as `tests/verifier.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::verifier::Figures;
use crate::workspace::root;

/// The figures by the kernel's name.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Kept(BTreeMap<String, Figures>);

impl Kept {
    /// What is kept; nothing if the file isn't there.
    pub(super) fn read() -> Result<Self> {
        let path = path();
        if !path.exists() {
            return Ok(Self::default());
        }
        let cannot_read = || format!("cannot read {}", path.display());
        let text = fs::read_to_string(&path).with_context(cannot_read)?;
        serde_json::from_str(&text).with_context(cannot_read)
    }

    pub(super) fn get(&self, kernel: &str) -> Option<&Figures> {
        self.0.get(kernel)
    }

    /// Takes in the figures of a kernel, in place of all that was kept of it.
    pub(super) fn set(&mut self, kernel: &str, figures: Figures) {
        self.0.insert(kernel.to_owned(), figures);
    }

    pub(super) fn write(&self) -> Result<PathBuf> {
        let path = path();
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn path() -> PathBuf {
    root().join("tests/verifier.json")
}

#[cfg(test)]
mod tests {
    use anycast_tests::vm::ProgramReport;

    use super::*;

    #[test]
    fn what_is_kept_can_be_read_back_and_is_sorted() {
        let program = |name: &str| ProgramReport {
            name: name.to_owned(),
            settings: None,
            verified_instructions: 7,
            jited_bytes: 7,
        };
        let mut kept = Kept::default();
        kept.set("6.12", Figures::new("rustc", &[program("b"), program("a")]));
        kept.set("6.1", Figures::new("rustc", &[]));
        let text = serde_json::to_string_pretty(&kept).unwrap();
        assert!(text.find("\"6.1\"") < text.find("\"6.12\"") && text.find("\"a\"") < text.find("\"b\""));
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
    }
}
