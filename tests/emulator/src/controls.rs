//! How an answer is given: request headers over the emulator's defaults.
//!
//! | header | value | effect |
//! |---|---|---|
//! | `x-emulator-delay-ms` | milliseconds | wait before the head |
//! | `x-emulator-gap-ms` | milliseconds | wait before each event but the first |
//! | `x-emulator-chunking` | `event`, `byte`, `whole`, or a number | how body bytes are cut into writes |
//! | `x-emulator-framing` | `length`, `chunked`, `close` | how a plain body is framed on HTTP/1 |
//! | `x-emulator-encoding` | codings, `auto`, `identity` | content coding of the body |
//! | `x-emulator-fault` | a [`Fault`] name | what goes wrong |
//! | `x-emulator-fault-times` | number | only for that many tries, by `x-stainless-retry-count` or `amz-sdk-request` |
//! | `x-emulator-tokens` | number | tokens of text to generate, before the request's own maximum |
//! | `x-emulator-stamp` | `1` | a comment line `: t=<ns>` before each event, CLOCK_MONOTONIC |
//! | `x-emulator-nonce` | text | has part in the seed: another answer to the same content |

use std::num::{NonZeroUsize, ParseIntError};
use std::time::Duration;

use http::HeaderMap;

use crate::coding::{Codings, UnknownCoding};
use crate::fault::{Fault, UnknownFault};

/// How body bytes are cut into writes; each write is flushed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chunking {
    /// A write for each event; a plain body in one.
    #[default]
    Event,
    /// Writes of at most this many bytes; events are never joined.
    Bytes(NonZeroUsize),
    /// All of the body in one write.
    Whole,
}

/// How a plain body is framed on HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainFraming {
    /// `Content-Length`.
    #[default]
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Up to the end of the connection.
    Close,
}

/// Content coding of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoding {
    /// What the request's `accept-encoding` prefers.
    Auto,
    /// These codings, in the order in which they are applied; none is identity.
    Fixed(Codings),
}

/// How an answer is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controls {
    /// Wait before the head.
    pub delay: Duration,
    /// Wait before each event but the first.
    pub gap: Duration,
    /// How body bytes are cut into writes.
    pub chunking: Chunking,
    /// How a plain body is framed on HTTP/1.
    pub framing: PlainFraming,
    /// Content coding.
    pub encoding: Encoding,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Tokens of text to generate; drawn from the seed if absent.
    pub tokens: Option<u32>,
    /// Whether each event is preceded by the time at which it was written.
    pub stamp: bool,
    /// Has part in the seed.
    pub nonce: String,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            gap: Duration::ZERO,
            chunking: Chunking::default(),
            framing: PlainFraming::default(),
            encoding: Encoding::Fixed(Codings::identity()),
            fault: None,
            tokens: None,
            stamp: false,
            nonce: String::new(),
        }
    }
}

/// The most text that can be asked for, in tokens: what the longest models
/// write, twice.
const TOKENS_MAX: u32 = 262_144;

/// A control header that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Not a number.
    #[error("{header}: not a number: {source}")]
    Number {
        /// The header.
        header: &'static str,
        /// What is wrong with it.
        source: ParseIntError,
    },
    /// More tokens than the emulator will write.
    #[error("x-emulator-tokens: at most {TOKENS_MAX}")]
    TooManyTokens,
    /// None of the values that the header takes.
    #[error("{header}: expected {expected}")]
    Value {
        /// The header.
        header: &'static str,
        /// The values that it takes.
        expected: &'static str,
    },
    /// An unknown fault.
    #[error("x-emulator-fault: {0}")]
    Fault(#[from] UnknownFault),
    /// An unknown content coding.
    #[error("x-emulator-encoding: {0}")]
    Coding(#[from] UnknownCoding),
}

impl Controls {
    /// The controls for one request.
    ///
    /// # Errors
    /// A control header has a value that it does not take.
    pub fn of_request(headers: &HeaderMap, defaults: &Controls) -> Result<Self, ControlError> {
        let mut controls = defaults.clone();
        if let Some(wait) = number(headers, "x-emulator-delay-ms")? {
            controls.delay = Duration::from_millis(wait);
        }
        if let Some(wait) = number(headers, "x-emulator-gap-ms")? {
            controls.gap = Duration::from_millis(wait);
        }
        if let Some(value) = text(headers, "x-emulator-chunking") {
            controls.chunking = chunking(value)?;
        }
        if let Some(value) = text(headers, "x-emulator-framing") {
            controls.framing = framing(value)?;
        }
        if let Some(value) = text(headers, "x-emulator-encoding") {
            controls.encoding = encoding(value)?;
        }
        if let Some(value) = text(headers, "x-emulator-fault") {
            controls.fault = match value {
                "none" => None,
                name => Some(name.parse()?),
            };
        }
        if let Some(times) = number(headers, "x-emulator-fault-times")?
            && retries(headers)? >= times
        {
            controls.fault = None;
        }
        if let Some(tokens) = number(headers, "x-emulator-tokens")? {
            let tokens = u32::try_from(tokens).ok().filter(|it| *it <= TOKENS_MAX);
            controls.tokens = Some(tokens.ok_or(ControlError::TooManyTokens)?);
        }
        match text(headers, "x-emulator-stamp") {
            None => {}
            Some("1") => controls.stamp = true,
            Some("0") => controls.stamp = false,
            Some(_) => {
                return Err(ControlError::Value {
                    header: "x-emulator-stamp",
                    expected: "0 or 1",
                });
            }
        }
        if let Some(nonce) = text(headers, "x-emulator-nonce") {
            controls.nonce = nonce.to_owned();
        }
        Ok(controls)
    }
}

/// How often the call was tried before, as its SDK says.
fn retries(headers: &HeaderMap) -> Result<u64, ControlError> {
    let header = "amz-sdk-request";
    let Some(attempts) = text(headers, header) else {
        return Ok(number(headers, "x-stainless-retry-count")?.unwrap_or(0));
    };
    let attempt = attempts
        .split(';')
        .find_map(|member| member.trim().strip_prefix("attempt="));
    let attempt: u64 = attempt
        .unwrap_or("1")
        .parse()
        .map_err(|source| ControlError::Number { header, source })?;
    Ok(attempt.saturating_sub(1))
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, header: &'static str) -> Result<Option<u64>, ControlError> {
    text(headers, header)
        .map(str::parse)
        .transpose()
        .map_err(|source| ControlError::Number { header, source })
}

fn chunking(value: &str) -> Result<Chunking, ControlError> {
    match value {
        "event" => Ok(Chunking::Event),
        "byte" => Ok(Chunking::Bytes(NonZeroUsize::MIN)),
        "whole" => Ok(Chunking::Whole),
        bytes => bytes
            .parse()
            .map(Chunking::Bytes)
            .map_err(|_not_a_size| ControlError::Value {
                header: "x-emulator-chunking",
                expected: "event, byte, whole or a number of bytes above 0",
            }),
    }
}

fn framing(value: &str) -> Result<PlainFraming, ControlError> {
    match value {
        "length" => Ok(PlainFraming::Length),
        "chunked" => Ok(PlainFraming::Chunked),
        "close" => Ok(PlainFraming::Close),
        _ => Err(ControlError::Value {
            header: "x-emulator-framing",
            expected: "length, chunked or close",
        }),
    }
}

fn encoding(value: &str) -> Result<Encoding, ControlError> {
    match value {
        "auto" => Ok(Encoding::Auto),
        codings => Ok(Encoding::Fixed(codings.parse()?)),
    }
}
