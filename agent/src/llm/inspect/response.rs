//! The response body on its way through the inspector: how documents lie in it,
//! and what is taken from each.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Problems;
use crate::llm::classify::Api;
use crate::llm::decode::Decoder;
use crate::llm::format::Format;
use crate::llm::headers::Headers;
use crate::llm::json::Scanner;
use crate::llm::observation::Problem;
use crate::llm::reading::{Draft, Reading, Slot};
use crate::llm::sse;

/// The data of the event that ends a stream of chat chunks. Decoders of the
/// SDKs look at its beginning only.
const SENTINEL: &[u8] = b"[DONE]";

/// How documents lie in a response body.
#[derive(Debug)]
pub(super) enum Framing {
    /// The content type does not say; the first byte will.
    Undecided,
    /// The body is one document.
    Json,
    /// The body is a stream of events with a document each.
    Sse {
        reader: sse::Reader,
        sentinel_matched: usize,
    },
    /// Something else.
    Opaque,
}

impl Framing {
    fn sse() -> Self {
        Self::Sse {
            reader: sse::Reader::default(),
            sentinel_matched: 0,
        }
    }

    fn of_media_type(media_type: &str) -> Self {
        if media_type == "text/event-stream" {
            Self::sse()
        } else if media_type == "application/json" || media_type.ends_with("+json") {
            Self::Json
        } else {
            Self::Undecided
        }
    }

    /// Some servers send JSON or events under another type, or under none.
    fn of_first_byte(byte: u8) -> Self {
        match byte {
            b'{' | b'[' => Self::Json,
            b':' | b'd' | b'e' | b'i' | b'r' => Self::sse(),
            _ => Self::Opaque,
        }
    }

    pub(super) fn is_stream(&self) -> Option<bool> {
        match self {
            Self::Undecided => None,
            Self::Json | Self::Opaque => Some(false),
            Self::Sse { .. } => Some(true),
        }
    }
}

/// The response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) is_success: bool,
    /// Absent for an API that is not understood, or when reading has ended early.
    pub(super) format: Option<Format>,
    decoder: Option<Decoder>,
    pub(super) framing: Framing,
    scanner: Scanner<Slot>,
    draft: Draft,
    pub(super) reading: Reading,
    pub(super) has_content: bool,
}

impl Response {
    pub(super) fn new(api: Api, status: u16, headers: &Headers, problems: &mut Problems) -> Self {
        let format = Format::of(api);
        let framing = Framing::of_media_type(&headers.media_type().unwrap_or_default());
        Self {
            is_success: (200..300).contains(&status),
            format,
            decoder: format.and_then(|_| problems.decoder(headers.get("content-encoding"))),
            scanner: Scanner::new(format.map_or(&[], |format| {
                format.table(framing.is_stream() == Some(true))
            })),
            framing,
            draft: Draft::default(),
            reading: Reading::default(),
            has_content: false,
        }
    }

    pub(super) fn push(&mut self, wire_bytes: &[u8], problems: &mut Problems) {
        let (Some(mut decoder), Some(format)) = (self.decoder.take(), self.format) else {
            self.has_content |= !wire_bytes.is_empty();
            return;
        };
        match decoder.push(wire_bytes, &mut |bytes| self.read(format, bytes, problems)) {
            Ok(()) => self.decoder = Some(decoder),
            Err(error) => problems.note(error.into()),
        }
    }

    /// Reads decoded bytes.
    fn read(&mut self, format: Format, bytes: &[u8], problems: &mut Problems) {
        let mut bytes = bytes;
        if matches!(self.framing, Framing::Undecided | Framing::Json) && !self.has_content {
            // Blank lines before a document are a way to keep a connection alive.
            bytes = bytes.trim_ascii_start();
        }
        let Some(first) = bytes.first() else { return };
        if matches!(self.framing, Framing::Undecided) {
            self.framing = Framing::of_first_byte(*first);
            self.scanner = Scanner::new(format.table(self.framing.is_stream() == Some(true)));
            if matches!(self.framing, Framing::Opaque) && self.is_success {
                problems.note(Problem::BadJson);
            }
        }
        let Self {
            framing,
            scanner,
            draft,
            reading,
            has_content,
            ..
        } = self;
        let parse = format.parse_usage();
        match framing {
            Framing::Undecided | Framing::Opaque => *has_content = true,
            Framing::Json => {
                *has_content = true;
                scanner.push(bytes, |found| draft.take(found, reading, parse));
            }
            Framing::Sse {
                reader,
                sentinel_matched,
            } => reader.push(bytes, |piece| match piece {
                sse::Piece::Data(data) => {
                    *has_content |= !data.is_empty();
                    *sentinel_matched = match_on(SENTINEL, *sentinel_matched, data);
                    scanner.push(data, |found| draft.take(found, reading, parse));
                }
                sse::Piece::End => {
                    let draft = std::mem::take(draft);
                    if *sentinel_matched == SENTINEL.len() {
                        reading.has_ended = true;
                    } else {
                        match scanner.end() {
                            Ok(_) => format.commit_event(draft, reading),
                            Err(error) => problems.note_json(error),
                        }
                    }
                    *sentinel_matched = 0;
                    scanner.reset();
                }
            }),
        }
    }

    /// Takes what the end of the body leaves behind.
    pub(super) fn end(&mut self, problems: &mut Problems) {
        let Some(format) = self.format else { return };
        if self
            .decoder
            .as_ref()
            .is_some_and(|decoder| !decoder.is_at_end())
        {
            problems.note(Problem::Truncated);
        }
        if self.scanner.has_met_oversized() {
            problems.note(Problem::ValueTooLarge);
        }
        let draft = std::mem::take(&mut self.draft);
        match &self.framing {
            Framing::Undecided | Framing::Opaque => {}
            Framing::Json => {
                let whole = self.scanner.end().map(|_| ());
                if let Err(error) = whole {
                    problems.note_json(error);
                }
                if self.has_content {
                    format.commit_body(draft, whole, &mut self.reading);
                }
            }
            Framing::Sse {
                reader,
                sentinel_matched,
            } if reader.is_within_event() => {
                // The event did not end, but its document may have.
                if *sentinel_matched == SENTINEL.len() {
                    self.reading.has_ended = true;
                } else if self.scanner.end().is_ok() {
                    format.commit_event(draft, &mut self.reading);
                } else {
                    problems.note(Problem::Truncated);
                }
            }
            Framing::Sse { .. } => {}
        }
    }
}

/// Goes on comparing with `pattern`, of which `matched` bytes did match. Once
/// there is a mismatch it stays one.
fn match_on(pattern: &[u8], matched: usize, bytes: &[u8]) -> usize {
    const MISMATCH: usize = usize::MAX;
    let Some(left) = pattern.get(matched..) else {
        return MISMATCH;
    };
    let compared = left.len().min(bytes.len());
    if left.get(..compared) == bytes.get(..compared) {
        matched.saturating_add(compared)
    } else {
        MISMATCH
    }
}
