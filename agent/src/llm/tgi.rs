//! The `/generate` of Text Generation Inference, and that of SGLang: the same
//! path with other names.
//!
//! Whole answers of the former state their counts in headers, and in the body
//! only if asked; streams in their last event.

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
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
    request(&["inputs"], Want::Text, RequestSlot::Text),
    // SGLang.
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["text"], Want::Text, RequestSlot::Text),
    request(&["text", EACH], Want::Text, RequestSlot::Text),
]);

/// What is read of a body.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["generated_text"], Want::Text, Slot::Text),
    response(
        &["details", "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["details", "generated_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    // Where `/` is asked for no stream, in an array.
    response(&[EACH, "generated_text"], Want::Text, Slot::Text),
    response(
        &[EACH, "details", "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &[EACH, "details", "generated_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
    response(&["error_type"], Want::Scalar, Slot::ErrorType),
    // SGLang.
    response(&["text"], Want::Text, Slot::Text),
    response(&["meta_info", "id"], Want::Scalar, Slot::Id),
    response(
        &["meta_info", "finish_reason", "type"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["meta_info", "prompt_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &["meta_info", "completion_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(
        &["meta_info", "cached_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::CacheRead),
    ),
]);

/// What is read of an event. The last repeats all of the text; so does every one
/// of SGLang, whose text is not read for that.
pub(super) static EVENT: Table<Slot> = Table::new(&[
    response(&["token", "text"], Want::Text, Slot::Text),
    response(&["generated_text"], Want::Mark, Slot::Done),
    response(
        &["details", "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["details", "input_length"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &["details", "generated_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
    response(&["error_type"], Want::Scalar, Slot::ErrorType),
    response(&["meta_info", "id"], Want::Scalar, Slot::Id),
    response(
        &["meta_info", "finish_reason", "type"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["meta_info", "prompt_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &["meta_info", "completion_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(
        &["meta_info", "cached_tokens"],
        Want::Scalar,
        Slot::Count(Tokens::CacheRead),
    ),
]);

/// Takes an event.
pub(super) fn commit_event(draft: Draft, reading: &mut Reading) {
    let (is_last, has_counts) = (draft.is_done, draft.counts.is_some());
    reading.commit(draft);
    reading.is_usage_final |= is_last && has_counts;
    reading.has_ended |= is_last;
}
