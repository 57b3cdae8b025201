//! What became of a client's calls: told from what it printed, and from what
//! weir recorded.

use std::fmt;

use anyhow::{Context, Result};
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::Record;

/// Calls made in a row, each by a process of its own: more than it takes until a
/// client that leaves in silence is let through.
const CALLS: usize = 5;
/// Precedes a call's exit status in what is printed.
const MARK: &str = "weir-clients: exit ";

/// One call through weir.
#[derive(Debug)]
pub(crate) struct Call {
    printed: String,
    has_succeeded: bool,
}

/// What became of the calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All were inspected, and succeeded.
    Inspected,
    /// The first ones failed and were recorded so, then all were let through, and
    /// came out as without weir.
    LetThrough {
        /// Connections before that.
        refused: usize,
        /// It said that it does not accept the certificate.
        by_alert: bool,
    },
    /// Neither: what happened instead.
    Otherwise(String),
}

/// The command line that makes the calls.
pub(crate) fn repeated(words: &[String]) -> Vec<String> {
    let numbers: Vec<String> = (0..CALLS).map(|number| number.to_string()).collect();
    let script = format!(
        "for call in {}; do \"$@\"; printf '\\n{MARK}%s\\n' $?; done",
        numbers.join(" ")
    );
    let mut command = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    command.extend_from_slice(words);
    command
}

/// Reads what [`repeated`] printed.
pub(crate) fn calls(text: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut printed = String::new();
    for line in text.lines() {
        match line.strip_prefix(MARK) {
            Some(status) => calls.push(Call {
                printed: std::mem::take(&mut printed).trim().to_owned(),
                has_succeeded: status == "0",
            }),
            None => {
                printed.push_str(line);
                printed.push('\n');
            }
        }
    }
    calls.last().context("no call was made")?;
    Ok(calls)
}

impl Fate {
    /// `direct` is what the client printed without weir, if it succeeded.
    pub(crate) fn of(
        direct: Option<&str>,
        calls: &[Call],
        records: &[Record],
        speaks_chat: bool,
    ) -> Self {
        let direct = direct.map(str::trim);
        let refusals = [
            Reason::ClientRefusedCertificate,
            Reason::ClosedBeforeRequest,
        ];
        let refused = records
            .iter()
            .take_while(|record| {
                record.decision == Decision::Refuse && refusals.contains(&record.reason)
            })
            .count();
        let (first, rest) = records.split_at(refused);
        let all_inspected = records.iter().all(|record| {
            record.decision == Decision::Intercept
                && record.status.is_some()
                && (!speaks_chat || record.tokens_provenance == Provenance::Measured)
        });
        let as_direct = |call: &Call| match direct {
            Some(direct) => call.has_succeeded && call.printed == direct,
            None => !call.has_succeeded,
        };
        // Some trust the emulator only with weir's variables for them.
        let all_succeeded = calls
            .iter()
            .all(|call| call.has_succeeded && call.printed == calls[0].printed);
        let all_well = calls.iter().all(as_direct) || (direct.is_none() && all_succeeded);
        if all_inspected && all_well && records.len() >= CALLS {
            return Self::Inspected;
        }
        let all_passed = !rest.is_empty()
            && rest.iter().all(|record| {
                (record.decision, record.reason)
                    == (Decision::Splice, Reason::ClientRefusedCertificate)
            });
        if all_passed && calls.last().is_some_and(as_direct) && refused > 0 {
            return Self::LetThrough {
                refused,
                by_alert: first
                    .iter()
                    .any(|record| record.reason == Reason::ClientRefusedCertificate),
            };
        }
        let records: Vec<String> = records
            .iter()
            .map(|record| {
                let error = record.error.as_deref().unwrap_or_default();
                format!("{}/{} {error}", record.decision, record.reason)
            })
            .collect();
        Self::Otherwise(format!("direct {direct:?}, {calls:?}, records {records:?}"))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inspected => out.write_str("inspected"),
            Self::LetThrough { refused, by_alert } => {
                let how = if *by_alert { "alert" } else { "silence" };
                write!(out, "let through after {refused} ({how})")
            }
            Self::Otherwise(what) => write!(out, "**otherwise**: {what}"),
        }
    }
}
