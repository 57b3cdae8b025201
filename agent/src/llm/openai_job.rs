//! Work that OpenAI does in its own time, and that clients look at until it is
//! done: batches, and runs of assistants. Its usage is stated each time one looks.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Table, Want};
use super::reading::{Draft, Reading, Slot, response};
use super::request::{RequestSlot, request};

/// What is read of a request. The prompt is in a file, or on a thread.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
]);

/// What is read of a body, and of an event.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    response(&["object"], Want::Scalar, Slot::Kind),
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["status"], Want::Scalar, Slot::Status),
    response(&["usage"], Want::Value, Slot::Usage),
    response(
        &["delta", "content", EACH, "text", "value"],
        Want::Text,
        Slot::Text,
    ),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
    // Of a run that failed.
    response(&["last_error"], Want::Mark, Slot::Error),
    response(&["last_error", "code"], Want::Scalar, Slot::ErrorCode),
]);

/// Takes an object. Steps of a run and messages have names of their own, and
/// steps repeat parts of the usage.
pub(super) fn commit(mut draft: Draft, reading: &mut Reading) {
    let kind = draft.kind.take().unwrap_or_default();
    let is_job = matches!(kind.as_str(), "batch" | "thread.run");
    let status = draft.status.take();
    let is_done = is_job
        && matches!(
            status.as_deref(),
            Some("completed" | "failed" | "cancelled" | "expired" | "incomplete")
        );
    draft.finish_reason = status.filter(|_| is_done);
    if !is_job {
        draft.id = None;
        draft.model = None;
    }
    if !is_done {
        draft.counts = None;
    }
    if is_done && kind == "batch" {
        draft.service_tier = Some("batch".to_owned());
    }
    reading.is_usage_final |= draft.counts.is_some();
    reading.commit(draft);
}
