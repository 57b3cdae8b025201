//! How documents lie in a response body: by its head, or by its first byte.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::llm::format::Format;
use crate::llm::headers::Headers;
use crate::llm::reading::Slot;
use crate::llm::{bedrock_chunk, eventstream, grpc, json_array, ndjson, protobuf, sse};

/// How documents lie in a response body.
#[derive(Debug)]
pub(super) enum Framing {
    /// The content type does not say; the first byte will.
    Undecided,
    /// The body is one document, in so many of the first bytes.
    Json { left: u64 },
    /// The body is a stream of events with a document each.
    Sse {
        reader: sse::Reader,
        sentinel_matched: usize,
    },
    /// A document a line.
    Lines(ndjson::Reader),
    /// The elements of an array, a document each.
    Array(json_array::Reader),
    /// AWS' messages, with a document each, or with one that is wrapped.
    EventStream {
        reader: eventstream::Reader,
        unwrap: Option<Box<bedrock_chunk::Unwrapper>>,
    },
    /// Protobuf messages.
    Grpc {
        reader: Box<grpc::Reader>,
        scanner: protobuf::Scanner<Slot>,
        is_stream: bool,
    },
    /// Something else.
    Opaque,
}

impl Framing {
    fn sse(format: Option<Format>) -> Self {
        let reader = if format.is_some_and(Format::writes_bare_errors) {
            sse::Reader::of_bare_documents_too()
        } else {
            sse::Reader::default()
        };
        Self::Sse {
            reader,
            sentinel_matched: 0,
        }
    }

    fn json(headers: &Headers) -> Self {
        Self::Json {
            left: headers.document_len(),
        }
    }

    pub(super) fn of_head(format: Option<Format>, is_stream: bool, headers: &Headers) -> Self {
        let media_type = headers.media_type().unwrap_or_default();
        match media_type.as_str() {
            "text/event-stream" => Self::sse(format),
            "application/x-ndjson" | "application/stream+json" => {
                Self::Lines(ndjson::Reader::default())
            }
            // The parts of a body of some other framing.
            "application/vnd.amazon.eventstream" if format == Some(Format::AnyModel) => {
                Self::Undecided
            }
            "application/vnd.amazon.eventstream" => Self::EventStream {
                reader: eventstream::Reader::default(),
                unwrap: format
                    .is_some_and(Format::wraps_payloads)
                    .then(Box::default),
            },
            _ if ["audio/", "image/", "video/"]
                .iter()
                .any(|kind| media_type.starts_with(kind)) =>
            {
                Self::Opaque
            }
            "application/json" if format.is_some_and(Format::writes_arrays) => Self::Undecided,
            "application/json" => Self::json(headers),
            _ if media_type.ends_with("+json") || headers.document_len() < u64::MAX => {
                Self::json(headers)
            }
            _ => match format.and_then(|format| format.messages(is_stream)) {
                Some((_, table)) if media_type.starts_with("application/grpc") => Self::Grpc {
                    reader: Box::new(grpc::Reader::new(headers.get("grpc-encoding"))),
                    scanner: protobuf::Scanner::new(table),
                    is_stream,
                },
                Some(_) | None => Self::Undecided,
            },
        }
    }

    /// Some servers send JSON or events under another type, or under none. What
    /// comes in parts is a stream, and a document in it one of many.
    pub(super) fn of_first_byte(format: Format, byte: u8, is_in_parts: bool) -> Self {
        match byte {
            b'[' if format.writes_arrays() => Self::Array(json_array::Reader::default()),
            b'{' if is_in_parts || format.writes_lines() => Self::Lines(ndjson::Reader::default()),
            b'{' | b'[' => Self::Json { left: u64::MAX },
            b':' | b'd' | b'e' | b'i' | b'r' => Self::sse(Some(format)),
            _ => Self::Opaque,
        }
    }

    pub(super) fn is_stream(&self) -> Option<bool> {
        match self {
            Self::Undecided => None,
            Self::Json { .. } | Self::Opaque => Some(false),
            Self::Sse { .. } | Self::Lines(_) | Self::Array(_) | Self::EventStream { .. } => {
                Some(true)
            }
            Self::Grpc { is_stream, .. } => Some(*is_stream),
        }
    }
}
