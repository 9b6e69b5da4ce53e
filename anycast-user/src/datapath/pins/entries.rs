//! What the files in a directory of pins are called.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use crate::{datapath::HookPoint, net::LinkIndex};

/// What something in a version's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'name> {
    /// `link-2-xdp`: the link that holds a program at a hook point.
    Link(LinkIndex, HookPoint),
    /// `program-51`: a program that filters run, by the kernel's number. A filter has no link that could be pinned, and
    /// what it runs is all that shows whose it is.
    Program(u32),
    /// `clsact-2`: an empty directory that remembers who made the clsact qdisc of an interface.
    Clsact(LinkIndex),
    /// `BANK`: a map, by its name.
    Map(&'name str),
}

impl<'name> Entry<'name> {
    /// What is called so; `None` for what this version has no use for.
    pub(super) fn of(name: &'name str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("link-") {
            let (index, point) = rest.split_once('-')?;
            return Some(Self::Link(parse(index)?, HookPoint::from_name(point)?));
        }
        if let Some(index) = name.strip_prefix("clsact-") {
            return parse(index).map(Self::Clsact);
        }
        if let Some(id) = name.strip_prefix("program-") {
            return id.parse().ok().map(Self::Program);
        }
        Some(Self::Map(name))
    }

    /// What it is called.
    pub(super) fn name(self) -> String {
        match self {
            Self::Link(index, point) => format!("link-{index}-{}", point.name()),
            Self::Program(id) => format!("program-{id}"),
            Self::Clsact(index) => format!("clsact-{index}"),
            Self::Map(name) => name.to_owned(),
        }
    }
}

fn parse(index: &str) -> Option<LinkIndex> {
    index.parse().ok().map(LinkIndex)
}

/// The version that a directory is for, such as `v1`.
pub(super) fn version(name: &str) -> Option<u32> {
    name.strip_prefix('v')?.parse().ok()
}

pub(super) fn version_name(version: u32) -> String {
    format!("v{version}")
}

/// The names in a directory, sorted; none when it isn't there. Names that aren't text are nobody's of ours.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().into_string().ok()))
        .filter_map(Result::transpose)
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// The directories of the versions of an instance, with their numbers.
pub(super) fn versions(instance: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let names = names(instance)?.into_iter();
    Ok(names
        .filter_map(|name| Some((version(&name)?, instance.join(name))))
        .collect())
}

/// Makes a directory that only we can write to, or finds that it is one. bpffs is often writable for everybody, and what
/// is pinned below a directory of somebody else could be exchanged.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if is_private(path)? {
        Ok(())
    } else {
        Err(io::Error::other(
            "it is there already, and not a directory that belongs to this user alone",
        ))
    }
}

/// Whether it is a directory that only we can write to.
pub(super) fn is_private(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    Ok(found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for point in HookPoint::ALL {
            let link = Entry::Link(LinkIndex(12), point);
            assert_eq!(Entry::of(&link.name()), Some(link));
        }
        assert_eq!(
            Entry::of("link-3-tc-egress"),
            Some(Entry::Link(LinkIndex(3), HookPoint::TcEgress))
        );
        assert_eq!(Entry::of("clsact-3"), Some(Entry::Clsact(LinkIndex(3))));
        assert_eq!(Entry::of("program-7"), Some(Entry::Program(7)));
        assert_eq!(Entry::of("BANK"), Some(Entry::Map("BANK")));
        for name in [
            "link-",
            "link-x-xdp",
            "link-3-xdq",
            "link-3",
            "clsact-",
            "clsact-x",
            "program-x",
        ] {
            assert_eq!(Entry::of(name), None, "{name}");
        }
        assert_eq!((version("v12"), version("v"), version("x1")), (Some(12), None, None));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_ours() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("anycast-probe");
        make_private(&path).unwrap();
        make_private(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        make_private(&path).unwrap_err();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(home.path(), &link).unwrap();
        make_private(&link).unwrap_err();
    }
}
