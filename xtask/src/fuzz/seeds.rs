//! What the fuzzers begin with: examples, which a program of the package writes.

use std::fs;

use anyhow::{Context, Result};

use super::Places;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Writes them anew.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write(workspace: &Workspace, steps: &Steps, places: &Places) -> Result<()> {
    let directory = places.seeds();
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    let mut write = workspace.cargo(["run", "--quiet", "--package", "weir-fuzz"]);
    write.args(["--example", "seeds", "--"]).arg(&directory);
    steps.shown(
        "examples to begin with, of tests/fixtures/llm and others",
        write,
    )
}
