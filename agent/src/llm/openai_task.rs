//! OpenAI's calls beside conversations, and those of others in their shape:
//! embeddings, rankings, images, speech, videos. One document, or a short stream
//! of typed events of which the last carries usage.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Table, Want};
use super::multipart::Field;
use super::reading::{Counts, Draft, Reading, Slot, Tokens, response};
use super::request::{RequestFacts, RequestSlot, request};
use super::usage::Usage;

/// What is read of a request.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
    request(&["stream_format"], Want::Scalar, RequestSlot::StreamFormat),
    request(&["input"], Want::Text, RequestSlot::Text),
    request(&["input", EACH], Want::Text, RequestSlot::Text),
    request(&["prompt"], Want::Text, RequestSlot::Text),
    request(&["query"], Want::Text, RequestSlot::Text),
    request(&["documents", EACH], Want::Text, RequestSlot::Text),
    // Of documents, whose pages then cost more.
    request(
        &["document_annotation_format"],
        Want::Mark,
        RequestSlot::Annotation,
    ),
    request(
        &["bbox_annotation_format"],
        Want::Mark,
        RequestSlot::Annotation,
    ),
]);

/// The same of a text that is to be read out.
pub(super) static SPEECH: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream_format"], Want::Scalar, RequestSlot::StreamFormat),
    request(&["input"], Want::Text, RequestSlot::Spoken),
]);

/// Takes a field of a request that is a form.
pub(super) fn take_field(field: Field<'_>, facts: &mut RequestFacts) {
    match (field.name, field.value) {
        ("model", Some(value)) => facts.take_model(value),
        ("stream", Some(value)) => facts.stream = Some(value == b"true"),
        ("prompt", _) => facts.text.push_unseen(field.len),
        _ => {}
    }
}

/// What is read of a body.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["service_tier"], Want::Scalar, Slot::ServiceTier),
    response(&["usage"], Want::Value, Slot::Usage),
    // Drawings are another model's work, stated apart.
    response(&["svg_usage"], Want::Value, Slot::Beside),
    // Of pages.
    response(&["usage_info"], Want::Value, Slot::Usage),
    // Of videos, which have no usage otherwise.
    response(&["seconds"], Want::Scalar, Slot::Count(Tokens::Seconds)),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// What is read of an event.
pub(super) static EVENT: Table<Slot> = Table::new(&[
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["svg_usage"], Want::Value, Slot::Beside),
    response(&["delta"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// What is read of the answer of a model that draws: images have a price each
/// where no tokens are stated.
pub(super) static IMAGES: Table<Slot> = Table::new(&[
    response(&["data", EACH], Want::Mark, Slot::Piece(Tokens::Images)),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["svg_usage"], Want::Value, Slot::Beside),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// What was used by a model that draws.
pub(super) fn images(counts: &Counts) -> Usage {
    let mut usage = counts.sum();
    if usage.has_tokens() || !counts.others.is_empty() {
        usage.images = None;
    }
    usage
}

/// Takes an event.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let kind = draft.kind.take().unwrap_or_default();
    draft.has_error |= kind == "error";
    reading.commit(draft);
    reading.has_ended |= matches!(
        kind.as_str(),
        "image_generation.completed"
            | "image_edit.completed"
            | "transcript.text.done"
            | "speech.audio.done"
    );
}
