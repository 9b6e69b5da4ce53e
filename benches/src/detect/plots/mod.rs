//! The figures of the documentation, as SVG: the same files for the same arguments on every machine. Fonts are those of
//! whoever looks at them.

mod delay;
mod evidence;
mod matrix;
mod style;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{delays, matrix::Row};

/// Draws all figures into `directory`, which is made if need be.
pub(super) fn draw(directory: &Path, delays: &[delays::Row], scenarios: &[Row]) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let save = |name: &str, svg: String| {
        let path: PathBuf = directory.join(name);
        fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("{}", path.display());
        anyhow::Ok(())
    };
    save("delay.svg", delay::draw(delays)?)?;
    save("evidence.svg", evidence::draw()?)?;
    save("matrix.svg", matrix::draw(scenarios)?)
}
