//! The corpus in the repository: crafted inputs under names of their own, and found ones.

use std::fs;
use std::path::Path;

use anycast_tests::corpus;
use anyhow::{Context, Result};

use super::build::Target;

/// How the name of a found input starts; the rest is the start of its hash.
const FOUND: &str = "found-";
const HASH_CHARACTERS: usize = 12;

/// Writes the crafted inputs, and removes what is neither one of them nor found. Gives how many they are.
pub(super) fn seed() -> Result<usize> {
    let directory = corpus::directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let seeds = corpus::seeds();
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(FOUND) && !seeds.contains_key(&name) {
            fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    for (name, bytes) in &seeds {
        let path = directory.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(seeds.len())
}

/// Adds those of `found` that reach what no input of the corpus does, smaller ones first, and gives their names.
pub(super) fn keep(target: &Target, found: &Path) -> Result<Vec<String>> {
    let directory = corpus::directory();
    // The engine names what it adds by its hash, so it works on a copy.
    let merged = tempfile::tempdir()?;
    let before = corpus::read()?;
    for (name, bytes) in &before {
        fs::write(merged.path().join(name), bytes)?;
    }
    target.merge(merged.path(), found)?;
    let mut kept = Vec::new();
    for entry in fs::read_dir(merged.path())? {
        let entry = entry?;
        let hash = entry.file_name().to_string_lossy().into_owned();
        if before.contains_key(&hash) {
            continue;
        }
        let name = format!("{FOUND}{}", hash.get(..HASH_CHARACTERS).unwrap_or(&hash));
        let path = directory.join(&name);
        fs::copy(entry.path(), &path).with_context(|| format!("cannot write {}", path.display()))?;
        kept.push(name);
    }
    kept.sort();
    Ok(kept)
}
