//! The two ways to a compiler for BPF, and the choice between them.
//!
//! A compiler for `bpfel-unknown-none`, its `core`, and bpf-linker, which must read the bitcode of
//! that compiler's LLVM. Stable rustup has none of the three, so either a pinned nightly brings
//! them ([`nightly`]), or Debian's packages do ([`debian`]).

mod debian;
mod nightly;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup::packages::Apt;
use crate::step::Steps;
use crate::workspace::{EBPF_TARGET, Workspace};

/// A way to a compiler for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Route {
    /// A nightly toolchain of rustup, which builds `core` from source.
    Nightly,
    /// Debian's rustc-web with its prebuilt `core` for BPF.
    Debian,
}

/// The option that forces a route.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct RouteChoice {
    /// Where the eBPF toolchain comes from. Without it: the route that is already complete, else
    /// nightly if rustup has it or can fetch it, else debian.
    #[arg(long = "bpf-route", value_enum, value_name = "ROUTE")]
    forced: Option<Route>,
}

/// A complete toolchain for the eBPF object.
#[derive(Debug)]
pub(crate) struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
}

#[derive(Debug)]
enum Compiler {
    Nightly(nightly::Nightly),
    Debian(debian::Debian),
}

/// Gives a complete toolchain, installing one where none is.
///
/// # Errors
/// When no route can be completed; the message says why for each, with the recipes.
pub(crate) fn ensure(
    workspace: &Workspace,
    steps: &Steps,
    apt: &mut Apt,
    choice: RouteChoice,
) -> Result<Toolchain> {
    let candidates = match &choice.forced {
        Some(route) => std::slice::from_ref(route),
        None => &[Route::Nightly, Route::Debian][..],
    };
    for route in candidates {
        if let Some(toolchain) = route.find(workspace) {
            return Ok(toolchain);
        }
    }
    let mut refused = String::new();
    for route in candidates {
        match route.install(workspace, steps, apt) {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => {
                steps.note(&format!("route {route} is closed: {error:#}"));
                refused.push_str(&format!("\n  {route}: {error:#}"));
            }
        }
    }
    bail!(
        "no toolchain for the eBPF programs:{refused}\nset up one of them by hand:\n  \
         nightly: {}\n  debian:  {}",
        nightly::RECIPE,
        debian::RECIPE
    )
}

impl Route {
    fn find(self, workspace: &Workspace) -> Option<Toolchain> {
        match self {
            Self::Nightly => nightly::find(workspace),
            Self::Debian => debian::find(workspace),
        }
    }

    fn install(self, workspace: &Workspace, steps: &Steps, apt: &mut Apt) -> Result<Toolchain> {
        match self {
            Self::Nightly => nightly::install(workspace, steps),
            Self::Debian => debian::install(workspace, steps, apt),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nightly => "nightly",
            Self::Debian => "debian",
        })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.compiler {
            Compiler::Nightly(nightly) => write!(f, "{nightly}"),
            Compiler::Debian(debian) => write!(f, "{debian}"),
        }
    }
}

impl Toolchain {
    /// cargo with the verb `verb`, for the BPF target, with the flags of the object and in its own
    /// target directory. The caller selects the package.
    pub(crate) fn cargo(&self, workspace: &Workspace, verb: &str) -> Command {
        let mut command = match &self.compiler {
            Compiler::Nightly(nightly) => nightly.cargo(workspace, verb),
            Compiler::Debian(debian) => debian.cargo(workspace, verb),
        };
        command.args(["--target", EBPF_TARGET, "--target-dir"]);
        command.arg(workspace.bpf_target());
        // Full debug information, from which the linker makes the BTF of programs and maps.
        // Separated by 0x1f, so that a path with a space in it stays one flag.
        let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
        for (from, to) in workspace.moved() {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        // Not a flag: cargo names what it builds after the flags, and the linker is elsewhere on
        // each machine.
        let name = EBPF_TARGET.replace('-', "_").to_uppercase();
        command.env(format!("CARGO_TARGET_{name}_LINKER"), &self.linker);
        command
    }

    /// A command that fetches the crates `core` is built with, where this toolchain builds it.
    pub(crate) fn fetch_core(&self, workspace: &Workspace) -> Option<Command> {
        match &self.compiler {
            Compiler::Nightly(nightly) => {
                let mut fetch = nightly.cargo(workspace, "fetch");
                fetch.args(["--target", EBPF_TARGET]);
                Some(fetch)
            }
            Compiler::Debian(_) => None,
        }
    }

    /// Installs the clippy of this toolchain.
    ///
    /// # Errors
    /// When it is missing and cannot be installed.
    pub(crate) fn ensure_clippy(
        &self,
        workspace: &Workspace,
        steps: &Steps,
        apt: &mut Apt,
    ) -> Result<()> {
        match &self.compiler {
            Compiler::Nightly(nightly) => nightly.ensure_clippy(workspace, steps),
            Compiler::Debian(_) => debian::ensure_clippy(workspace, steps, apt),
        }
    }
}

/// The bpf-linker below `target/tools` of one version and one LLVM. Both are in the path, so that
/// another version is another file, and the right one is there or is not.
fn linker_root(workspace: &Workspace, version: &str, llvm: &str) -> PathBuf {
    workspace
        .tools()
        .join(format!("bpf-linker-{version}-{llvm}"))
}

/// The program in a root of `cargo install`.
fn linker_in(root: &Path) -> PathBuf {
    root.join("bin/bpf-linker")
}
