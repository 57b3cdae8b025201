//! Takes content codings off a copy of a body, as it streams by.
//!
//! Everything that can be decoded from what has arrived is handed on at once:
//! an event stream is compressed event by event, and nothing here waits for its
//! end. Output grows in small steps against two bounds, so that a few bytes that
//! decode to gigabytes cost neither memory nor much time. Checksums are not
//! verified: the application verifies its own copy.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod brotli;
mod deflate;
mod gzip;
mod message;
mod zstd;

pub use message::Messages;
use thiserror::Error;

use super::observation::Problem;

/// Codings that may be stacked. One is usual, two occur.
const STACK_MAX: usize = 4;

/// Bytes decoded per step, on the stack of the caller.
const STEP: usize = 8 * 1024;

/// Most bytes that any coding of one body may decode to: several times the
/// largest request that a provider takes (32 MB). What it bounds is time.
const DECODED_MAX: u64 = 256 * 1024 * 1024;

/// How many times more bytes than arrived may be decoded. Deflate cannot reach
/// this with a text; a text that repeats itself can in zstd and brotli, so
/// there is [`RATIO_FREE`] before it counts.
const RATIO_MAX: u64 = 1000;

/// Bytes that may be decoded whatever the ratio.
const RATIO_FREE: u64 = 1024 * 1024;

/// Why a body cannot be decoded any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A coding that is not known, or too many of them.
    #[error("unknown content coding, or more than {STACK_MAX}")]
    Unknown,
    /// The bytes are not what the coding says.
    #[error("the body is not in its content coding")]
    Malformed,
    /// More than `DECODED_MAX`.
    #[error("the body decodes to more than {DECODED_MAX} bytes")]
    TooLarge,
    /// More than `RATIO_MAX` times what arrived.
    #[error("the body decodes to more than {RATIO_MAX} times its size")]
    Ratio,
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Unknown => Self::UnknownEncoding,
            DecodeError::Malformed => Self::BadEncoding,
            DecodeError::TooLarge => Self::BodyTooLarge,
            DecodeError::Ratio => Self::DecompressionRatio,
        }
    }
}

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder {
    /// In the order of decoding, the reverse of that in the header.
    stages: Vec<Stage>,
    budget: Budget,
}

/// One coding being taken off. States are large, and most bodies have none.
#[derive(Debug)]
enum Stage {
    Gzip(Box<gzip::Gzip>),
    Deflate(Box<deflate::Deflate>),
    Brotli(Box<brotli::Brotli>),
    Zstd(Box<zstd::Zstd>),
}

impl Decoder {
    /// A decoder for a `Content-Encoding`; none is identity.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`].
    pub fn new(content_encoding: Option<&str>) -> Result<Self, DecodeError> {
        let mut stages = Vec::new();
        for coding in content_encoding.unwrap_or_default().rsplit(',') {
            let coding = coding.trim();
            let is = |name: &str| coding.eq_ignore_ascii_case(name);
            if coding.is_empty() || is("identity") {
                continue;
            }
            if stages.len() == STACK_MAX {
                return Err(DecodeError::Unknown);
            }
            stages.push(if is("gzip") || is("x-gzip") {
                Stage::Gzip(Box::default())
            } else if is("deflate") {
                Stage::Deflate(Box::default())
            } else if is("br") {
                Stage::Brotli(Box::default())
            } else if is("zstd") {
                Stage::Zstd(Box::new(zstd::Zstd::new()?))
            } else {
                return Err(DecodeError::Unknown);
            });
        }
        Ok(Self {
            stages,
            budget: Budget::default(),
        })
    }

    /// Decodes the next bytes that arrived into `sink`.
    ///
    /// # Errors
    /// After an error the decoder is of no more use.
    pub fn push(
        &mut self,
        wire_bytes: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        self.budget.arrived = self.budget.arrived.saturating_add(wire_bytes.len() as u64);
        run(&mut self.stages, wire_bytes, &mut self.budget, sink)
    }

    /// Whether every coding has seen the end of its stream. A body of no bytes
    /// counts as ended.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.budget.arrived == 0
            || self.stages.iter().all(|stage| match stage {
                Stage::Gzip(gzip) => gzip.is_at_end(),
                Stage::Deflate(deflate) => deflate.is_at_end(),
                Stage::Brotli(brotli) => brotli.is_at_end(),
                Stage::Zstd(zstd) => zstd.is_at_end(),
            })
    }
}

/// What one stage did with the bytes it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    consumed: usize,
    produced: usize,
}

/// Sends `input` through the first stage and what comes out through the others.
fn run(
    stages: &mut [Stage],
    mut input: &[u8],
    budget: &mut Budget,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), DecodeError> {
    let Some((stage, rest)) = stages.split_first_mut() else {
        sink(input);
        return Ok(());
    };
    let mut buffer = [0; STEP];
    loop {
        let step = match stage {
            Stage::Gzip(gzip) => gzip.step(input, &mut buffer)?,
            Stage::Deflate(deflate) => deflate.step(input, &mut buffer)?,
            Stage::Brotli(brotli) => brotli.step(input, &mut buffer)?,
            Stage::Zstd(zstd) => zstd.step(input, &mut buffer)?,
        };
        input = input.get(step.consumed..).unwrap_or_default();
        if let Some(decoded) = buffer
            .get(..step.produced)
            .filter(|decoded| !decoded.is_empty())
        {
            budget.spend(decoded.len(), rest.len())?;
            run(rest, decoded, budget, sink)?;
        } else if input.is_empty() || step.consumed == 0 {
            // A full buffer may hide more output; an empty one hides none.
            return Ok(());
        }
    }
}

/// Bytes that arrived and bytes that were decoded from them.
#[derive(Debug, Default)]
struct Budget {
    arrived: u64,
    /// By the number of stages that are left to do.
    decoded: [u64; STACK_MAX],
}

impl Budget {
    fn spend(&mut self, bytes: usize, stages_left: usize) -> Result<(), DecodeError> {
        let Some(decoded) = self.decoded.get_mut(stages_left) else {
            return Err(DecodeError::Unknown);
        };
        *decoded = decoded.saturating_add(bytes as u64);
        if *decoded > DECODED_MAX {
            return Err(DecodeError::TooLarge);
        }
        if *decoded > RATIO_FREE && *decoded > self.arrived.saturating_mul(RATIO_MAX) {
            return Err(DecodeError::Ratio);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
