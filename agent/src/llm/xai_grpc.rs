//! xAI's chats over gRPC: a response, or a stream of chunks with running totals; a
//! response that is fetched once it is done, contexts made shorter, texts and images.
//!
//! Field numbers are those of xAI's published `chat.proto`, `deferred.proto`,
//! `sample.proto` and `usage.proto`.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::format::Messages;
use super::openai_usage;
use super::protobuf::{Interest, Path, Want};
use super::reading::{Counts, Draft, Reading, Slot, Tokens};
use super::request::RequestSlot;
use super::usage::Usage;

const fn request(path: Path, want: Want, slot: RequestSlot) -> Interest<RequestSlot> {
    Interest { path, want, slot }
}

const fn response(path: Path, want: Want, slot: Slot) -> Interest<Slot> {
    Interest { path, want, slot }
}

const fn count(path: Path, tokens: Tokens) -> Interest<Slot> {
    response(path, Want::Number, Slot::Count(tokens))
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// A chat.
    Chat,
    /// One of before, looked at again.
    Stored,
    /// A chat that was begun by another call, once it is done.
    Deferred,
    /// A conversation made shorter.
    Compact,
    /// A text that is gone on with.
    Sample,
    /// Images that are drawn.
    Image,
}

impl Call {
    /// What is read of a request and of a response.
    pub(super) fn messages(self, is_stream: bool) -> Messages {
        match self {
            Self::Chat if is_stream => (REQUEST, CHUNK),
            Self::Chat => (REQUEST, BODY),
            // These name what they ask for, and neither a model nor a text.
            Self::Stored => (&[], BODY),
            Self::Deferred => (&[], DEFERRED),
            Self::Compact => (COMPACT_REQUEST, COMPACT),
            Self::Sample => (SAMPLE_REQUEST, SAMPLE),
            Self::Image => (IMAGE_REQUEST, IMAGE),
        }
    }
}

/// What is read of a `GetCompletionsRequest`.
const REQUEST: &[Interest<RequestSlot>] = &[
    request(&[2], Want::Bytes, RequestSlot::Model),
    // The text of a content of a message.
    request(&[1, 1, 1], Want::Length, RequestSlot::Text),
    request(&[17], Want::Length, RequestSlot::Text),
    request(&[22], Want::Length, RequestSlot::Stateful),
];

/// The same of a `CompactContextRequest`.
const COMPACT_REQUEST: &[Interest<RequestSlot>] = &[
    request(&[1], Want::Bytes, RequestSlot::Model),
    request(&[2, 1, 1], Want::Length, RequestSlot::Text),
];

/// The same of a `SampleTextRequest`.
const SAMPLE_REQUEST: &[Interest<RequestSlot>] = &[
    request(&[3], Want::Bytes, RequestSlot::Model),
    request(&[1], Want::Length, RequestSlot::Text),
];

/// The same of a `GenerateImageRequest`.
const IMAGE_REQUEST: &[Interest<RequestSlot>] = &[request(&[2], Want::Bytes, RequestSlot::Model)];

/// A `GetChatCompletionResponse` below the given fields.
macro_rules! completion {
    ($($below:literal),*) => {
        &[
            response(&[$($below,)* 1], Want::Bytes, Slot::Id),
            response(&[$($below,)* 6], Want::Bytes, Slot::Model),
            response(&[$($below,)* 2, 1], Want::Number, Slot::FinishReason),
            response(&[$($below,)* 2, 3, 1], Want::Length, Slot::Text),
            response(&[$($below,)* 2, 3, 3], Want::Length, Slot::Text),
            response(&[$($below,)* 2, 3, 4], Want::Length, Slot::Text),
            response(&[$($below,)* 15], Want::Number, Slot::ServiceTier),
            count(&[$($below,)* 9, 1], Tokens::Output),
            count(&[$($below,)* 9, 2], Tokens::Input),
            count(&[$($below,)* 9, 3], Tokens::Total),
            count(&[$($below,)* 9, 6], Tokens::Reasoning),
            count(&[$($below,)* 9, 7], Tokens::CacheRead),
            count(&[$($below,)* 9, 11], Tokens::CostTicks),
        ]
    };
}

const BODY: &[Interest<Slot>] = completion!();

/// What is read of a `GetDeferredCompletionResponse`: nothing until it is done.
const DEFERRED: &[Interest<Slot>] = completion!(1);

/// What is read of a `GetChatCompletionChunk`.
const CHUNK: &[Interest<Slot>] = &[
    response(&[1], Want::Bytes, Slot::Id),
    response(&[4], Want::Bytes, Slot::Model),
    response(&[2, 3], Want::Number, Slot::FinishReason),
    response(&[2, 1, 1], Want::Length, Slot::Text),
    response(&[2, 1, 3], Want::Length, Slot::Text),
    response(&[2, 1, 4], Want::Length, Slot::Text),
    response(&[12], Want::Number, Slot::ServiceTier),
    count(&[6, 1], Tokens::Output),
    count(&[6, 2], Tokens::Input),
    count(&[6, 3], Tokens::Total),
    count(&[6, 6], Tokens::Reasoning),
    count(&[6, 7], Tokens::CacheRead),
    count(&[6, 11], Tokens::CostTicks),
];

/// What is read of a `CompactContextResponse`.
const COMPACT: &[Interest<Slot>] = &[
    response(&[1], Want::Bytes, Slot::Id),
    count(&[4, 1], Tokens::Output),
    count(&[4, 2], Tokens::Input),
    count(&[4, 3], Tokens::Total),
    count(&[4, 6], Tokens::Reasoning),
    count(&[4, 7], Tokens::CacheRead),
    count(&[4, 11], Tokens::CostTicks),
];

/// What is read of a `SampleTextResponse`, whole or one of several.
const SAMPLE: &[Interest<Slot>] = &[
    response(&[1], Want::Bytes, Slot::Id),
    response(&[6], Want::Bytes, Slot::Model),
    response(&[2, 1], Want::Number, Slot::FinishReason),
    response(&[2, 3], Want::Length, Slot::Text),
    count(&[9, 1], Tokens::Output),
    count(&[9, 2], Tokens::Input),
    count(&[9, 3], Tokens::Total),
    count(&[9, 6], Tokens::Reasoning),
    count(&[9, 7], Tokens::CacheRead),
    count(&[9, 11], Tokens::CostTicks),
];

/// What is read of an `ImageResponse`, which states what it cost.
const IMAGE: &[Interest<Slot>] = &[
    response(&[2], Want::Bytes, Slot::Model),
    count(&[3, 1], Tokens::Output),
    count(&[3, 2], Tokens::Input),
    count(&[3, 3], Tokens::Total),
    count(&[3, 11], Tokens::CostTicks),
];

/// Takes a message: the response, or a chunk. The last chunk is the one before
/// the status.
pub(super) fn commit_message(mut draft: Draft, reading: &mut Reading) {
    draft.finish_reason = draft.finish_number.and_then(finish_reason);
    reading.commit(draft);
}

/// The names of the enumeration `FinishReason`; one that is not known has none.
fn finish_reason(number: u64) -> Option<String> {
    let name = match number {
        1 => "REASON_MAX_LEN",
        2 => "REASON_MAX_CONTEXT",
        3 => "REASON_STOP",
        4 => "REASON_TOOL_CALLS",
        5 => "REASON_TIME_LIMIT",
        _ => return None,
    };
    Some(name.to_owned())
}

/// The names of the enumeration `ServiceTier`, as xAI's REST API has them.
pub(super) fn service_tier(number: u64) -> Option<String> {
    let name = match number {
        1 => "default",
        2 => "priority",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Usage in weir's terms: reasoning stands beside the completion, as in xAI's
/// REST API.
pub(super) fn totals(counts: &Counts) -> Usage {
    let mut usage = counts.usage;
    openai_usage::fold_reasoning(&mut usage, counts.total);
    usage
}
