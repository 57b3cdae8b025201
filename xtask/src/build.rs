//! `cargo xtask build`: the eBPF object, then the program that carries it.

use std::fs;

use anyhow::{Context, Result};

use crate::setup::route::{RouteChoice, Toolchain};
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::workspace::{
    EBPF_BIN, EBPF_FEATURE, EBPF_PACKAGE, EBPF_PROFILE, EBPF_TARGET, Workspace,
};

/// Builds the eBPF object and `weir`, which embeds it.
///
/// The object is built for bpfel-unknown-none with BTF and line information, in target/bpf, and
/// copied to target/bpf/weir.bpf.o when it changed. Then the host program is built:
/// target/debug/weir, or target/release/weir with --release.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build `weir` optimised; the eBPF object always is.
    #[arg(long)]
    release: bool,
    /// Stop after the eBPF object.
    #[arg(long, conflicts_with = "release")]
    object: bool,
    #[command(flatten)]
    route: RouteChoice,
}

/// The optimisation of the host programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostProfile {
    /// `target/debug`.
    Debug,
    /// `target/release`.
    Release,
}

/// The verb.
///
/// # Errors
/// When set-up or a build fails.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain = setup::ensure(workspace, &[Purpose::Build], args.route)?;
    let steps = Steps::new("build", workspace.tools().join("log"));
    object(workspace, &steps, &toolchain)?;
    if args.object {
        return Ok(());
    }
    let profile = if args.release {
        HostProfile::Release
    } else {
        HostProfile::Debug
    };
    host(workspace, &steps, profile)
}

/// Builds the eBPF object and copies it to where the agent's build script reads it.
///
/// # Errors
/// When the build fails or the object cannot be copied.
pub(crate) fn object(workspace: &Workspace, steps: &Steps, toolchain: &Toolchain) -> Result<()> {
    let mut build = toolchain.cargo(workspace, "build");
    build.args(ebpf_selection());
    steps.shown(&format!("eBPF object with {toolchain}"), build)?;

    let built = workspace
        .bpf_target()
        .join(EBPF_TARGET)
        .join(EBPF_PROFILE)
        .join(EBPF_BIN);
    let fresh = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let object = workspace.bpf_object();
    // An unchanged file keeps its time, and cargo does not rebuild the agent.
    if fs::read(&object).is_ok_and(|present| present == fresh) {
        return Ok(());
    }
    fs::write(&object, fresh).with_context(|| format!("cannot write {}", object.display()))
}

/// Builds `weir` for the host.
///
/// # Errors
/// When the build fails.
pub(crate) fn host(workspace: &Workspace, steps: &Steps, profile: HostProfile) -> Result<()> {
    let mut build = workspace.cargo(["build", "--package", "weir"]);
    if profile == HostProfile::Release {
        build.arg("--release");
    }
    steps.shown("weir", build)
}

/// Builds the emulator of the providers.
///
/// # Errors
/// When the build fails.
pub(crate) fn emulator(workspace: &Workspace, steps: &Steps) -> Result<()> {
    let build = workspace.cargo(["build", "--package", "weir-emulator"]);
    steps.shown("the provider's emulator", build)
}

/// The arguments that select the eBPF binary in any cargo verb.
pub(crate) fn ebpf_selection() -> [&'static str; 8] {
    [
        "--package",
        EBPF_PACKAGE,
        "--bin",
        EBPF_BIN,
        "--features",
        EBPF_FEATURE,
        "--profile",
        EBPF_PROFILE,
    ]
}
