//! The root file system of a virtual machine: a cpio archive that the kernel unpacks into memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::{tools, vm};
use anyhow::{Context, Result, bail};
use cpio::newc;

use crate::workspace::capture;

/// Where the guest's loader looks for libraries, whatever the distribution.
const LIBRARIES: &str = "/lib";
const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// Files of this machine by their place in the guest.
pub(super) struct Image {
    files: BTreeMap<PathBuf, PathBuf>,
}

impl Image {
    pub(super) fn new() -> Self {
        Self { files: BTreeMap::new() }
    }

    /// Adds the program at `path` as `name`, with the libraries that it is linked with.
    pub(super) fn add_program(&mut self, path: &Path, name: &str) -> Result<()> {
        for (place, library) in libraries(path)? {
            self.files.insert(place, library);
        }
        self.add_file(path, &Path::new(vm::PROGRAMS).join(name));
        Ok(())
    }

    /// Adds the file at `path` as `place`.
    pub(super) fn add_file(&mut self, path: &Path, place: &Path) {
        self.files.insert(place.to_owned(), path.to_owned());
    }

    /// Adds a kernel module.
    pub(super) fn add_module(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().context("a module has a name")?;
        self.add_file(path, &Path::new(vm::MODULES).join(name));
        Ok(())
    }

    /// Writes it all to a file without a name, which is gone when nobody has it open any more.
    pub(super) fn pack(&self) -> Result<File> {
        let file = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut archive = BufWriter::new(file);
        for directory in self.directories() {
            append(&mut archive, directory, DIRECTORY, &mut io::empty(), 0)?;
        }
        for (place, path) in &self.files {
            let cannot_pack = || format!("cannot pack {}", path.display());
            let mut content = File::open(path).with_context(cannot_pack)?;
            let length = content.metadata().with_context(cannot_pack)?.len();
            append(&mut archive, place, EXECUTABLE, &mut content, length).with_context(cannot_pack)?;
        }
        newc::trailer(&mut archive)?;
        archive.flush().context("the temporary file can't be written")?;
        archive.into_inner().context("the temporary file can't be written")
    }

    /// Every directory that leads to a file, outer ones first, as the kernel wants them.
    fn directories(&self) -> BTreeSet<&Path> {
        self.files
            .keys()
            .flat_map(|place| place.ancestors().skip(1))
            .filter(|directory| directory.parent().is_some())
            .collect()
    }
}

fn append(archive: &mut impl Write, place: &Path, mode: u32, content: &mut impl io::Read, length: u64) -> Result<()> {
    let name = place.strip_prefix("/").unwrap_or(place).to_string_lossy();
    let length = u32::try_from(length).context("the archive can't hold files of 4 GB")?;
    let mut entry = newc::Builder::new(&name).mode(mode).nlink(1).write(archive, length);
    io::copy(content, &mut entry)?;
    entry.finish()?;
    Ok(())
}

/// The libraries of the program at `path`: where they have to be in the guest, and where they are here.
fn libraries(path: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut loader = Command::new("ldd");
    loader.arg(path).env_remove("LD_LIBRARY_PATH");
    // A program that setup unpacked has its libraries beside it.
    if let Some(tree) = tree_of(path) {
        loader.env("LD_LIBRARY_PATH", tools::library_path(&tree));
    }
    let listing = capture(&mut loader)
        .with_context(|| format!("cannot tell the libraries of {}; is ldd there?", path.display()))?;
    let mut found = Vec::new();
    for line in listing.lines() {
        found.extend(parse_library(line).with_context(|| format!("{} can't be packed", path.display()))?);
    }
    Ok(found)
}

fn tree_of(path: &Path) -> Option<PathBuf> {
    let trees = tools::trees();
    let tree = path.strip_prefix(&trees).ok()?.components().next()?;
    Some(trees.join(tree))
}

/// Reads a line of `ldd`: where the library has to be in the guest, and where it is here.
fn parse_library(line: &str) -> Result<Option<(PathBuf, PathBuf)>> {
    // "name => /path (0x…)", "name => not found", "/loader (0x…)", "linux-vdso.so.1 (0x…)", "statically linked"
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match *words {
        [name, "=>", "not", "found"] => bail!("its library {name} is not there"),
        [name, "=>", path, ..] => Some((Path::new(LIBRARIES).join(name), fs::canonicalize(path)?)),
        // The loader's place is written in the programs.
        [path, ..] if path.starts_with('/') => Some((path.into(), fs::canonicalize(path)?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn a_packed_image_has_every_directory_before_its_files() {
        let mut image = Image::new();
        let directory = tempfile::tempdir().unwrap();
        let module = directory.path().join("dummy.ko");
        fs::write(&module, "module").unwrap();
        image.add_module(&module).unwrap();
        image.add_program(Path::new("/bin/sh"), "sh").unwrap();
        let mut file = image.pack().unwrap();
        file.rewind().unwrap();
        let mut seen = BTreeSet::from([PathBuf::from("")]);
        let mut content = String::new();
        loop {
            let mut entry = newc::Reader::new(file).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            let name = PathBuf::from(entry.entry().name());
            assert!(seen.contains(name.parent().unwrap()), "{name:?}");
            if name.ends_with("dummy.ko") {
                entry.read_to_string(&mut content).unwrap();
            }
            seen.insert(name);
            file = entry.finish().unwrap();
        }
        assert_eq!(content, "module");
        assert!(seen.contains(Path::new("bin/sh")));
        assert!(seen.iter().any(|name| name.starts_with("lib")), "{seen:?}");
    }

    #[test]
    fn lines_of_ldd_are_read() {
        let none = parse_library("\tlinux-vdso.so.1 (0x00007ffe)").unwrap();
        assert_eq!(none, None);
        assert_eq!(parse_library("\tstatically linked").unwrap(), None);
        assert!(parse_library("\tlibssh.so.4 => not found").is_err());
        let (place, _) = parse_library("\tlibc.so.6 => /proc/self/exe (0x0000)")
            .unwrap()
            .unwrap();
        assert_eq!(place, Path::new("/lib/libc.so.6"));
        let (place, _) = parse_library("\t/proc/self/exe (0x0000)").unwrap().unwrap();
        assert_eq!(place, Path::new("/proc/self/exe"));
    }
}
