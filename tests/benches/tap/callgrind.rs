//! Counts the instructions of one input, with valgrind's callgrind, and what it
//! allocates, with its DHAT.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
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

/// What one input allocates, once.
#[derive(Debug, Serialize)]
pub(crate) struct Allocated {
    pub(crate) input: String,
    /// Blocks, also those that are given back at once.
    pub(crate) blocks: u64,
    /// In them all.
    pub(crate) bytes: u64,
}

/// Counts instructions.
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

/// Counts what is allocated.
///
/// # Errors
/// As [`count`].
pub(crate) fn allocated(input: Input) -> Result<Allocated> {
    let times = input.times();
    // The difference leaves out what is allocated to begin with.
    let (blocks, bytes) = total(input, times)?;
    let (more_blocks, more_bytes) = total(input, 2 * times)?;
    let once = |less: u64, more: u64| {
        let added = more.checked_sub(less).context("twice as much takes less")?;
        anyhow::Ok((added + times / 2) / times)
    };
    Ok(Allocated {
        input: input.to_string(),
        blocks: once(blocks, more_blocks)?,
        bytes: once(bytes, more_bytes)?,
    })
}

/// Blocks and bytes.
fn total(input: Input, times: u64) -> Result<(u64, u64)> {
    let output = valgrind(&["--tool=dhat", "--dhat-out-file=/dev/null"], input, times)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let total = said
        .lines()
        .find_map(|line| Some(line.split_once("== Total:")?.1))
        .with_context(|| format!("DHAT counted nothing: {said}"))?;
    // `1,234 bytes in 56 blocks`.
    let number = |word: &str| word.replace(',', "").parse::<u64>();
    let words: Vec<&str> = total.split_whitespace().collect();
    match *words {
        [bytes, "bytes", "in", blocks, "blocks"] => Ok((number(blocks)?, number(bytes)?)),
        _ => bail!("DHAT says {total:?}"),
    }
}

fn run(input: Input, times: u64) -> Result<u64> {
    let directory = TempDir::new()?;
    let file = directory.path().join("callgrind.out");
    let options = [
        "--tool=callgrind",
        "--toggle-collect=*callgrind::counted*",
        &format!("--callgrind-out-file={}", file.display()),
    ];
    valgrind(&options, input, times)?;
    let text = std::fs::read_to_string(&file)?;
    let counted = text.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    let counted = counted.context("callgrind counted nothing")?;
    counted.trim().parse().context("callgrind's total")
}

/// Runs this program on one input under valgrind.
fn valgrind(options: &[&str], input: Input, times: u64) -> Result<Output> {
    let output = Command::new("valgrind")
        .args(options)
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
    Ok(output)
}
