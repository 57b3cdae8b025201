//! OpenAI responses over HTTP: a body, or a stream of typed events of which the
//! last repeats the whole response.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Interest, Table, Want};
use super::reading::{Draft, Reading, Slot, Tokens, response};
use super::request::{RequestFacts, RequestSlot, request};
use super::share::Stated;
use super::tokens::Tally;

/// What is read of a request.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(REQUEST_ROWS);

/// The rows of that, for another table.
pub(super) const REQUEST_ROWS: &[Interest<RequestSlot>] = &[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
    request(&["background"], Want::Scalar, RequestSlot::Background),
    request(&["previous_response_id"], Want::Mark, RequestSlot::Stateful),
    request(&["conversation"], Want::Mark, RequestSlot::Stateful),
    request(&["instructions"], Want::Text, RequestSlot::Text),
    request(&["input"], Want::Text, RequestSlot::Text),
    request(&["input", EACH, "content"], Want::Text, RequestSlot::Text),
    request(
        &["input", EACH, "content", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["input", EACH, "arguments"], Want::Text, RequestSlot::Text),
    // Of a custom tool.
    request(&["input", EACH, "input"], Want::Text, RequestSlot::Text),
    request(&["input", EACH, "output"], Want::Text, RequestSlot::Text),
    request(&["tools"], Want::Source, RequestSlot::Text),
    // Of the one tool that has a model.
    request(&["tools", EACH, "model"], Want::Scalar, RequestSlot::Drawer),
];

/// What is read of a body, where the response is the document.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["status"], Want::Scalar, Slot::Status),
    response(
        &["incomplete_details", "reason"],
        Want::Scalar,
        Slot::Incomplete,
    ),
    response(&["service_tier"], Want::Scalar, Slot::ServiceTier),
    response(&["background"], Want::Scalar, Slot::Background),
    response(&["usage"], Want::Value, Slot::Usage),
    // Not in the usage: images are drawn by another model, drawings by a third.
    response(&["tool_usage", "image_gen"], Want::Value, Slot::Beside),
    response(&["output", EACH, "svg_usage"], Want::Value, Slot::Beside),
    response(&["tools", EACH, "model"], Want::Scalar, Slot::Drawer),
    response(
        &["tool_usage", "web_search", "num_requests"],
        Want::Scalar,
        Slot::Count(Tokens::Searches),
    ),
    response(
        &["output", EACH, "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(&["output", EACH, "arguments"], Want::Text, Slot::Text),
    response(&["output", EACH, "input"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// What is read of an event. The output in the last one repeats the deltas.
pub(super) static EVENT: Table<Slot> = Table::new(EVENT_ROWS);

/// The rows of that, for another table.
pub(super) const EVENT_ROWS: &[Interest<Slot>] = &[
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["response", "id"], Want::Scalar, Slot::Id),
    response(&["response", "model"], Want::Scalar, Slot::Model),
    response(&["response", "status"], Want::Scalar, Slot::Status),
    response(
        &["response", "incomplete_details", "reason"],
        Want::Scalar,
        Slot::Incomplete,
    ),
    response(
        &["response", "service_tier"],
        Want::Scalar,
        Slot::ServiceTier,
    ),
    response(&["response", "background"], Want::Scalar, Slot::Background),
    response(&["response", "usage"], Want::Value, Slot::Usage),
    response(
        &["response", "tool_usage", "image_gen"],
        Want::Value,
        Slot::Beside,
    ),
    response(
        &["response", "output", EACH, "svg_usage"],
        Want::Value,
        Slot::Beside,
    ),
    response(
        &["response", "tools", EACH, "model"],
        Want::Scalar,
        Slot::Drawer,
    ),
    response(
        &["response", "tool_usage", "web_search", "num_requests"],
        Want::Scalar,
        Slot::Count(Tokens::Searches),
    ),
    response(&["response", "error"], Want::Mark, Slot::Error),
    response(
        &["response", "error", "code"],
        Want::Scalar,
        Slot::ErrorCode,
    ),
    response(
        &["response", "error", "type"],
        Want::Scalar,
        Slot::ErrorType,
    ),
    response(&["delta"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
    // Of an event of type `error`, which is flat.
    response(&["code"], Want::Scalar, Slot::ErrorCode),
];

/// What was used. Who drew the images is said by the tool, in the answer or as
/// it was asked for; which model stands in where neither names one changes.
pub(super) fn stated(reading: &Reading, facts: &RequestFacts) -> Stated {
    let mut others = reading.counts.others.clone();
    if let Some(drawer) = reading.drawer.as_deref().or(facts.drawer.as_deref()) {
        others.name(drawer);
    }
    Stated {
        own: reading.counts.sum(),
        others,
        is_passed_on: false,
    }
}

/// Takes a body. A response that is queued or in progress is fetched later, by
/// another exchange.
pub(super) fn commit_body(mut draft: Draft, reading: &mut Reading) {
    reading.is_deferred = matches!(draft.status.as_deref(), Some("queued" | "in_progress"));
    draft.finish_reason = finish_reason(&mut draft);
    reading.commit(draft);
}

/// Takes an event. Only those that end the response say how it ended.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let kind = draft.kind.take().unwrap_or_default();
    // Base64, not text.
    if kind.contains("audio") || kind.contains("image") {
        draft.text = Tally::default();
    }
    let is_last = matches!(
        kind.as_str(),
        "response.completed" | "response.failed" | "response.incomplete"
    );
    if is_last {
        let by_kind = kind.strip_prefix("response.").map(str::to_owned);
        draft.finish_reason = finish_reason(&mut draft).or(by_kind);
    }
    draft.has_error |= matches!(kind.as_str(), "error" | "response.failed");
    if !draft.has_error {
        // `code` also names other things, such as a program being run.
        draft.error_code = None;
    }
    reading.commit(draft);
    reading.has_ended |= is_last;
}

/// Why the response is not complete, if that is said; else its status.
fn finish_reason(draft: &mut Draft) -> Option<String> {
    draft.incomplete.take().or(draft.status.take())
}
