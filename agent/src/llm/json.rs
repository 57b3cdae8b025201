//! Finds a few values in a JSON document of any size, fed in pieces.
//!
//! A request may be 30 MB with `model` as its last member, so documents are
//! neither held nor built: the scanner walks the structure, remembers where it
//! is, and hands out the values somebody asked for. Memory is bounded by the
//! nesting depth and the size of one captured value.
//!
//! It is lenient where nothing depends on it: scalars and the inside of strings
//! are not validated, and whoever receives a value parses it. It is strict about
//! structure, so that a position it reports is where a parser would see it.
//! Members repeated under one key are all reported, in order: the last one wins
//! with a receiver that overwrites.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod scanner;
mod string;
mod table;
mod taker;

use std::ops::Range;

use thiserror::Error;

use scanner::DEPTH_MAX;
pub use scanner::Scanner;
pub use table::Table;

/// A place in a document: member names from the root; [`EACH`] is every element
/// of an array.
pub type Path = &'static [&'static str];

/// The step of a [`Path`] into every element of an array.
pub const EACH: &str = "*";

/// What is wanted of the value at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Its bytes. A wanted value within another wanted value is not reported.
    Value,
    /// Its bytes, if it is no object or array.
    Scalar,
    /// A string in UTF-8, its escapes decoded, in parts; nothing of any other
    /// value.
    Text,
    /// Its encoded bytes, in parts. Does not nest.
    Source,
    /// Only that it is there and does not begin like `null`.
    Mark,
}

/// Asks for the values at a path. `slot` is handed back with them.
#[derive(Debug, Clone, Copy)]
pub struct Interest<S: 'static> {
    /// Where.
    pub path: Path,
    /// What.
    pub want: Want,
    /// Under which name.
    pub slot: S,
}

/// A value that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a, S> {
    /// For [`Want::Value`] and [`Want::Scalar`].
    Value {
        /// Of the interest.
        slot: S,
        /// The value as encoded.
        raw: &'a [u8],
        /// Where the opening quote of the member's key is; for an element of an
        /// array, where some earlier key is.
        key_at: usize,
        /// Where the value is, in bytes from the beginning of the document.
        span: Range<usize>,
    },
    /// For [`Want::Text`] and [`Want::Source`]: it begins.
    Begin {
        /// Of the interest.
        slot: S,
        /// Which interest of the table it is.
        place: usize,
    },
    /// For [`Want::Text`] and [`Want::Source`]: it goes on. A character may be
    /// in two parts.
    Part {
        /// Of the interest.
        slot: S,
        /// What comes next; not empty.
        bytes: &'a [u8],
    },
    /// For [`Want::Mark`].
    Mark {
        /// Of the interest.
        slot: S,
    },
}

impl<'a, S: Copy> Found<'a, S> {
    /// Under which name the value was asked for.
    pub fn slot(&self) -> S {
        match self {
            Self::Value { slot, .. }
            | Self::Begin { slot, .. }
            | Self::Part { slot, .. }
            | Self::Mark { slot } => *slot,
        }
    }

    /// The same value under another name.
    pub fn under<T>(self, slot: T) -> Found<'a, T> {
        match self {
            Self::Value {
                raw, key_at, span, ..
            } => Found::Value {
                slot,
                raw,
                key_at,
                span,
            },
            Self::Begin { place, .. } => Found::Begin { slot, place },
            Self::Part { bytes, .. } => Found::Part { slot, bytes },
            Self::Mark { .. } => Found::Mark { slot },
        }
    }

    /// The value, if its bytes were asked for.
    pub fn raw(&self) -> Option<&'a [u8]> {
        match self {
            Self::Value { raw, .. } => Some(raw),
            Self::Begin { .. } | Self::Part { .. } | Self::Mark { .. } => None,
        }
    }
}

/// A whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The position of the closing brace or bracket; the end, for a scalar.
    pub close_at: usize,
}

/// Why there is no whole document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonError {
    /// Nothing but white space.
    #[error("no document")]
    Empty,
    /// It ended within the document.
    #[error("the document is cut short")]
    Truncated,
    /// The structure is not that of JSON.
    #[error("not JSON")]
    Malformed,
    /// Nested deeper than is followed.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// Reads a whole document that is at hand.
///
/// # Errors
/// Says why it is not a document; what was found before that was reported.
pub fn scan<S: Copy>(
    document: &[u8],
    table: &'static Table<S>,
    found: impl FnMut(Found<'_, S>),
) -> Result<Document, JsonError> {
    let mut scanner = Scanner::new(table);
    scanner.push(document, found);
    scanner.end()
}

#[cfg(test)]
mod tests;
