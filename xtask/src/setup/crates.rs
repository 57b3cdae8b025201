//! The crates of the lock file, fetched once, so that every later build works offline.

use std::fs;

use anyhow::{Context, Result};

use crate::step::Steps;
use crate::workspace::Workspace;

/// Fetches the crates when the lock file is not the one they were last fetched for.
///
/// # Errors
/// When cargo cannot fetch them.
pub(crate) fn ensure(workspace: &Workspace, steps: &Steps) -> Result<()> {
    // Asking cargo would take longer than all other questions of set-up together.
    let lock = workspace.root().join("Cargo.lock");
    let stamp = workspace.tools().join("fetched.lock");
    let current = fs::read(&lock).ok();
    if current.is_some() && fs::read(&stamp).ok() == current {
        return Ok(());
    }
    let fetch = workspace.cargo(["fetch"]);
    steps.silent(
        "crates",
        "crates of Cargo.lock, for building offline from now on",
        fetch,
    )?;
    fs::create_dir_all(workspace.tools())
        .and_then(|()| fs::copy(&lock, &stamp))
        .with_context(|| format!("cannot copy {} to {}", lock.display(), stamp.display()))?;
    Ok(())
}
