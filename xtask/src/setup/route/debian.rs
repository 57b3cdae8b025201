//! The Debian route: the compiler that Debian keeps for building browsers, `core` for BPF as a
//! package beside it, and a bpf-linker built against Debian's LLVM of the same major.
//!
//! It needs no server of rustup's. The host programs are still built by the cargo and rustc that
//! run xtask; only the eBPF object is compiled with `/usr/bin/rustc`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Compiler, Toolchain, linker_in, linker_root};
use crate::command::succeeds;
use crate::setup::packages::Apt;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Where rustc-web puts the compiler.
const RUSTC: &str = "/usr/bin/rustc";
/// Where libstd-rust-web-dev-bpf puts `core`.
const CORE_DIR: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const COMPILER_PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];
/// The LLVM of rustc-web 1.96: bpf-linker must be built against the same major.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const LLVM_PACKAGE: &str = "llvm-22-dev";
const LINKER_VERSION: &str = "0.13.0";
const LINKER_LLVM: &str = "llvm-22";
/// Where rust-web-clippy puts the linter.
const CLIPPY: &str = "/usr/bin/cargo-clippy";
const CLIPPY_DRIVER: &str = "/usr/bin/clippy-driver";

/// What a person can type instead.
pub(crate) const RECIPE: &str = "apt-get install --no-install-recommends rustc-web \
     libstd-rust-web-dev-bpf llvm-22-dev (Debian 12 has them in bookworm-security), then \
     `cargo xtask setup --bpf-route debian`";

/// Debian's compiler, with the version of its package.
#[derive(Debug)]
pub(crate) struct Debian {
    version: String,
}

/// The complete route, or nothing.
pub(crate) fn find(workspace: &Workspace) -> Option<Toolchain> {
    let linker = linker_in(&linker_root(workspace, LINKER_VERSION, LINKER_LLVM));
    // Run, not only seen: a cached target directory may come to a machine without libLLVM.
    if !succeeds(&linker, &["--version"]) {
        return None;
    }
    let debian = Debian::installed().ok()??;
    Some(Toolchain {
        compiler: Compiler::Debian(debian),
        linker,
    })
}

/// Completes the route.
///
/// # Errors
/// Without apt-get, when a package has no candidate, or when bpf-linker does not build.
pub(crate) fn install(workspace: &Workspace, steps: &Steps, apt: &mut Apt) -> Result<Toolchain> {
    if !Apt::present() {
        bail!("there is no apt-get here");
    }
    let root = linker_root(workspace, LINKER_VERSION, LINKER_LLVM);
    let linker = linker_in(&root);
    let linker_works = succeeds(&linker, &["--version"]);

    let mut packages = Vec::new();
    if Debian::installed()?.is_none() {
        steps.note("rustc-web with libstd-rust-web-dev-bpf: compiles the eBPF programs");
        packages.extend(COMPILER_PACKAGES);
    }
    if !linker_works && !Path::new(LLVM_PREFIX).join("include/llvm-c").is_dir() {
        steps.note("llvm-22-dev: bpf-linker is built against it");
        packages.push(LLVM_PACKAGE);
    }
    apt.install(workspace, steps, &packages).context(
        "Debian 12 has these packages in bookworm-security, which must be among apt's sources; \
         rustc-web cannot stand beside Debian's rustc or rustup packages",
    )?;
    let debian = Debian::installed()?.context("rustc-web is installed, but has no core for BPF")?;

    if !linker_works {
        let mut build = workspace.cargo([
            "install",
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
        ]);
        build.args([
            "--no-default-features",
            "--features",
            LINKER_LLVM,
            "--force",
            "--root",
        ]);
        build.arg(&root).env("LLVM_PREFIX", LLVM_PREFIX);
        let what = format!(
            "bpf-linker {LINKER_VERSION} from its crate, into target/tools: links the eBPF object \
             with LLVM 22 (a minute or two)"
        );
        steps.silent("bpf-linker", &what, build)?;
        if !succeeds(&linker, &["--version"]) {
            bail!("{} was built, but does not start", linker.display());
        }
    }
    Ok(Toolchain {
        compiler: Compiler::Debian(debian),
        linker,
    })
}

/// Installs Debian's clippy, which lints for BPF because it is made with the same compiler.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(crate) fn ensure_clippy(workspace: &Workspace, steps: &Steps, apt: &mut Apt) -> Result<()> {
    if Path::new(CLIPPY).is_file() && Path::new(CLIPPY_DRIVER).is_file() {
        return Ok(());
    }
    steps.note("rust-web-clippy: lints the eBPF programs; rustup's has no core for BPF");
    apt.install(workspace, steps, &["rust-web-clippy"])
}

impl Debian {
    /// The compiler if it and its `core` for BPF are installed; `core` of another version could
    /// not be read by the compiler, and is an error.
    fn installed() -> Result<Option<Self>> {
        if !Path::new(RUSTC).is_file() || !has_core() {
            return Ok(None);
        }
        let [compiler, core] = COMPILER_PACKAGES.map(package_version);
        match (compiler, core) {
            (Some(compiler), Some(core)) if compiler == core => {
                Ok(Some(Self { version: compiler }))
            }
            (Some(compiler), Some(core)) => bail!(
                "rustc-web is {compiler} and libstd-rust-web-dev-bpf is {core}: \
                 upgrade both to one version with apt-get"
            ),
            _ => Ok(None),
        }
    }

    /// The cargo that runs xtask, with Debian's compiler.
    pub(crate) fn cargo(&self, workspace: &Workspace, verb: &str) -> Command {
        let mut command = if verb == "clippy" {
            // rustup's cargo-clippy would bring its own driver.
            let mut clippy = workspace.command(CLIPPY);
            clippy.arg("clippy");
            clippy
        } else {
            workspace.cargo([verb])
        };
        command.env("RUSTC", RUSTC);
        // aya-ebpf enables `asm_experimental_arch`, without which no BPF helper can be called.
        command.env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

impl fmt::Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rustc-web {} and bpf-linker {LINKER_VERSION}",
            self.version
        )
    }
}

fn has_core() -> bool {
    let Ok(libraries) = fs::read_dir(CORE_DIR) else {
        return false;
    };
    libraries.flatten().any(|library| {
        let name: PathBuf = library.file_name().into();
        name.to_string_lossy().starts_with("libcore-")
            && name
                .extension()
                .is_some_and(|extension| extension == "rlib")
    })
}

/// The installed version of a package.
fn package_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args([
            "--show",
            "--showformat=${db:Status-Status} ${Version}",
            package,
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}
