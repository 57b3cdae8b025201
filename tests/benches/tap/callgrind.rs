//! Counts the instructions of one input, with valgrind's callgrind.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::driven::Input;

/// The input is driven so many times in one run and in another: their
/// difference has nothing of the program's start in it.
const FEW: u64 = 1;
const MORE: u64 = 2;

/// What one input took.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    pub(crate) input: String,
    pub(crate) bytes: usize,
    pub(crate) pieces: usize,
    /// Once.
    pub(crate) instructions: u64,
}

/// Counts.
///
/// # Errors
/// There is no valgrind, or it does not understand this program.
pub(crate) fn count(input: Input) -> Result<Counted> {
    let directory = TempDir::new()?;
    let (few, more) = (run(input, FEW, &directory)?, run(input, MORE, &directory)?);
    let (bytes, pieces) = input.size()?;
    Ok(Counted {
        input: input.to_string(),
        bytes,
        pieces,
        instructions: more.saturating_sub(few) / (MORE - FEW),
    })
}

fn run(input: Input, times: u64, directory: &TempDir) -> Result<u64> {
    let file = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["drive", &input.to_string(), &times.to_string()])
        .stdout(Stdio::null())
        .output()
        .context("cannot start valgrind: install it, or run `cargo xtask setup bench`")?;
    ensure!(
        output.status.success(),
        "valgrind failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&file)?;
    let counted = text.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    let counted = counted.context("callgrind counted nothing")?;
    counted.trim().parse().context("callgrind's total")
}
