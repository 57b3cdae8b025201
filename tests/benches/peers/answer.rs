//! What a call asks the upstream for, in a header field that it reads.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The header field.
pub(crate) const FIELD: &str = "x-answer";

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// A chat completion with its usage, a JSON document of so many bytes.
    Document { bytes: usize },
    /// A chat completion as a stream: so many events, each so long after the other.
    Events { count: u64, gap: Duration },
    /// So many bytes that mean nothing.
    Bytes { count: u64 },
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { bytes } => write!(out, "document {bytes}"),
            Self::Events { count, gap } => write!(out, "events {count} {}", gap.as_micros()),
            Self::Bytes { count } => write!(out, "bytes {count}"),
        }
    }
}

impl FromStr for Answer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        Ok(match words.as_slice() {
            ["document", bytes] => Self::Document {
                bytes: bytes.parse()?,
            },
            ["events", count, gap_us] => Self::Events {
                count: count.parse()?,
                gap: Duration::from_micros(gap_us.parse()?),
            },
            ["bytes", count] => Self::Bytes {
                count: count.parse()?,
            },
            _ => bail!("{FIELD}: {text:?} is no answer"),
        })
    }
}

/// The answer that the fields of a head ask for.
///
/// # Errors
/// It asks for none.
pub(crate) fn asked_for(value: Option<&str>) -> Result<Answer> {
    value.with_context(|| format!("no {FIELD}"))?.parse()
}
