//! The body out of the messages that SageMaker carries parts of it in.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::llm::eventstream;
use crate::llm::reading::coded;

/// Takes the parts out of their messages.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) reader: eventstream::Reader,
    /// The name of an exception, which is the last message.
    pub(super) error: Option<String>,
    is_exception: bool,
}

impl Parts {
    /// Reads the next bytes of the messages.
    ///
    /// # Errors
    /// As of [`eventstream::Reader::push`].
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut out: impl FnMut(&[u8]),
    ) -> Result<(), eventstream::EventStreamError> {
        let Self {
            reader,
            error,
            is_exception,
        } = self;
        reader.push(bytes, |piece| match piece {
            eventstream::Piece::Begin(headers) => {
                *is_exception = headers.message_type != eventstream::MessageType::Event;
                if *is_exception {
                    let name = headers.exception_type.as_deref();
                    *error = Some(name.and_then(coded).unwrap_or_else(|| "error".to_owned()));
                }
            }
            // What an exception carries is a sentence.
            eventstream::Piece::Payload(part) if !*is_exception => out(part),
            eventstream::Piece::Payload(_) | eventstream::Piece::End => {}
        })
    }
}
