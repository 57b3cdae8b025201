//! The response body on its way through the inspector: its documents, and what
//! is taken from each.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Problems;
use super::framing::Framing;
use super::parts::Parts;
use super::request::leading;
use crate::llm::classify::Api;
use crate::llm::decode::Decoder;
use crate::llm::format::{Format, NO_VALUES};
use crate::llm::headers::Headers;
use crate::llm::json::{JsonError, Scanner};
use crate::llm::observation::Problem;
use crate::llm::reading::{Draft, Reading, Slot};
use crate::llm::rpc_session::Address;
use crate::llm::{eventstream, grpc, sse};

/// The data of the event that ends a stream of chat chunks. Decoders of the
/// SDKs look at its beginning only.
const SENTINEL: &[u8] = b"[DONE]";

/// The response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) is_success: bool,
    /// Absent for an API that is not understood, or when reading has ended early.
    pub(super) format: Option<Format>,
    decoder: Option<Decoder>,
    /// Takes the body out of the messages that carry parts of it.
    parts: Option<Box<Parts>>,
    is_in_parts: bool,
    pub(super) framing: Framing,
    scanner: Scanner<Slot>,
    draft: Draft,
    pub(super) reading: Reading,
    /// The first event of a stream of MCP, until it has turned out what it is.
    address: Option<Address>,
    pub(super) has_content: bool,
}

impl Response {
    pub(super) fn new(
        api: Api,
        is_stream: Option<bool>,
        status: u16,
        headers: &Headers,
        problems: &mut Problems,
    ) -> Self {
        let format = Format::of(api);
        let framing = Framing::of_head(format, is_stream == Some(true), headers);
        let is_in_parts = format == Some(Format::AnyModel)
            && headers.names("content-type", "application/vnd.amazon.eventstream");
        let mut reading = Reading::default();
        if let Some(format) = format {
            format.read_head(headers, &mut reading);
        }
        // An answer that is nothing but a status has no trailers.
        let status_name = headers.get("grpc-status").and_then(grpc::status_name);
        reading.error = reading.error.or(status_name.map(str::to_owned));
        Self {
            is_success: (200..300).contains(&status),
            format,
            decoder: format.and_then(|_| problems.decoder(headers.get("content-encoding"))),
            scanner: Scanner::new(format.map_or(&NO_VALUES, |format| {
                format.table(framing.is_stream() == Some(true))
            })),
            framing,
            draft: Draft::default(),
            parts: is_in_parts.then(Box::default),
            is_in_parts,
            reading,
            address: (format == Some(Format::Mcp)).then(Address::default),
            has_content: false,
        }
    }

    pub(super) fn push(&mut self, wire_bytes: &[u8], problems: &mut Problems) {
        let (Some(mut decoder), Some(format)) = (self.decoder.take(), self.format) else {
            self.has_content |= !wire_bytes.is_empty();
            return;
        };
        let decoded = decoder.push(wire_bytes, &mut |bytes| {
            // Taken, so that what it hands out can be read.
            let Some(mut parts) = self.parts.take() else {
                return self.read(format, bytes, problems);
            };
            match parts.push(bytes, |bytes| self.read(format, bytes, problems)) {
                Ok(()) => self.parts = Some(parts),
                Err(_) => {
                    problems.note(Problem::BadFraming);
                    self.framing = Framing::Opaque;
                    self.format = None;
                }
            }
        });
        match decoded {
            Ok(()) => self.decoder = Some(decoder),
            Err(error) => problems.note(error.into()),
        }
    }

    /// Reads decoded bytes.
    fn read(&mut self, format: Format, bytes: &[u8], problems: &mut Problems) {
        let mut bytes = bytes;
        if matches!(self.framing, Framing::Undecided | Framing::Json { .. }) && !self.has_content {
            // Blank lines before a document are a way to keep a connection alive.
            bytes = bytes.trim_ascii_start();
        }
        let Some(first) = bytes.first() else { return };
        if matches!(self.framing, Framing::Undecided) {
            self.framing = Framing::of_first_byte(format, *first, self.is_in_parts);
            self.scanner = Scanner::new(format.table(self.framing.is_stream() == Some(true)));
            let is_odd = matches!(self.framing, Framing::Opaque) && !format.answers_with_media();
            if is_odd && self.is_success {
                problems.note(Problem::BadJson);
            }
        }
        let Self {
            framing,
            scanner,
            draft,
            reading,
            address,
            has_content,
            ..
        } = self;
        let parse = format.parse_usage();
        match framing {
            Framing::Undecided | Framing::Opaque => *has_content = true,
            Framing::Json { left } => {
                *has_content = true;
                scanner.push(leading(bytes, left), |found| {
                    draft.take(found, reading, parse)
                });
            }
            Framing::Sse {
                reader,
                sentinel_matched,
            } => reader.push(bytes, |piece| match piece {
                sse::Piece::Data(data) => {
                    *has_content |= !data.is_empty();
                    *sentinel_matched = match_on(SENTINEL, *sentinel_matched, data);
                    if let Some(address) = address {
                        address.push(data);
                    }
                    scanner.push(data, |found| draft.take(found, reading, parse));
                }
                sse::Piece::End => {
                    if *sentinel_matched == SENTINEL.len() {
                        *draft = Draft::default();
                        scanner.reset();
                        reading.has_ended = true;
                    } else {
                        commit(format, scanner, draft, reading, problems);
                    }
                    let session = address.take().and_then(Address::session);
                    // A document is no address, whatever it says.
                    if reading.documents == 0 && session.is_some() {
                        reading.news.begun = session;
                    }
                    *sentinel_matched = 0;
                }
            }),
            Framing::Lines(reader) => reader.push(bytes, |piece| match piece {
                sse::Piece::Data(data) => {
                    *has_content = true;
                    scanner.push(data, |found| draft.take(found, reading, parse));
                }
                sse::Piece::End => commit(format, scanner, draft, reading, problems),
            }),
            Framing::Array(reader) => {
                reader.push(bytes, |piece| match piece {
                    sse::Piece::Data(data) => {
                        *has_content = true;
                        scanner.push(data, |found| draft.take(found, reading, parse));
                    }
                    sse::Piece::End => commit(format, scanner, draft, reading, problems),
                });
                // Also if something follows, which breaks the array and unsays nothing.
                reading.has_ended |= reader.has_ended();
                if reader.is_broken() {
                    problems.note(Problem::BadJson);
                }
            }
            Framing::EventStream { reader, unwrap } => {
                let pushed = reader.push(bytes, |piece| match (piece, &mut *unwrap) {
                    (eventstream::Piece::Begin(headers), _) => draft.take_message(headers),
                    (eventstream::Piece::Payload(data), Some(unwrap)) => {
                        *has_content |= !data.is_empty();
                        unwrap.push(data);
                    }
                    (eventstream::Piece::Payload(data), None) => {
                        *has_content |= !data.is_empty();
                        scanner.push(data, |found| draft.take(found, reading, parse));
                    }
                    (eventstream::Piece::End, unwrap) => {
                        if let Some(unwrap) = unwrap {
                            match unwrap.end() {
                                Ok(document) => scanner
                                    .push(&document, |found| draft.take(found, reading, parse)),
                                Err(problem) => problems.note(problem),
                            }
                        }
                        if draft.has_error {
                            // What an exception carries is a sentence.
                            reading.commit(std::mem::take(draft));
                            scanner.reset();
                        } else {
                            commit(format, scanner, draft, reading, problems);
                        }
                    }
                });
                if pushed.is_err() {
                    problems.note(Problem::BadFraming);
                    *framing = Framing::Opaque;
                }
            }
            Framing::Grpc {
                reader,
                scanner,
                is_stream,
            } => {
                let pushed = reader.push(bytes, |piece| match piece {
                    sse::Piece::Data(data) => {
                        *has_content |= !data.is_empty();
                        scanner.push(data, |found| draft.take_field(found));
                    }
                    sse::Piece::End => {
                        let draft = std::mem::take(draft);
                        match scanner.end() {
                            Ok(()) => {
                                format.commit_event(draft, reading);
                                reading.has_ended |= !*is_stream;
                            }
                            Err(_) => problems.note(Problem::BadFraming),
                        }
                        if scanner.has_met_oversized() {
                            problems.note(Problem::ValueTooLarge);
                        }
                        scanner.reset();
                    }
                });
                if let Err(error) = pushed {
                    problems.note_grpc(error);
                    *framing = Framing::Opaque;
                }
            }
        }
    }

    /// Reads the trailers that follow the body.
    pub(super) fn trailers(&mut self, headers: &Headers) {
        let Some(status) = headers.get("grpc-status") else {
            return;
        };
        match grpc::status_name(status) {
            None => self.reading.has_ended = true,
            Some(name) => self.reading.error = Some(name.to_owned()),
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
        if let Some(parts) = &mut self.parts {
            self.reading.error = parts.error.take().or(self.reading.error.take());
            if parts.reader.is_within_message() {
                problems.note(Problem::Truncated);
            }
        }
        let draft = std::mem::take(&mut self.draft);
        match &self.framing {
            Framing::Undecided | Framing::Opaque => {}
            Framing::Json { .. } => {
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
            // The last line need not be terminated. An element of an array is,
            // by its bracket.
            Framing::Lines(reader) if reader.is_within_line() => match self.scanner.end() {
                Ok(_) => format.commit_event(draft, &mut self.reading),
                Err(error) => problems.note_json(error),
            },
            Framing::Lines(_) => {}
            Framing::Array(reader) => {
                if !reader.has_ended() && !reader.is_broken() {
                    problems.note(Problem::Truncated);
                }
            }
            Framing::EventStream { reader, .. } => {
                if reader.is_within_message() {
                    problems.note(Problem::Truncated);
                }
            }
            Framing::Grpc { reader, .. } => {
                if reader.is_within_message() {
                    problems.note(Problem::Truncated);
                }
            }
        }
    }
}

/// Takes the document that was read, if it was one.
fn commit(
    format: Format,
    scanner: &mut Scanner<Slot>,
    draft: &mut Draft,
    reading: &mut Reading,
    problems: &mut Problems,
) {
    let draft = std::mem::take(draft);
    match scanner.end() {
        Ok(_) => format.commit_event(draft, reading),
        // The first event of MCP's first revision is the address to send to.
        Err(JsonError::Malformed) if format == Format::Mcp && reading.documents == 0 => {}
        Err(error) => problems.note_json(error),
    }
    scanner.reset();
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
