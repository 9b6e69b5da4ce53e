//! Packets that are worth keeping: crafted ones that reach every branch of the parser, and what fuzzing found besides.
//!
//! They are plain files below `tests/corpus/frame`, each an [`Input`]. The fuzz target starts from them, and the
//! differential test sends them through the loaded programs. `cargo xtask fuzz --seed-corpus` writes the crafted ones.

mod input;
mod seeds;

pub use input::Input;
pub use seeds::{CLIENT, CLIENT_V6, SERVICE, SERVICE_V6, seeds};

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

/// The environment variable that moves the corpus elsewhere, as in a virtual machine.
pub const VARIABLE: &str = "ANYCAST_PROBE_CORPUS";

/// The name of the fuzz target, and of the directory of its inputs.
pub const FRAME: &str = "frame";

/// The directory with the inputs of the fuzz target `frame`.
#[must_use]
pub fn directory() -> PathBuf {
    env::var_os(VARIABLE)
        .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/corpus").into(), PathBuf::from)
        .join(FRAME)
}

/// All inputs by the names of their files: the bytes are for [`Input::parse`].
pub fn read() -> Result<BTreeMap<String, Vec<u8>>> {
    let directory = directory();
    let cannot_read = || format!("cannot read the corpus in {}", directory.display());
    let mut inputs = BTreeMap::new();
    for entry in fs::read_dir(&directory).with_context(cannot_read)? {
        let entry = entry.with_context(cannot_read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        inputs.insert(name, fs::read(entry.path()).with_context(cannot_read)?);
    }
    ensure!(
        !inputs.is_empty(),
        "{} is empty; `cargo xtask fuzz --seed-corpus` fills it",
        directory.display()
    );
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_corpus_is_whole_and_has_nothing_twice() {
        let kept = read().unwrap();
        for (name, bytes) in seeds() {
            assert_eq!(
                kept.get(&name),
                Some(&bytes),
                "{name}; `cargo xtask fuzz --seed-corpus` writes it"
            );
        }
        let distinct: BTreeSet<_> = kept.values().collect();
        assert_eq!(distinct.len(), kept.len());
        for (name, bytes) in &kept {
            assert!(Input::parse(bytes).is_some(), "{name}");
        }
    }
}
