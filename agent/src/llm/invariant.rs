//! What must hold of the readers of this room whatever bytes they are shown: it
//! does not matter how bytes are split, and nothing comes out that did not go in.
//! [`crate::invariant`] has the list.
//!
//! Each function panics if that does not hold of its reader.

mod decoding;
mod document;
mod form;
mod inspection;
mod rule;
mod target;

pub use decoding::of_decode;
pub use document::of_json;
pub use form::of_multipart;
pub use inspection::{Shown, of_inspection};
pub use rule::{of_usage_filter, of_usage_request};
pub use target::of_classify;

use super::classify::{Api, Target};
use super::session::{Event, Session, Side};
use super::sse::{self, Piece};
use super::websocket::{self, Compression};
use super::{eventstream, grpc, json_array, ndjson, protobuf};
use crate::invariant::check_splits;

/// Everything a framing handed out, piece by piece put together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    documents: Vec<Vec<u8>>,
    unfinished: Vec<u8>,
}

impl Transcript {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Data(bytes) => self.unfinished.extend_from_slice(bytes),
            Piece::End => self.documents.push(std::mem::take(&mut self.unfinished)),
        }
    }

    fn check_size(&self, bytes: &[u8]) {
        let documents = self.documents.iter().map(Vec::len).sum::<usize>();
        let seen = documents.saturating_add(self.unfinished.len());
        assert!(seen <= bytes.len(), "more came out than went in");
    }
}

/// Of [`sse::Reader`].
pub fn of_sse(bytes: &[u8]) {
    for reader in [sse::Reader::default, sse::Reader::of_bare_documents_too] {
        let (transcript, _) = check_splits(bytes, |pieces| {
            let (mut reader, mut transcript) = (reader(), Transcript::default());
            for piece in pieces {
                reader.push(piece, |piece| transcript.take(piece));
            }
            (transcript, reader.is_within_event())
        });
        transcript.check_size(bytes);
    }
}

/// Of [`ndjson::Reader`].
pub fn of_ndjson(bytes: &[u8]) {
    let (transcript, _) = check_splits(bytes, |pieces| {
        let (mut reader, mut transcript) = (ndjson::Reader::default(), Transcript::default());
        for piece in pieces {
            reader.push(piece, |piece| transcript.take(piece));
        }
        (transcript, reader.is_within_line())
    });
    transcript.check_size(bytes);
}

/// Of [`json_array::Reader`].
pub fn of_json_array(bytes: &[u8]) {
    let (transcript, _) = check_splits(bytes, |pieces| {
        let (mut reader, mut transcript) = (json_array::Reader::default(), Transcript::default());
        for piece in pieces {
            reader.push(piece, |piece| transcript.take(piece));
        }
        let states = (
            reader.has_ended(),
            reader.is_broken(),
            reader.is_within_element(),
        );
        (transcript, states)
    });
    transcript.check_size(bytes);
}

/// Of [`eventstream::Reader`].
pub fn of_eventstream(bytes: &[u8]) {
    let (transcript, _, _) = check_splits(bytes, |pieces| {
        let (mut reader, mut transcript) = (eventstream::Reader::default(), Transcript::default());
        let (mut headers, mut end) = (Vec::new(), None);
        for piece in pieces {
            let pushed = reader.push(piece, |piece| match piece {
                eventstream::Piece::Begin(begun) => headers.push(begun.clone()),
                eventstream::Piece::Payload(bytes) => transcript.take(Piece::Data(bytes)),
                eventstream::Piece::End => transcript.take(Piece::End),
            });
            end = end.or(pushed.err());
        }
        (transcript, headers, (end, reader.is_within_message()))
    });
    transcript.check_size(bytes);
}

/// Of [`grpc::Reader`], with messages compressed by gzip.
pub fn of_grpc(bytes: &[u8]) {
    let _ = check_splits(bytes, |pieces| {
        let (mut reader, mut transcript) = (grpc::Reader::new(Some("gzip")), Transcript::default());
        let mut end = None;
        for piece in pieces {
            let pushed = reader.push(piece, |piece| transcript.take(piece));
            end = end.or(pushed.err());
        }
        // How much of a broken coding comes out depends on how it came in.
        let documents = transcript.documents;
        (documents, end, reader.is_within_message())
    });
}

/// Of [`websocket::Reader`], without compression and with it.
pub fn of_websocket(bytes: &[u8]) {
    for compression in [Compression::None, Compression::Deflate] {
        let (transcript, ..) = check_splits(bytes, |pieces| {
            let mut reader = websocket::Reader::new(compression);
            let (mut transcript, mut closed, mut end) = (Transcript::default(), None, None);
            for piece in pieces {
                let pushed = reader.push(piece, |piece| match piece {
                    websocket::Piece::Data(bytes) => transcript.take(Piece::Data(bytes)),
                    websocket::Piece::End => transcript.take(Piece::End),
                    websocket::Piece::Close(code) => closed = Some(code),
                });
                end = end.or(pushed.err());
            }
            if compression == Compression::Deflate {
                // As of gRPC.
                transcript.unfinished.clear();
            }
            (transcript, closed, end, reader.is_within_message())
        });
        if compression == Compression::None {
            transcript.check_size(bytes);
        }
    }
}

/// Of [`Session`], whatever is spoken, if both sides send the same: each turn
/// that begins ends once.
pub fn of_session(bytes: &[u8]) {
    for api in [
        Api::OpenAiResponsesSocket,
        Api::OpenAiRealtime,
        Api::OpenAiLive,
        Api::GeminiLive,
    ] {
        let _ = check_splits(bytes, |pieces| {
            let target = Target::from(api);
            let mut session = Session::begin(&target, Compression::None).expect("it is read");
            let (mut open, mut events) = (Vec::new(), Vec::new());
            let mut note = |event: Event| {
                match &event {
                    Event::Begun { turn, .. } => {
                        assert!(!open.contains(turn), "a turn begins once");
                        open.push(*turn);
                    }
                    Event::Heard(turn) => assert!(open.contains(turn), "it is under way"),
                    Event::Ended(ended) => {
                        let at = open.iter().position(|turn| *turn == ended.turn);
                        open.swap_remove(at.expect("a turn ends once"));
                    }
                }
                events.push(event);
            };
            for side in [Side::Client, Side::Server] {
                for piece in pieces {
                    session.push(side, piece, &mut note);
                }
            }
            let connection = session.finish(&mut note);
            assert_eq!(open, [], "every turn ends");
            (events, connection)
        });
    }
}

const PROTOBUF: &[protobuf::Interest<u8>] = &[
    protobuf::Interest {
        path: &[1],
        want: protobuf::Want::Bytes,
        slot: 1,
    },
    protobuf::Interest {
        path: &[2, 1],
        want: protobuf::Want::Number,
        slot: 2,
    },
    protobuf::Interest {
        path: &[2, 2, 1],
        want: protobuf::Want::Length,
        slot: 3,
    },
];

/// Of [`protobuf::Scanner`].
pub fn of_protobuf(bytes: &[u8]) {
    let _ = check_splits(bytes, |pieces| {
        let mut scanner = protobuf::Scanner::new(PROTOBUF);
        let mut transcript = Vec::new();
        for piece in pieces {
            scanner.push(piece, |found| {
                transcript.push(match found {
                    protobuf::Found::Number { slot, value } => (slot, value, Vec::new()),
                    protobuf::Found::Bytes { slot, raw } => (slot, 0, raw.to_vec()),
                    protobuf::Found::Length { slot, bytes } => (slot, bytes, Vec::new()),
                });
            });
        }
        (transcript, scanner.end(), scanner.has_met_oversized())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like anything, from a fixed seed: a multiplicative
    /// generator over a few that mean something to the framings.
    fn noise(mut seed: u64, length: usize) -> Vec<u8> {
        const WORDS: &[u8] = b"{}[]\",:\\\n\r dat1\0\x01\x02\x08\x0a\x12\x1f\x8b\xff";
        (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(seed >> 40).expect("24 bits") % WORDS.len();
                WORDS[at]
            })
            .collect()
    }

    #[test]
    fn noise_is_read_alike_however_it_is_split() {
        for seed in 0..2_000 {
            let bytes = noise(seed, 64);
            for check in [
                of_sse,
                of_ndjson,
                of_json_array,
                of_eventstream,
                of_grpc,
                of_protobuf,
                of_websocket,
                of_session,
            ] {
                check(&bytes);
            }
        }
    }

    #[test]
    fn conversations_are_followed_alike_however_they_are_split() {
        const DOCUMENTS: &[&str] = &[
            r#"{"type":"response.create"}"#,
            r#"{"type":"response.created","response":{"id":"a"}}"#,
            r#"{"type":"response.created","response":{"id":"b"}}"#,
            r#"{"type":"response.completed","response":{"id":"a"}}"#,
            r#"{"type":"response.done","response":{"id":"b"}}"#,
            r#"{"type":"error","error":{"code":"c"}}"#,
            r#"{"type":"response.event","event":{"response":{"id":"a"}}}"#,
            r#"{"type":"response.event","event":{"type":"response.failed","response":{"id":"a"}}}"#,
            r#"{"serverContent":{"modelTurn":{}}}"#,
            r#"{"serverContent":{"turnComplete":true}}"#,
            r#"{"usageMetadata":{"promptTokenCount":1}}"#,
            r#"{"clientContent":{"turnComplete":true}}"#,
            r#"{"toolResponse":{}}"#,
            "{",
        ];
        let mut seed = 1_u64;
        for _ in 0..300 {
            let mut bytes = Vec::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(seed >> 40).expect("24 bits") % DOCUMENTS.len();
                let length = u8::try_from(DOCUMENTS[at].len()).expect("short documents");
                bytes.extend([0x81, length]);
                bytes.extend(DOCUMENTS[at].bytes());
            }
            of_session(&bytes);
        }
    }
}
