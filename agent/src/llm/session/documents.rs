//! The documents that one side of a session sends, a message each.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::turns::Turns;
use crate::llm::json::{Found, Scanner, Table};
use crate::llm::observation::Problem;
use crate::llm::websocket::{Compression, Piece, Reader, WebSocketError};

/// What is read of documents.
#[derive(Debug)]
pub(super) enum Step<'a, S> {
    /// A value of the document in progress.
    Found(Found<'a, S>),
    /// The document was whole.
    Whole,
    /// It was none; what was found of it does not count.
    Broken,
}

/// Reads the messages of one side.
#[derive(Debug)]
pub(super) struct Documents<S: 'static> {
    frames: Reader,
    scanner: Scanner<S>,
}

impl<S: Copy> Documents<S> {
    pub(super) fn new(table: &'static Table<S>, compression: Compression) -> Self {
        Self {
            frames: Reader::new(compression),
            scanner: Scanner::new(table),
        }
    }

    /// Reads bytes; returns whether they close the connection.
    pub(super) fn push(
        &mut self,
        wire_bytes: &[u8],
        turns: &mut Turns,
        mut step: impl FnMut(Step<'_, S>, &mut Turns),
    ) -> bool {
        let mut closes = false;
        let scanner = &mut self.scanner;
        let pushed = self.frames.push(wire_bytes, |piece| match piece {
            Piece::Data(bytes) => scanner.push(bytes, |found| step(Step::Found(found), turns)),
            Piece::End => {
                if scanner.has_met_oversized() {
                    turns.problems.note(Problem::ValueTooLarge);
                }
                let whole = scanner.end();
                scanner.reset();
                match whole {
                    Ok(_) => step(Step::Whole, turns),
                    Err(error) => {
                        turns.problems.note_json(error);
                        step(Step::Broken, turns);
                    }
                }
            }
            Piece::Close(_) => closes = true,
        });
        match pushed {
            Ok(()) => {}
            Err(WebSocketError::Framing) => turns.problems.note(Problem::BadFraming),
            Err(WebSocketError::Coding(error)) => turns.problems.note(error.into()),
        }
        closes
    }

    pub(super) fn is_within_message(&self) -> bool {
        self.frames.is_within_message()
    }
}
