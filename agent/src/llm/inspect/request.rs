//! The request body on its way through the inspector.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::super::request::{RequestFacts, RequestSlot};
use super::Problems;
use crate::llm::classify::Target;
use crate::llm::decode::Decoder;
use crate::llm::format::Format;
use crate::llm::headers::Headers;
use crate::llm::json::Scanner;
use crate::llm::observation::Problem;

/// The request body.
#[derive(Debug)]
pub(super) struct Request {
    /// Absent when there is nothing (more) to read.
    reader: Option<(Decoder, Scanner<RequestSlot>)>,
    pub(super) facts: RequestFacts,
}

impl Request {
    pub(super) fn new(target: Target, headers: &Headers, problems: &mut Problems) -> Self {
        let facts = RequestFacts {
            model: target.model,
            stream: target.stream,
            ..RequestFacts::default()
        };
        let reader = Format::of(target.api).and_then(|format| {
            let decoder = problems.decoder(headers.get("content-encoding"))?;
            Some((decoder, Scanner::new(format.request())))
        });
        Self { reader, facts }
    }

    pub(super) fn push(&mut self, wire_bytes: &[u8], problems: &mut Problems) {
        let Some((decoder, scanner)) = &mut self.reader else {
            return;
        };
        let facts = &mut self.facts;
        let decoded = decoder.push(wire_bytes, &mut |bytes| {
            scanner.push(bytes, |found| facts.take(found))
        });
        if let Err(error) = decoded {
            problems.note(error.into());
            self.reader = None;
        }
    }

    pub(super) fn end(&mut self, problems: &mut Problems) {
        let Some((decoder, scanner)) = self.reader.take() else {
            return;
        };
        match scanner.end() {
            // No flag means no stream, in all three formats.
            Ok(_) => {
                self.facts.stream.get_or_insert(false);
            }
            Err(error) => problems.note_json(error),
        }
        if !decoder.is_at_end() {
            problems.note(Problem::Truncated);
        }
        if scanner.has_met_oversized() {
            problems.note(Problem::ValueTooLarge);
        }
    }
}
