//! Embeds the kernel programs that `cargo xtask build-ebpf` made, or nothing: then the daemon says how to get them.

use std::{env, error::Error, fs, path::Path, time::SystemTime};

/// Where `cargo xtask build-ebpf` puts the object, from this crate's directory.
const OBJECT: &str = "../target/bpf/bpfel-unknown-none/bpf/anycast-programs";
/// What the object is built from.
const SOURCES: &str = "../anycast-ebpf/src";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={OBJECT}");
    println!("cargo::rerun-if-changed={SOURCES}");
    let object = Path::new(OBJECT);
    let bytes = fs::read(object).unwrap_or_default();
    if !bytes.is_empty() && newest(Path::new(SOURCES))? > fs::metadata(object)?.modified()? {
        println!("cargo::warning=the kernel programs are older than their source: run `cargo xtask build-ebpf`");
    }
    let out = Path::new(&env::var("OUT_DIR")?).join("anycast-programs");
    fs::write(out, bytes)?;
    Ok(())
}

fn newest(directory: &Path) -> Result<SystemTime, Box<dyn Error>> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let modified = if metadata.is_dir() {
            self::newest(&entry.path())?
        } else {
            metadata.modified()?
        };
        newest = newest.max(modified);
    }
    Ok(newest)
}
