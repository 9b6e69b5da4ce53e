//! Where the project keeps what it fetches, and how a program is found: the machine's own first, else the copy that
//! `cargo xtask setup` unpacked privately.
//!
//! Setup never installs a package on the machine. It unpacks each Debian package with the libraries that the machine
//! lacks into a *tree* of its own below [`trees`], so nothing conflicts, no service is started, and taking everything
//! away again is removing one directory.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The environment variable that moves [`home`] elsewhere.
pub const HOME_VARIABLE: &str = "ANYCAST_PROBE_HOME";

/// Directories in which a Debian package keeps programs, relative to the root of its tree.
const PROGRAM_DIRECTORIES: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// The exit codes with which the dynamic loader, or a shell for it, says that a program can't be started.
const LOADER_FAILED: [i32; 2] = [126, 127];

/// The one directory that holds everything that the project fetches: `$ANYCAST_PROBE_HOME`, else
/// `$XDG_CACHE_HOME/anycast-probe`, else `~/.cache/anycast-probe`.
#[must_use]
pub fn home() -> PathBuf {
    // An empty or relative value is ignored, as the XDG specification asks: it would mean another place in each
    // working directory.
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(HOME_VARIABLE).unwrap_or_else(|| {
        absolute("XDG_CACHE_HOME")
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .unwrap_or_else(|| PathBuf::from("/var/cache"))
            .join("anycast-probe")
    })
}

/// The directory below which every unpacked package has its tree, named after the package.
#[must_use]
pub fn trees() -> PathBuf {
    home().join("packages")
}

/// A program that can be run.
#[derive(Debug, Clone)]
pub struct Tool {
    path: PathBuf,
    /// The tree that holds it, when it is not the machine's own.
    tree: Option<PathBuf>,
}

impl Tool {
    /// The program's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the copy that setup unpacked, not the machine's own.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.tree.is_some()
    }

    /// Whether it gets as far as to read its arguments: not all know `--version`, so any exit code of the program's own
    /// will do.
    #[must_use]
    pub fn starts(&self) -> bool {
        let mut command = self.command();
        command
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let code = command.status().ok().and_then(|status| status.code());
        code.is_some_and(|code| !LOADER_FAILED.contains(&code))
    }

    /// A command that runs it, with the private libraries it needs.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        match &self.tree {
            Some(tree) => command.env("LD_LIBRARY_PATH", library_path(tree)),
            // cargo puts the Rust toolchain's own libraries here; another program has no use for them.
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
        command
    }
}

/// Finds `program` on the machine (`PATH`, `/usr/sbin`, `/sbin`: a user's `PATH` often lacks those two), else in the
/// trees that setup unpacked. One that doesn't start is passed over, as when a library has gone.
#[must_use]
pub fn find(program: &str) -> Option<Tool> {
    find_on_machine(program)
        .filter(Tool::starts)
        .or_else(|| find_private(program).filter(Tool::starts))
}

/// Finds `program` on the machine only.
#[must_use]
pub fn find_on_machine(program: &str) -> Option<Tool> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
        .map(|path| Tool { path, tree: None })
}

/// Finds `program` in the trees that setup unpacked only.
#[must_use]
pub fn find_private(program: &str) -> Option<Tool> {
    let mut trees: Vec<PathBuf> = fs::read_dir(trees())
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        // A tree that is still being unpacked has a name with an extension.
        .filter(|tree| tree.extension().is_none())
        .collect();
    trees.sort();
    trees.into_iter().find_map(|tree| find_in_tree(&tree, program))
}

/// Finds `program` in one unpacked `tree`.
#[must_use]
pub fn find_in_tree(tree: &Path, program: &str) -> Option<Tool> {
    PROGRAM_DIRECTORIES
        .iter()
        .map(|directory| tree.join(directory).join(program))
        .find(|candidate| is_executable(candidate))
        .map(|path| Tool {
            path,
            tree: Some(tree.to_owned()),
        })
}

/// The value of `LD_LIBRARY_PATH` with which a program of `tree` finds its libraries.
#[must_use]
pub fn library_path(tree: &Path) -> OsString {
    let mut directories = Vec::new();
    for base in ["usr/lib", "lib"].map(|base| tree.join(base)) {
        // Debian's multiarch directories, such as `x86_64-linux-gnu`.
        let multiarch = fs::read_dir(&base)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.to_string_lossy().contains("-linux-gnu"));
        directories.extend(multiarch);
        directories.push(base);
    }
    directories.retain(|directory| directory.is_dir());
    // Fails only for a directory with a colon in its name, which no loader could use anyway.
    env::join_paths(directories).unwrap_or_default()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(tree: &Path, path: &str, mode: u32) {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_tree_is_searched_in_sbin_and_bin_for_executables_only() {
        let tree = tempfile::tempdir().unwrap();
        program(tree.path(), "usr/sbin/bird", 0o755);
        program(tree.path(), "bin/ip", 0o755);
        program(tree.path(), "usr/bin/notes", 0o644);
        let bird = find_in_tree(tree.path(), "bird").unwrap();
        assert_eq!(bird.path(), tree.path().join("usr/sbin/bird"));
        assert!(bird.is_private());
        assert!(find_in_tree(tree.path(), "ip").is_some());
        assert!(find_in_tree(tree.path(), "notes").is_none());
        assert!(find_in_tree(tree.path(), "absent").is_none());
    }

    #[test]
    fn a_private_program_gets_the_libraries_of_its_tree() {
        let tree = tempfile::tempdir().unwrap();
        program(tree.path(), "usr/sbin/bird", 0o755);
        program(tree.path(), "usr/lib/x86_64-linux-gnu/libssh.so", 0o644);
        program(tree.path(), "usr/lib/bird/plugin", 0o644);
        let expected = format!("{0}/usr/lib/x86_64-linux-gnu:{0}/usr/lib", tree.path().display());
        assert_eq!(library_path(tree.path()), OsString::from(expected));
        let command = find_in_tree(tree.path(), "bird").unwrap().command();
        assert!(
            command
                .get_envs()
                .any(|(name, value)| name == "LD_LIBRARY_PATH" && value.is_some())
        );
    }

    #[test]
    fn the_machines_own_program_is_found() {
        let shell = find("sh").unwrap();
        assert!(shell.path().is_absolute());
        assert!(!shell.is_private());
        assert!(find("no-such-program-anywhere").is_none());
    }

    #[test]
    fn a_program_that_is_there_but_does_not_start_is_passed_over() {
        let tree = tempfile::tempdir().unwrap();
        for (name, content, starts) in [
            ("whole", "#!/bin/sh\nexit 1\n", true),
            ("truncated", "\u{7f}ELF", false),
            ("library-gone", "#!/bin/sh\nexit 127\n", false),
        ] {
            let path = format!("usr/sbin/{name}");
            program(tree.path(), &path, 0o755);
            fs::write(tree.path().join(path), content).unwrap();
            assert_eq!(find_in_tree(tree.path(), name).unwrap().starts(), starts, "{name}");
        }
    }
}
