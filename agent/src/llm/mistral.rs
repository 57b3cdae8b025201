//! Mistral's conversations: a body, or a stream of typed events of which the last
//! carries usage.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Table, Want};
use super::reading::{Draft, Reading, Slot, response};
use super::request::{RequestSlot, request};

/// What is read of a request. An agent is a prompt that is kept elsewhere.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
    request(&["agent_id"], Want::Mark, RequestSlot::Stateful),
    request(&["instructions"], Want::Text, RequestSlot::Text),
    request(&["inputs"], Want::Text, RequestSlot::Text),
    request(&["inputs", EACH, "content"], Want::Text, RequestSlot::Text),
    request(&["tools"], Want::Source, RequestSlot::Text),
]);

/// What is read of a body, and of an event.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["conversation_id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["outputs", EACH, "model"], Want::Scalar, Slot::Model),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["outputs", EACH, "content"], Want::Text, Slot::Text),
    response(
        &["outputs", EACH, "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(&["outputs", EACH, "arguments"], Want::Text, Slot::Text),
    response(&["content"], Want::Text, Slot::Text),
    response(&["content", "text"], Want::Text, Slot::Text),
    response(&["arguments"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["code"], Want::Scalar, Slot::ErrorCode),
]);

/// Takes an event.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let kind = draft.kind.take().unwrap_or_default();
    draft.has_error |= kind == "conversation.response.error";
    if !draft.has_error {
        draft.error_code = None;
    }
    reading.commit(draft);
    reading.has_ended |= kind == "conversation.response.done";
}
