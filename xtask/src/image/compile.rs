//! The program of the image: static, stripped, and without a path of this machine in it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{ARM64_CC, Arch};
use crate::command::{on_path, shown};
use crate::step::Steps;
use crate::workspace::Workspace;

/// The profile in the root manifest.
const PROFILE: &str = "image";

/// Adds rustc's libraries for that architecture, where they are missing.
///
/// # Errors
/// Without rustup, or when its server is out of reach.
pub(super) fn ensure_target(workspace: &Workspace, steps: &Steps, arch: Arch) -> Result<()> {
    let target = arch.target();
    if sysroot(workspace)?
        .join("lib/rustlib")
        .join(target)
        .join("lib")
        .is_dir()
    {
        return Ok(());
    }
    let rustup = on_path("rustup").with_context(|| {
        format!("there are no libraries for {target}, and no rustup to add them")
    })?;
    let mut add = workspace.command(rustup);
    add.args(["target", "add", target]);
    let what = format!("rustup target {target}: the standard library of an image for {arch}");
    steps.silent("target", &what, add)
}

fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    let mut rustc = workspace.command("rustc");
    let output = rustc
        .args(["--print", "sysroot"])
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&rustc)))?;
    let text = String::from_utf8(output.stdout).context("rustc did not print UTF-8")?;
    Ok(PathBuf::from(text.trim()))
}

/// Builds `weir` for that architecture.
///
/// # Errors
/// When the build fails.
pub(super) fn program(workspace: &Workspace, steps: &Steps, arch: Arch) -> Result<PathBuf> {
    let target = arch.target();
    let mut build = workspace.cargo(["build", "--locked", "--package", "weir"]);
    build.args(["--profile", PROFILE, "--target", target]);
    // Where the sources lie must show nowhere: neither in messages of panics, which name a file,
    // nor in what the C libraries assert.
    // Separated by 0x1f, so that a path with a space in it stays one flag.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let mut c_flags = Vec::new();
    for (from, to) in workspace.moved() {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        c_flags.push(format!("-ffile-prefix-map={}={to}", from.display()));
    }
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let name = target.replace('-', "_");
    build.env(format!("CFLAGS_{name}"), c_flags.join(" "));
    if arch == Arch::Arm64 && Arch::own().ok() != Some(arch) {
        build.env(
            format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()),
            ARM64_CC,
        );
        build.env(format!("CC_{name}"), ARM64_CC);
    }
    steps.shown(&format!("weir for {arch}, static"), build)?;
    Ok(workspace
        .root()
        .join("target")
        .join(target)
        .join(PROFILE)
        .join("weir"))
}
