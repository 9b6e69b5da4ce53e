//! The figures of the documentation, as SVG: the same files for the same arguments on every machine. Fonts are those of
//! whoever looks at them.

mod delay;
mod evidence;
mod matrix;
mod runs;
mod style;

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{delays, matrix::Row};

/// Their files.
const FIGURES: [&str; 3] = ["delay.svg", "evidence.svg", "matrix.svg"];

/// Draws all figures into `directory`, which is made if need be.
pub(super) fn draw(directory: &Path, delays: &[delays::Row], scenarios: &[Row]) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let figures = [delay::draw(delays)?, evidence::draw()?, matrix::draw(scenarios)?];
    for (name, svg) in FIGURES.into_iter().zip(figures) {
        let path = directory.join(name);
        fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MOST: u64 = 100_000;

    #[test]
    fn the_manual_shows_every_figure() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let manual = fs::read_to_string(docs.join("detection.md")).unwrap();
        for name in FIGURES {
            assert!(manual.contains(&format!("](plots/{name})")), "{name}");
            let size = fs::metadata(docs.join("plots").join(name)).unwrap().len();
            assert!((1000..BYTES_MOST).contains(&size), "{name}: {size} bytes");
        }
        let there = fs::read_dir(docs.join("plots")).unwrap().count();
        assert_eq!(there, FIGURES.len(), "figures that nobody draws any more");
    }

    #[test]
    fn a_figure_is_the_same_each_time() {
        assert_eq!(evidence::draw().unwrap(), evidence::draw().unwrap());
    }
}
