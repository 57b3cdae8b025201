//! Ollama's own API: chats and completions, a document a line unless asked
//! otherwise, and embeddings.
//!
//! A count that is zero is left out, as is that of a prompt that was all in the
//! cache: a missing one is unknown.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Table, Want};
use super::reading::{Draft, Reading, Slot, Tokens, response};
use super::request::{RequestSlot, request};

/// What is read of a request.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
    request(
        &["messages", EACH, "content"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["messages", EACH, "tool_calls"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
    request(&["system"], Want::Text, RequestSlot::Text),
    request(&["prompt"], Want::Text, RequestSlot::Text),
    request(&["input"], Want::Text, RequestSlot::Text),
    request(&["input", EACH], Want::Text, RequestSlot::Text),
    // Token ids of an earlier answer.
    request(&["context"], Want::Mark, RequestSlot::Stateful),
]);

/// What is read of a body, and of a line.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["done"], Want::Scalar, Slot::Done),
    response(&["done_reason"], Want::Scalar, Slot::FinishReason),
    response(
        &["prompt_eval_count"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(&["eval_count"], Want::Scalar, Slot::Count(Tokens::Output)),
    response(&["message", "content"], Want::Text, Slot::Text),
    response(&["message", "thinking"], Want::Text, Slot::Text),
    response(&["message", "tool_calls"], Want::Source, Slot::Text),
    response(&["response"], Want::Text, Slot::Text),
    response(&["thinking"], Want::Text, Slot::Text),
    // A sentence, of which only that there is one can be kept.
    response(&["error"], Want::Mark, Slot::Error),
]);

/// Takes a line.
pub(super) fn commit_event(draft: Draft, reading: &mut Reading) {
    let is_last = draft.is_done;
    reading.commit(draft);
    reading.is_usage_final |= is_last;
    reading.has_ended |= is_last;
}
