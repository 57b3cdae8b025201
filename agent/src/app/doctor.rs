//! `weir doctor`: whether weir can work here, and if not, what to do.
//!
//! Each check looks at one thing and judges it by itself; what cannot be looked
//! at is said to be not checked, never to be in order. The last checks do not
//! look but try: a temporary cgroup, the real programs, a real connection.

mod canary;
mod check;
mod kernel;
mod place;
mod rights;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::DoctorArgs;

use check::{Report, Style};

/// Status of a run that found a problem. Not 125: weir itself did not fail.
const EXIT_PROBLEM: u8 = 1;

/// Checks, and prints one line or more for each check.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut checks = kernel::checks();
    checks.extend(rights::checks());
    checks.extend(place::checks());
    checks.extend(canary::checks());
    let report = Report::new(checks);
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        text
    } else {
        report.render(if io::stdout().is_terminal() {
            Style::Coloured
        } else {
            Style::Plain
        })
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(if report.problems() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_PROBLEM)
    })
}
