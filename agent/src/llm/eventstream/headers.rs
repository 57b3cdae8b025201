//! The headers of a message, of which only those that AWS reserves are kept.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::collections::HashSet;

/// Longest value kept, in bytes: names of events and exceptions are below 40.
const VALUE_LEN_MAX: usize = 128;

/// What kind of message it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageType {
    /// An event of the stream. Messages that do not say are taken for one.
    #[default]
    Event,
    /// An error that the service's model names.
    Exception,
    /// Any other error.
    Error,
}

/// What the reserved headers of a message say. Values that are no string, or
/// too long to be a name, are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `:message-type`
    pub message_type: MessageType,
    /// `:event-type`
    pub event_type: Option<String>,
    /// `:exception-type`
    pub exception_type: Option<String>,
    /// `:error-code`
    pub error_code: Option<String>,
}

impl Headers {
    /// Parses a block of headers. `None` if it is malformed, or has a name twice.
    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        let mut headers = Self::default();
        let mut names = HashSet::new();
        let mut rest = block;
        while !rest.is_empty() {
            let name = counted(&mut rest, 1)?;
            if !names.insert(name) {
                return None;
            }
            let Some(value) = value(&mut rest)? else {
                continue;
            };
            let value = || {
                let text = std::str::from_utf8(value).ok()?;
                (text.len() <= VALUE_LEN_MAX).then(|| text.to_owned())
            };
            match name {
                b":message-type" => {
                    headers.message_type = match value().as_deref() {
                        Some("exception") => MessageType::Exception,
                        Some("error") => MessageType::Error,
                        Some(_) | None => MessageType::Event,
                    }
                }
                b":event-type" => headers.event_type = value(),
                b":exception-type" => headers.exception_type = value(),
                b":error-code" => headers.error_code = value(),
                _ => {}
            }
        }
        Some(headers)
    }
}

/// Passes over a header's value: outer `None` if it is malformed, inner `None`
/// if it is not a string.
fn value<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = match take(rest, 1)?.first()? {
        // True and false, which have no bytes of their own.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        // A long, and a timestamp.
        5 | 8 => 8,
        6 => {
            counted(rest, 2)?;
            0
        }
        7 => return counted(rest, 2).map(Some),
        // A UUID.
        9 => 16,
        _ => return None,
    };
    take(rest, length)?;
    Some(None)
}

/// Takes bytes that follow their number, an integer of `width` bytes.
fn counted<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(rest, width)?
        .iter()
        .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    take(rest, length)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
