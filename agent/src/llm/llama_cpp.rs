//! llama.cpp's own completions: a body, or a stream whose last event has the
//! counts.

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
    request(&["prompt"], Want::Text, RequestSlot::Text),
    request(&["prompt", EACH], Want::Text, RequestSlot::Text),
    request(&["input_prefix"], Want::Text, RequestSlot::Text),
    request(&["input_suffix"], Want::Text, RequestSlot::Text),
]);

/// What is read of a body, and of an event.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["content"], Want::Text, Slot::Text),
    response(&["stop"], Want::Scalar, Slot::Done),
    response(&["stop_type"], Want::Scalar, Slot::FinishReason),
    response(
        &["tokens_evaluated"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &["tokens_predicted"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(
        &["timings", "cache_n"],
        Want::Scalar,
        Slot::Count(Tokens::CacheRead),
    ),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// Takes an event.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let is_last = draft.is_done;
    if !is_last {
        // It says `none` until there is one.
        draft.finish_reason = None;
    }
    reading.commit(draft);
    reading.is_usage_final |= is_last;
    reading.has_ended |= is_last;
}
