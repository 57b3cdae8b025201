//! Counts the instructions of one input, with valgrind's callgrind.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::driven::Input;

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
    let instructions = run(input, input.times())?;
    let (bytes, pieces) = input.size()?;
    Ok(Counted {
        input: input.to_string(),
        bytes,
        pieces,
        instructions: instructions / input.times(),
    })
}

/// Runs what callgrind is to count, and nothing else of it is counted.
#[inline(never)]
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

fn run(input: Input, times: u64) -> Result<u64> {
    let directory = TempDir::new()?;
    let file = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*callgrind::counted*"])
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
