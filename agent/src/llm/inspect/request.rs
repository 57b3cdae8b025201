//! The request body on its way through the inspector.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::super::request::{RequestFacts, RequestSlot};
use super::Problems;
use crate::llm::classify::{Api, ROWS, Target};
use crate::llm::decode::Decoder;
use crate::llm::format::Format;
use crate::llm::grpc;
use crate::llm::headers::Headers;
use crate::llm::json::Scanner;
use crate::llm::multipart;
use crate::llm::observation::Problem;
use crate::llm::protobuf;
use crate::llm::sse::Piece;

/// The request body.
#[derive(Debug)]
pub(super) struct Request {
    /// Absent when there is nothing (more) to read.
    reader: Option<(Decoder, Body)>,
    /// What it means for the answer if the body asks for no stream, nor for none.
    streams_unasked: bool,
    pub(super) facts: RequestFacts,
}

/// How the request lies in its body.
#[derive(Debug)]
enum Body {
    /// It is one document, in so many of the first bytes.
    Json {
        scanner: Scanner<RequestSlot>,
        left: u64,
    },
    /// It is a form, with a file in it.
    Form {
        reader: Box<multipart::Reader>,
        take: fn(multipart::Field<'_>, &mut RequestFacts),
    },
    /// It is in protobuf messages.
    Grpc {
        reader: Box<grpc::Reader>,
        scanner: protobuf::Scanner<RequestSlot>,
    },
}

impl Body {
    fn new(format: Format, headers: &Headers) -> Self {
        let form = format
            .take_field()
            .zip(headers.get("content-type").and_then(multipart::Reader::new));
        if let Some((take, reader)) = form {
            return Self::Form {
                reader: Box::new(reader),
                take,
            };
        }
        match format.messages(false) {
            Some((table, _)) => Self::Grpc {
                reader: Box::new(grpc::Reader::new(headers.get("grpc-encoding"))),
                scanner: protobuf::Scanner::new(table),
            },
            None => Self::Json {
                scanner: Scanner::new(format.request()),
                left: headers.document_len(),
            },
        }
    }

    fn push(&mut self, bytes: &[u8], facts: &mut RequestFacts, problems: &mut Problems) {
        match self {
            Self::Json { scanner, left } => {
                scanner.push(leading(bytes, left), |found| facts.take(found));
            }
            Self::Form { reader, take } => reader.push(bytes, |field| take(field, facts)),
            Self::Grpc { reader, scanner } => {
                let pushed = reader.push(bytes, |piece| match piece {
                    Piece::Data(data) => scanner.push(data, |found| facts.take_field(found)),
                    Piece::End => {
                        if scanner.end().is_err() {
                            problems.note(Problem::BadFraming);
                        }
                        scanner.reset();
                    }
                });
                if let Err(error) = pushed {
                    problems.note_grpc(error);
                }
            }
        }
    }

    /// Whether it has ended; a problem is noted if it has not.
    fn end(self, problems: &mut Problems) -> bool {
        match self {
            Self::Json { scanner, .. } => {
                if scanner.has_met_oversized() {
                    problems.note(Problem::ValueTooLarge);
                }
                match scanner.end() {
                    Ok(_) => return true,
                    Err(error) => problems.note_json(error),
                }
            }
            Self::Form { reader, .. } => {
                if reader.is_complete() {
                    return true;
                }
                problems.note(Problem::Truncated);
            }
            Self::Grpc { reader, scanner } => {
                if scanner.has_met_oversized() {
                    problems.note(Problem::ValueTooLarge);
                }
                if !reader.is_within_message() {
                    return true;
                }
                problems.note(Problem::Truncated);
            }
        }
        false
    }
}

impl Request {
    pub(super) fn new(target: Target, headers: &Headers, problems: &mut Problems) -> Self {
        let facts = RequestFacts {
            rpc_method: rest_method(&target),
            model: target.model,
            stream: target.stream,
            ..RequestFacts::default()
        };
        let reader = Format::of(target.api).and_then(|format| {
            let decoder = problems.decoder(headers.get("content-encoding"))?;
            Some((decoder, Body::new(format, headers)))
        });
        Self {
            reader,
            streams_unasked: matches!(target.api, Api::OllamaChat | Api::OllamaGenerate),
            facts,
        }
    }

    pub(super) fn push(&mut self, wire_bytes: &[u8], problems: &mut Problems) {
        let Some((decoder, body)) = &mut self.reader else {
            return;
        };
        let facts = &mut self.facts;
        let decoded = decoder.push(wire_bytes, &mut |bytes| body.push(bytes, facts, problems));
        if let Err(error) = decoded {
            problems.note(error.into());
            self.reader = None;
        }
    }

    pub(super) fn end(&mut self, problems: &mut Problems) {
        let Some((decoder, body)) = self.reader.take() else {
            return;
        };
        if body.end(problems) {
            self.facts.is_whole = true;
            self.facts.stream.get_or_insert(self.streams_unasked);
        }
        if !decoder.is_at_end() {
            problems.note(Problem::Truncated);
        }
    }
}

/// The method that the path stands for, in A2A's REST binding.
fn rest_method(target: &Target) -> Option<String> {
    let row = target.row.and_then(|row| ROWS.get(row))?;
    let name = match row
        .path
        .strip_prefix("…/")
        .filter(|_| row.api == Api::A2a)?
    {
        "tasks/{id}" => "tasks:get",
        "tasks/{id}:cancel" => "tasks:cancel",
        "tasks/{id}:subscribe" => "tasks:subscribe",
        "tasks" => "tasks:list",
        name => name.strip_prefix("message:").map(|_| name)?,
    };
    Some(name.to_owned())
}

/// At most as many of `bytes` as are `left`.
pub(super) fn leading<'a>(bytes: &'a [u8], left: &mut u64) -> &'a [u8] {
    let taken = usize::try_from(*left)
        .ok()
        .and_then(|left| bytes.get(..left))
        .unwrap_or(bytes);
    *left = left.saturating_sub(taken.len() as u64);
    taken
}
