//! AWS `application/vnd.amazon.eventstream`: binary messages with headers, a
//! payload and two checksums.
//!
//! A message is a prelude of twelve bytes (total length, length of the headers,
//! CRC-32 of these two), headers, payload, and the CRC-32 of everything before
//! it; all integers are big-endian. [`Reader`] holds the headers of one message,
//! hands its payload on as it comes, and says at the end of a message that its
//! checksum held. After a message that is not right nothing more is read: there
//! is no way to find the next one that is not a guess.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod headers;

use crc32fast::Hasher;
use thiserror::Error;

pub use headers::{Headers, MessageType};

/// Most bytes of headers in a message, as in the decoders of AWS' own SDKs.
const HEADERS_LEN_MAX: u32 = 128 * 1024;
/// Most bytes of payload in a message, likewise.
const PAYLOAD_LEN_MAX: u32 = 24 * 1024 * 1024;
/// Total length, length of the headers, and their checksum.
const PRELUDE_LEN: usize = 12;
/// What of the prelude its checksum covers.
const PRELUDE_CHECKED: usize = 8;
/// The prelude and the checksum of the message.
const FRAME_LEN: u32 = 16;

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A message begins, with these headers.
    Begin(&'a Headers),
    /// More of its payload.
    Payload(&'a [u8]),
    /// The message is over and its checksum held.
    End,
}

/// Why a stream is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EventStreamError {
    /// The prelude's checksum does not hold.
    #[error("the checksum of the message's lengths does not hold")]
    PreludeChecksum,
    /// The lengths contradict each other.
    #[error("the lengths of the message do not fit each other")]
    Lengths,
    /// Headers or payload are larger than AWS' own decoders accept.
    #[error("the message is larger than AWS allows")]
    TooLarge,
    /// The headers are not what their length says, or name something twice.
    #[error("the headers of the message are malformed")]
    Headers,
    /// The message's checksum does not hold.
    #[error("the checksum of the message does not hold")]
    Checksum,
}

/// Where in a message the reader is.
#[derive(Debug)]
enum Place {
    Prelude,
    Headers {
        length: u32,
        payload: u32,
    },
    Payload {
        left: u32,
    },
    /// In the checksum of the message, of which so many bytes were read.
    Checksum {
        read: u8,
        value: u32,
    },
    Broken(EventStreamError),
}

/// Reads a stream of messages.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    /// The prelude or the headers, as far as they have arrived.
    held: Vec<u8>,
    hasher: Hasher,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            place: Place::Prelude,
            held: Vec::new(),
            hasher: Hasher::new(),
        }
    }
}

impl Reader {
    /// Reads the next bytes of the stream.
    ///
    /// # Errors
    /// Says what is wrong with a message, then and at every later call. What
    /// was handed out of that message is not to be used.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut out: impl FnMut(Piece<'_>),
    ) -> Result<(), EventStreamError> {
        while !bytes.is_empty() {
            let read = self.read(bytes, &mut out);
            match read {
                Ok(consumed) => bytes = bytes.get(consumed..).unwrap_or_default(),
                Err(error) => {
                    self.held = Vec::new();
                    self.place = Place::Broken(error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reads on in the current part of a message; returns how many bytes were
    /// consumed, which is at least one.
    fn read(
        &mut self,
        bytes: &[u8],
        out: &mut impl FnMut(Piece<'_>),
    ) -> Result<usize, EventStreamError> {
        let consumed = match &mut self.place {
            Place::Prelude => {
                let consumed = fill(&mut self.held, PRELUDE_LEN, bytes);
                if let Some(prelude) = self.held.first_chunk::<PRELUDE_LEN>() {
                    let (length, payload) = lengths(prelude)?;
                    self.hasher.update(prelude);
                    self.held.clear();
                    self.place = Place::Headers { length, payload };
                    self.take_headers(out)?;
                }
                consumed
            }
            Place::Headers { length, .. } => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                let consumed = fill(&mut self.held, length, bytes);
                self.take_headers(out)?;
                consumed
            }
            Place::Payload { left } => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let payload = bytes.get(..wanted).unwrap_or(bytes);
                self.hasher.update(payload);
                *left = left.saturating_sub(u32::try_from(payload.len()).unwrap_or(u32::MAX));
                if *left == 0 {
                    self.place = Place::Checksum { read: 0, value: 0 };
                }
                out(Piece::Payload(payload));
                payload.len()
            }
            Place::Checksum { read, value } => {
                let byte = bytes.first().copied().unwrap_or_default();
                *value = value.wrapping_shl(8) | u32::from(byte);
                *read = read.saturating_add(1);
                if *read == 4 {
                    if *value != std::mem::take(&mut self.hasher).finalize() {
                        return Err(EventStreamError::Checksum);
                    }
                    self.place = Place::Prelude;
                    out(Piece::End);
                }
                1
            }
            Place::Broken(error) => return Err(*error),
        };
        Ok(consumed)
    }

    /// Parses the headers if they have arrived whole, which none have to.
    fn take_headers(&mut self, out: &mut impl FnMut(Piece<'_>)) -> Result<(), EventStreamError> {
        let Place::Headers { length, payload } = self.place else {
            return Ok(());
        };
        if self.held.len() as u64 != u64::from(length) {
            return Ok(());
        }
        self.hasher.update(&self.held);
        let headers = Headers::parse(&self.held).ok_or(EventStreamError::Headers)?;
        self.held.clear();
        // Headers far above the usual are not worth keeping memory for.
        self.held.shrink_to(1024);
        self.place = if payload == 0 {
            Place::Checksum { read: 0, value: 0 }
        } else {
            Place::Payload { left: payload }
        };
        out(Piece::Begin(&headers));
        Ok(())
    }

    /// Whether the stream ended within a message.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        match self.place {
            Place::Prelude => !self.held.is_empty(),
            Place::Headers { .. } | Place::Payload { .. } | Place::Checksum { .. } => true,
            Place::Broken(_) => false,
        }
    }
}

/// Lengths of headers and payload, out of a prelude.
fn lengths(prelude: &[u8; PRELUDE_LEN]) -> Result<(u32, u32), EventStreamError> {
    let [t0, t1, t2, t3, h0, h1, h2, h3, c0, c1, c2, c3] = *prelude;
    let checked = prelude.get(..PRELUDE_CHECKED).unwrap_or_default();
    if crc32fast::hash(checked) != u32::from_be_bytes([c0, c1, c2, c3]) {
        return Err(EventStreamError::PreludeChecksum);
    }
    let total = u32::from_be_bytes([t0, t1, t2, t3]);
    let headers = u32::from_be_bytes([h0, h1, h2, h3]);
    let payload = total
        .checked_sub(FRAME_LEN)
        .and_then(|rest| rest.checked_sub(headers))
        .ok_or(EventStreamError::Lengths)?;
    if headers > HEADERS_LEN_MAX || payload > PAYLOAD_LEN_MAX {
        return Err(EventStreamError::TooLarge);
    }
    Ok((headers, payload))
}

/// Moves bytes into `held` up to `length`; returns how many.
fn fill(held: &mut Vec<u8>, length: usize, bytes: &[u8]) -> usize {
    let missing = length.saturating_sub(held.len());
    let taken = bytes.get(..missing).unwrap_or(bytes);
    held.extend_from_slice(taken);
    taken.len()
}

#[cfg(test)]
mod tests;
