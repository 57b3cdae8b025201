//! Where things are in the checkout, and how cargo is called in it.
//!
//! Everything xtask makes lies below `target`; nothing outside the checkout is written except by
//! the package managers that [`crate::setup`] calls.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The package that holds the eBPF programs.
pub(crate) const EBPF_PACKAGE: &str = "weir-ebpf";
/// The binary target of [`EBPF_PACKAGE`] that becomes the object.
pub(crate) const EBPF_BIN: &str = "weir-bpf";
/// The feature of [`EBPF_PACKAGE`] that enables [`EBPF_BIN`].
pub(crate) const EBPF_FEATURE: &str = "bpf";
/// Little-endian BPF: what every kernel runs that weir supports.
pub(crate) const EBPF_TARGET: &str = "bpfel-unknown-none";
/// The profile in the root manifest that the object is built with.
pub(crate) const EBPF_PROFILE: &str = "bpf";

/// The checkout.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout from the place of this package, which cargo gives at run time.
    ///
    /// # Errors
    /// When xtask is started by something else than cargo.
    pub(crate) fn locate() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set: start xtask as `cargo xtask`")?;
        let root = Path::new(&package)
            .parent()
            .context("the xtask package lies in no workspace")?
            .to_path_buf();
        Ok(Self { root })
    }

    /// A checkout in another place.
    pub(crate) fn at(&self, root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The directory of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the eBPF build: its own, because its compiler and flags differ from the
    /// host's and would invalidate the host's cache at every change of verb.
    pub(crate) fn bpf_target(&self) -> PathBuf {
        self.root.join("target/bpf")
    }

    /// The finished eBPF object, from which the agent's build script embeds it.
    pub(crate) fn bpf_object(&self) -> PathBuf {
        self.bpf_target().join("weir.bpf.o")
    }

    /// The directory of tools built for this checkout, and of the logs of building them.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// Directories that are elsewhere on each machine, and what they are called in what is built:
    /// neither debug information nor the message of a panic is to say where the sources lay.
    pub(crate) fn moved(&self) -> [(PathBuf, &'static str); 3] {
        let home = |variable: &str, below: &str| {
            env::var_os(variable).map_or_else(
                || Path::new(&env::var_os("HOME").unwrap_or_default()).join(below),
                PathBuf::from,
            )
        };
        [
            (self.root.clone(), "/weir"),
            (home("CARGO_HOME", ".cargo"), "/cargo"),
            (home("RUSTUP_HOME", ".rustup"), "/rustup"),
        ]
    }

    /// The cargo that started xtask, run in the root with `args`.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.args(args);
        command
    }

    /// The command line `words` run in `directory`, as [`Self::command`] runs a program.
    ///
    /// # Panics
    /// Without words.
    pub(crate) fn command_in(&self, directory: &Path, words: &[String]) -> Command {
        let (program, arguments) = words.split_first().expect("a command line names a program");
        let mut command = self.command(program);
        command.args(arguments).current_dir(directory);
        command
    }

    /// A program run in the root, without the variables that `cargo run` gave to xtask.
    ///
    /// They describe the xtask package. Build scripts that watch them would see them differ from
    /// a plain `cargo build` and rebuild at every change between the two; and its library path
    /// would lead another compiler to the libraries of this one.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let of_cargo_run = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_MANIFEST_")
                    || name == "LD_LIBRARY_PATH"
                    || name == "OUT_DIR"
            });
            if of_cargo_run {
                command.env_remove(name);
            }
        }
        command
    }
}
