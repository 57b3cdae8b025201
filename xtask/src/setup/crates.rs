//! The crates that the builds use, fetched once, so that every later build works offline.

use std::fs;

use anyhow::{Context, Result};

use crate::setup::route::Toolchain;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Fetches the crates of the lock file and of `core`'s own build, if either changed since they
/// were last fetched.
///
/// # Errors
/// When cargo cannot fetch them.
pub(crate) fn ensure(workspace: &Workspace, steps: &Steps, toolchain: &Toolchain) -> Result<()> {
    // Asking cargo would take longer than all other questions of set-up together.
    let stamp = workspace.tools().join("fetched");
    if fs::read(&stamp).is_ok_and(|fetched| fetched == wanted(workspace, toolchain)) {
        return Ok(());
    }
    let fetch = workspace.cargo(["fetch"]);
    steps.silent(
        "crates",
        "crates of Cargo.lock, for building offline from now on",
        fetch,
    )?;
    if let Some(fetch) = toolchain.fetch_core(workspace) {
        steps.silent(
            "core-crates",
            "crates that `core` is built with, likewise",
            fetch,
        )?;
    }
    // Only now: the fetch may have completed the lock file.
    fs::create_dir_all(workspace.tools())
        .and_then(|()| fs::write(&stamp, wanted(workspace, toolchain)))
        .with_context(|| format!("cannot write {}", stamp.display()))
}

/// What decides which crates are needed: the toolchain and the lock file, which is empty here as
/// long as there is none.
fn wanted(workspace: &Workspace, toolchain: &Toolchain) -> Vec<u8> {
    let mut wanted = format!("{toolchain}\n").into_bytes();
    wanted.extend(fs::read(workspace.root().join("Cargo.lock")).unwrap_or_default());
    wanted
}
