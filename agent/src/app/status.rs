//! `weir status`: what of weir is attached on this machine, since when, what it
//! was told and what it has counted. It changes nothing.
//!
//! Everything is asked of the kernel, nothing of a file: what is shown is what
//! acts. The secret of a claim is never shown.

mod report;
mod table;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;

use crate::capture::PROGRAMS;
use crate::capture::inspect;
use crate::cli::StatusArgs;
use crate::sys::inventory;

use report::Report;

/// Prints it.
///
/// # Errors
/// The kernel does not show it to this user.
pub fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let report = gather()?;
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        text
    } else {
        table::render(&report, SystemTime::now())
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn gather() -> anyhow::Result<Report> {
    let sets = inspect::sets()?;
    let programs: BTreeSet<u32> = sets
        .iter()
        .flat_map(|set| &set.programs)
        .map(|program| program.id)
        .collect();
    if programs.is_empty() {
        return Ok(Report::default());
    }
    let types = PROGRAMS.map(|(_, attach_type)| attach_type);
    let inventory = inventory::take(&programs, &types)?;
    Ok(Report::of(&sets, &inventory))
}
