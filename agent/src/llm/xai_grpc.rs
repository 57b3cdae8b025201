//! xAI's chats over gRPC: a response, or a stream of chunks with running totals.
//!
//! Field numbers are those of xAI's published `chat.proto` and `usage.proto`.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

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

/// What is read of a `GetCompletionsRequest`.
pub(super) const REQUEST: &[Interest<RequestSlot>] = &[
    request(&[2], Want::Bytes, RequestSlot::Model),
    // The text of a content of a message.
    request(&[1, 1, 1], Want::Length, RequestSlot::Text),
    request(&[17], Want::Length, RequestSlot::Text),
    request(&[22], Want::Length, RequestSlot::Stateful),
];

/// What is read of a `GetChatCompletionResponse`.
pub(super) const BODY: &[Interest<Slot>] = &[
    response(&[1], Want::Bytes, Slot::Id),
    response(&[6], Want::Bytes, Slot::Model),
    response(&[2, 1], Want::Number, Slot::FinishReason),
    response(&[2, 3, 1], Want::Length, Slot::Text),
    response(&[2, 3, 3], Want::Length, Slot::Text),
    response(&[2, 3, 4], Want::Length, Slot::Text),
    response(&[15], Want::Number, Slot::ServiceTier),
    count(&[9, 1], Tokens::Output),
    count(&[9, 2], Tokens::Input),
    count(&[9, 3], Tokens::Total),
    count(&[9, 6], Tokens::Reasoning),
    count(&[9, 7], Tokens::CacheRead),
    count(&[9, 11], Tokens::CostTicks),
];

/// What is read of a `GetChatCompletionChunk`.
pub(super) const CHUNK: &[Interest<Slot>] = &[
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
