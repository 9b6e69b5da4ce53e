//! Which compiler and linker build the BPF programs.
//!
//! Looked for in this order:
//! 1. what `cargo xtask setup` made: it is only there because nothing else was usable, and it is known to work;
//! 2. the user's rustup nightly with the component rust-src, and a bpf-linker;
//! 3. the rustc on `PATH`, such as a distribution's, if it has a BPF `core` or the source of one, and a bpf-linker.
//!
//! `ANYCAST_PROBE_BPF_TOOLCHAIN=private|nightly|path` leaves only the first, second or third.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anycast_tests::tools;
use anyhow::{Context, Result, bail};

use crate::workspace::{capture, clean_command};
use crate::{bpf_linker, cargo, rustup};

/// The target that the programs are compiled for: every machine that Linux and this project meet is little-endian.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// The environment variable that leaves only one kind of toolchain.
pub(crate) const CHOICE_VARIABLE: &str = "ANYCAST_PROBE_BPF_TOOLCHAIN";

/// A compiler that can produce BPF code.
#[derive(Debug)]
pub(crate) struct Compiler {
    rustc: PathBuf,
    cargo: PathBuf,
    /// Its `cargo-clippy`.
    clippy: Option<PathBuf>,
    /// The tree with its libraries, where it is not at home on the machine.
    pub(crate) tree: Option<PathBuf>,
    /// Whether `core` is compiled from source, for want of a prebuilt one.
    builds_core: bool,
    /// Such as `1.96.0`.
    pub(crate) release: String,
    /// The major version of its LLVM.
    pub(crate) llvm: u32,
}

/// A compiler with a linker that goes with it.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// What an operator is told.
    pub(crate) description: String,
    pub(crate) compiler: Compiler,
    linker: PathBuf,
    library_path: Option<OsString>,
}

impl Toolchain {
    /// A cargo command that compiles for BPF and links with bpf-linker.
    pub(crate) fn cargo(&self) -> Command {
        self.command(&self.compiler.cargo)
    }

    /// A command for `cargo clippy` with this toolchain's own clippy, if it has one.
    pub(crate) fn cargo_clippy(&self) -> Option<Command> {
        let mut command = self.command(self.compiler.clippy.as_deref()?);
        command.env("CARGO", &self.compiler.cargo);
        Some(command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = clean_command(program);
        let linker_variable = format!("CARGO_TARGET_{}_LINKER", TARGET.replace('-', "_").to_uppercase());
        command
            .env("RUSTC", &self.compiler.rustc)
            // Compiling for BPF needs unstable features, and none of the compilers but nightly allows them unasked.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(linker_variable, &self.linker)
            .env_remove("RUSTUP_TOOLCHAIN");
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// Arguments that a build needs besides the target.
    pub(crate) fn build_arguments(&self) -> &'static [&'static str] {
        if self.compiler.builds_core {
            &["-Z", "build-std=core"]
        } else {
            &[]
        }
    }
}

/// The toolchain to use, or `None` when setup has to make one.
pub(crate) fn find() -> Result<Option<Toolchain>> {
    let choice = env::var(CHOICE_VARIABLE).unwrap_or_default();
    let (found, wanted) = match choice.as_str() {
        "" => return Ok(private().or_else(nightly).or_else(on_path)),
        "private" => return Ok(private()),
        "nightly" => (nightly(), "rustup's nightly with the component rust-src"),
        "path" => (on_path(), "a rustc on PATH with a BPF core or rust-src"),
        _ => bail!("{CHOICE_VARIABLE} is {choice:?}; it can be private, nightly or path"),
    };
    let found = found.with_context(|| format!("{CHOICE_VARIABLE}={choice} needs {wanted}, and a bpf-linker on PATH"));
    found.map(Some)
}

/// The compiler that setup fetched, whether or not its linker has been built yet.
pub(crate) fn private_compiler() -> Option<Compiler> {
    let tree = rust_tree();
    Compiler::inspect(&tree.join("usr/bin/rustc"), Some(&tree)).or_else(|| {
        let rustc = rustup::private_sysroot().join("bin/rustc");
        Compiler::inspect(&rustc, None)
    })
}

/// Where setup unpacks the distribution's rustc.
pub(crate) fn rust_tree() -> PathBuf {
    tools::trees().join("rust")
}

fn private() -> Option<Toolchain> {
    let compiler = private_compiler()?;
    if let Some(linker) = bpf_linker::private() {
        // It loads the LLVM of the compiler's tree; beside rustup's compiler, which has none for others, one of its own.
        let tree = compiler.tree.clone().unwrap_or_else(bpf_linker::llvm_tree);
        return Toolchain::new("setup's", compiler, linker, Some(&tree));
    }
    // Where LLVM's development files can't be had, the user's own bpf-linker serves rustup's compiler.
    let linker = bpf_linker::of_the_user().filter(|_| compiler.tree.is_none())?;
    Toolchain::new("setup's", compiler, linker, None)
}

fn nightly() -> Option<Toolchain> {
    let compiler = Compiler::inspect(&rustup::nightly_rustc()?, None)?;
    Toolchain::new("rustup's nightly", compiler, bpf_linker::of_the_user()?, None)
}

fn on_path() -> Option<Toolchain> {
    let rustc = tools::find_on_machine("rustc")?;
    let compiler = Compiler::inspect(rustc.path(), None)?;
    Toolchain::new("the machine's", compiler, bpf_linker::of_the_user()?, None)
}

impl Toolchain {
    /// `tree` has the libraries of compiler and linker where they are not at home on the machine.
    fn new(whose: &str, compiler: Compiler, linker: PathBuf, tree: Option<&Path>) -> Option<Self> {
        let library_path = tree.filter(|tree| tree.is_dir()).map(tools::library_path);
        let mut version = Command::new(&linker);
        version.arg("--version");
        if let Some(path) = &library_path {
            version.env("LD_LIBRARY_PATH", path);
        }
        // Also shows that it starts: it doesn't once its LLVM has been removed from the machine.
        let version = capture(&mut version).ok()?;
        let description = format!(
            "{whose} rustc {} (LLVM {}, {} core) at {} with {} at {}",
            compiler.release,
            compiler.llvm,
            if compiler.builds_core { "compiles" } else { "prebuilt" },
            compiler.rustc.display(),
            version.trim(),
            linker.display(),
        );
        Some(Self {
            description,
            compiler,
            linker,
            library_path,
        })
    }
}

impl Compiler {
    /// What is known about `rustc`; `None` if it doesn't run or has neither a BPF `core` nor the source of one.
    fn inspect(rustc: &Path, tree: Option<&Path>) -> Option<Self> {
        let library_path = tree.map(tools::library_path);
        let ask = |arguments: &[&str]| {
            let mut command = clean_command(rustc);
            // A rustup proxy may not download a toolchain just because it is asked for its version.
            command.args(arguments).env("RUSTUP_AUTO_INSTALL", "0");
            if let Some(path) = &library_path {
                command.env("LD_LIBRARY_PATH", path);
            }
            capture(&mut command).ok()
        };
        let (release, llvm) = parse_version(&ask(&["-vV"])?)?;
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        let rustlib = sysroot.join("lib/rustlib");
        let has_core = rustlib.join(TARGET).join("lib").is_dir();
        let has_source = rustlib.join("src/rust/library/Cargo.lock").is_file();
        // In the sysroot stand the programs themselves, not rustup's proxies for them, which would choose again.
        let in_sysroot = |name: &str| Some(sysroot.join("bin").join(name)).filter(|path| path.is_file());
        (has_core || has_source).then(|| Self {
            rustc: in_sysroot("rustc").unwrap_or_else(|| rustc.to_owned()),
            cargo: in_sysroot("cargo").unwrap_or_else(cargo::program),
            // Finds the driver that does the work beside itself.
            clippy: in_sysroot("cargo-clippy").filter(|_| in_sysroot("clippy-driver").is_some()),
            tree: tree.map(Path::to_owned),
            builds_core: !has_core,
            release,
            llvm,
        })
    }
}

/// The release and the LLVM major version in the output of `rustc -vV`.
fn parse_version(output: &str) -> Option<(String, u32)> {
    let value = |key: &str| output.lines().find_map(|line| line.strip_prefix(key));
    let llvm = value("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((value("release: ")?.to_owned(), llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_major_version_is_read_from_rustc() {
        let output = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(parse_version(output), Some(("1.96.0".to_owned(), 22)));
        assert_eq!(parse_version("release: 1.96.0\n"), None);
    }
}
