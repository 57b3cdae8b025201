//! The ways in which an answer can be made to go wrong.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A fault, by the name used in `x-emulator-fault`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// Half of the answer, then a TCP reset or RST_STREAM.
    #[serde(rename = "reset-mid-stream")]
    ResetMidStream,
    /// Half of a stream, then the surface's own error event; a plain request
    /// gets status 500.
    #[serde(rename = "error-event")]
    ErrorEvent,
    /// Half of the answer, then its end, in good order but too early.
    #[serde(rename = "close-early")]
    CloseEarly,
    /// All of the answer except usage figures.
    #[serde(rename = "no-usage")]
    NoUsage,
    /// Status 429 with `retry-after`.
    #[serde(rename = "429")]
    RateLimited,
    /// Status 529, Anthropic's "overloaded"; AWS' 503.
    #[serde(rename = "529")]
    Overloaded,
    /// Status 500 with an HTML page, as an edge in front of a provider sends.
    #[serde(rename = "500-html")]
    HtmlError,
    /// The head comes late, and on HTTP/1 byte by byte.
    #[serde(rename = "slow-headers")]
    SlowHeaders,
    /// A 103 before the final head.
    #[serde(rename = "early-hints")]
    EarlyHints,
    /// Status 417 without reading the body.
    #[serde(rename = "expect-refuse")]
    ExpectRefuse,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 10] = [
        Fault::ResetMidStream,
        Fault::ErrorEvent,
        Fault::CloseEarly,
        Fault::NoUsage,
        Fault::RateLimited,
        Fault::Overloaded,
        Fault::HtmlError,
        Fault::SlowHeaders,
        Fault::EarlyHints,
        Fault::ExpectRefuse,
    ];

    /// Its name in `x-emulator-fault`.
    pub fn name(self) -> &'static str {
        match self {
            Fault::ResetMidStream => "reset-mid-stream",
            Fault::ErrorEvent => "error-event",
            Fault::CloseEarly => "close-early",
            Fault::NoUsage => "no-usage",
            Fault::RateLimited => "429",
            Fault::Overloaded => "529",
            Fault::HtmlError => "500-html",
            Fault::SlowHeaders => "slow-headers",
            Fault::EarlyHints => "early-hints",
            Fault::ExpectRefuse => "expect-refuse",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault {name:?}: expected one of {}", Fault::ALL.map(Fault::name).join(", "))]
pub struct UnknownFault {
    name: String,
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Fault::ALL
            .into_iter()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| UnknownFault {
                name: name.to_owned(),
            })
    }
}
