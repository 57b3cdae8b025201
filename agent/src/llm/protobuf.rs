//! Finds a few fields in a protobuf message of any size, fed in pieces.
//!
//! The counterpart of [`json`](super::json) for gRPC: no schema, no message in
//! memory, only the values at the field numbers that somebody asked for. Memory
//! is bounded by the length of those paths and by one captured value. Groups,
//! which proto3 does not have, are not read.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use thiserror::Error;

/// Field numbers from the message at the root.
pub type Path = &'static [u32];

/// Largest value handed out, in bytes: names and identifiers.
const VALUE_LEN_MAX: usize = 4 * 1024;

/// Most bits of a variable-length integer.
const VARINT_BITS: u32 = 64;

/// What is wanted of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The number, of an integer, a boolean or an enumeration.
    Number,
    /// The bytes, of a string.
    Bytes,
    /// The length in bytes, of a string or a message.
    Length,
}

/// Asks for the fields at a path. `slot` is handed back with them.
#[derive(Debug, Clone, Copy)]
pub struct Interest<S: 'static> {
    /// Where. No path of a table begins another.
    pub path: Path,
    /// What.
    pub want: Want,
    /// Under which name.
    pub slot: S,
}

/// A field that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a, S> {
    /// For [`Want::Number`].
    Number {
        /// Of the interest.
        slot: S,
        /// As encoded: a negative number is above `i64::MAX`.
        value: u64,
    },
    /// For [`Want::Bytes`].
    Bytes {
        /// Of the interest.
        slot: S,
        /// The bytes.
        raw: &'a [u8],
    },
    /// For [`Want::Length`].
    Length {
        /// Of the interest.
        slot: S,
        /// In bytes.
        bytes: u64,
    },
}

/// Why there is no whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtobufError {
    /// It ended within a field.
    #[error("the message is cut short")]
    Truncated,
    /// A tag, a number or a length is not that of a message.
    #[error("not a protobuf message")]
    Malformed,
}

/// A message that the reader is in.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Where it ends; the root does not say.
    end: u64,
    /// Its field number in the message around it.
    number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the tag of a field, or before one.
    Tag,
    Number {
        field: u32,
    },
    Length {
        field: u32,
    },
    /// In a value that nobody wants.
    Skip {
        left: u64,
    },
    Capture {
        interest: usize,
        left: u64,
    },
    Broken,
}

/// Walks one message after another.
#[derive(Debug)]
pub struct Scanner<S: 'static> {
    interests: &'static [Interest<S>],
    state: State,
    /// Never deeper than the longest path.
    stack: Vec<Frame>,
    /// Bytes of the message so far.
    position: u64,
    /// A variable-length integer, and how many of its bits were read.
    varint: u64,
    bits: u32,
    captured: Vec<u8>,
    has_met_oversized: bool,
}

impl<S: Copy> Scanner<S> {
    /// A scanner at the beginning of a message.
    #[must_use]
    pub fn new(interests: &'static [Interest<S>]) -> Self {
        Self {
            interests,
            state: State::Tag,
            stack: Vec::new(),
            position: 0,
            varint: 0,
            bits: 0,
            captured: Vec::new(),
            has_met_oversized: false,
        }
    }

    /// Begins a new message, keeping what memory there is.
    pub fn reset(&mut self) {
        self.state = State::Tag;
        self.stack.clear();
        self.position = 0;
        self.varint = 0;
        self.bits = 0;
        self.captured.clear();
    }

    /// Whether a wanted value was ever too large to be handed out.
    #[must_use]
    pub fn has_met_oversized(&self) -> bool {
        self.has_met_oversized
    }

    /// Reads the next piece of the message.
    pub fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Found<'_, S>)) {
        while let Some(&byte) = bytes.first() {
            let consumed = match self.state {
                State::Broken => return,
                State::Tag | State::Number { .. } | State::Length { .. } => {
                    self.position = self.position.saturating_add(1);
                    if let Some(value) = self.varint(byte) {
                        self.take(value, &mut found);
                    }
                    1
                }
                State::Skip { left } => {
                    let value = prefix(bytes, left);
                    self.advance(value.len(), left);
                    value.len()
                }
                State::Capture { interest, left } => {
                    let value = prefix(bytes, left);
                    self.captured.extend_from_slice(value);
                    self.advance(value.len(), left);
                    if self.state == State::Tag {
                        self.hand_out(interest, &mut found);
                    } else if let State::Capture { left, .. } = &mut self.state {
                        *left = left.saturating_sub(value.len() as u64);
                    }
                    value.len()
                }
            };
            bytes = bytes.get(consumed..).unwrap_or_default();
            self.leave();
        }
    }

    /// Says whether what was read is a whole message. An empty one is.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn end(&self) -> Result<(), ProtobufError> {
        match self.state {
            State::Tag if self.stack.is_empty() && self.bits == 0 => Ok(()),
            State::Broken => Err(ProtobufError::Malformed),
            State::Tag
            | State::Number { .. }
            | State::Length { .. }
            | State::Skip { .. }
            | State::Capture { .. } => Err(ProtobufError::Truncated),
        }
    }

    /// Consumes bytes of a value of which `left` were left.
    fn advance(&mut self, consumed: usize, left: u64) {
        let consumed = consumed as u64;
        self.position = self.position.saturating_add(consumed);
        let left = left.saturating_sub(consumed);
        if left == 0 {
            self.state = State::Tag;
        } else if let State::Skip { left: rest } = &mut self.state {
            *rest = left;
        }
    }

    /// Takes a byte of a variable-length integer; returns it with its last one.
    fn varint(&mut self, byte: u8) -> Option<u64> {
        if self.bits >= VARINT_BITS {
            self.state = State::Broken;
            return None;
        }
        let bits = u64::from(byte & 0x7f);
        self.varint |= bits.wrapping_shl(self.bits);
        self.bits = self.bits.saturating_add(7);
        if byte & 0x80 != 0 {
            return None;
        }
        self.bits = 0;
        Some(std::mem::take(&mut self.varint))
    }

    /// Takes a tag, a number or a length.
    fn take(&mut self, value: u64, found: &mut impl FnMut(Found<'_, S>)) {
        self.state = match self.state {
            State::Tag => self.begin_field(value),
            State::Number { field } => {
                if let Some((_, wanted)) = self.wanted(field)
                    && wanted.want == Want::Number
                {
                    let slot = wanted.slot;
                    found(Found::Number { slot, value });
                }
                State::Tag
            }
            State::Length { field } => self.begin_value(field, value, found),
            State::Skip { .. } | State::Capture { .. } | State::Broken => State::Broken,
        };
    }

    fn begin_field(&mut self, tag: u64) -> State {
        let Some(field) = u32::try_from(tag >> 3).ok().filter(|field| *field > 0) else {
            return State::Broken;
        };
        match tag & 7 {
            0 => State::Number { field },
            1 => self.skip(8),
            2 => State::Length { field },
            5 => self.skip(4),
            _ => State::Broken,
        }
    }

    fn skip(&self, length: u64) -> State {
        match length {
            0 => State::Tag,
            _ if !self.has_room(length) => State::Broken,
            _ => State::Skip { left: length },
        }
    }

    /// A value of `length` bytes begins.
    fn begin_value(
        &mut self,
        field: u32,
        length: u64,
        found: &mut impl FnMut(Found<'_, S>),
    ) -> State {
        if !self.has_room(length) {
            return State::Broken;
        }
        let Some((interest, wanted)) = self.wanted(field) else {
            if self.leads_on(field) {
                self.stack.push(Frame {
                    end: self.position.saturating_add(length),
                    number: field,
                });
                return State::Tag;
            }
            return self.skip(length);
        };
        let slot = wanted.slot;
        match wanted.want {
            Want::Length => {
                found(Found::Length {
                    slot,
                    bytes: length,
                });
                self.skip(length)
            }
            Want::Bytes if length > VALUE_LEN_MAX as u64 => {
                self.has_met_oversized = true;
                self.skip(length)
            }
            Want::Bytes if length == 0 => {
                found(Found::Bytes { slot, raw: b"" });
                State::Tag
            }
            Want::Bytes => {
                self.captured.clear();
                State::Capture {
                    interest,
                    left: length,
                }
            }
            // A packed list of numbers.
            Want::Number => self.skip(length),
        }
    }

    fn hand_out(&self, interest: usize, found: &mut impl FnMut(Found<'_, S>)) {
        if let Some(wanted) = self.interests.get(interest) {
            found(Found::Bytes {
                slot: wanted.slot,
                raw: &self.captured,
            });
        }
    }

    /// Leaves the messages that end here. One that its last field goes beyond
    /// is none.
    fn leave(&mut self) {
        while let Some(frame) = self.stack.last() {
            if self.position < frame.end {
                return;
            }
            if self.state != State::Tag || self.bits != 0 {
                if self.position >= frame.end {
                    self.state = State::Broken;
                }
                return;
            }
            self.stack.pop();
        }
    }

    /// Whether so many bytes still belong to the current message.
    fn has_room(&self, length: u64) -> bool {
        let end = self.stack.last().map_or(u64::MAX, |frame| frame.end);
        self.position
            .checked_add(length)
            .is_some_and(|after| after <= end)
    }

    /// The interest in a field of the current message.
    fn wanted(&self, field: u32) -> Option<(usize, &'static Interest<S>)> {
        self.interests.iter().enumerate().find(|(_, wanted)| {
            self.rest_of(wanted.path)
                .is_some_and(|rest| rest == [field])
        })
    }

    /// Whether a path goes through a field of the current message.
    fn leads_on(&self, field: u32) -> bool {
        self.interests.iter().any(|wanted| {
            self.rest_of(wanted.path)
                .is_some_and(|rest| rest.first() == Some(&field))
        })
    }

    /// What of a path is below the current message, if it leads into it.
    fn rest_of(&self, path: Path) -> Option<Path> {
        let (above, below) = path.split_at_checked(self.stack.len())?;
        above
            .iter()
            .zip(&self.stack)
            .all(|(number, frame)| *number == frame.number)
            .then_some(below)
    }
}

/// At most the first `left` bytes.
fn prefix(bytes: &[u8], left: u64) -> &[u8] {
    usize::try_from(left)
        .ok()
        .and_then(|left| bytes.get(..left))
        .unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
