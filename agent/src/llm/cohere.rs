//! Cohere: chats of both versions, embeddings, ranked documents and read pages.
//!
//! Usage comes twice, as what is billed and as what the model was shown; what is
//! billed counts where both are given. Numbers are written with a fraction.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, Draft, Reading, Slot, count, response};
use super::request::{RequestSlot, request};
use super::usage::{Usage, plus};

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
        &["messages", EACH, "content", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
    request(&["documents", EACH], Want::Text, RequestSlot::Text),
    request(
        &["documents", EACH, "data"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(&["documents", EACH, "text"], Want::Text, RequestSlot::Text),
    request(&["query"], Want::Text, RequestSlot::Text),
    request(&["texts", EACH], Want::Text, RequestSlot::Text),
    request(
        &["inputs", EACH, "content", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    // The first version.
    request(&["message"], Want::Text, RequestSlot::Text),
    request(&["preamble"], Want::Text, RequestSlot::Text),
    request(
        &["chat_history", EACH, "message"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["prompt"], Want::Text, RequestSlot::Text),
    request(&["conversation_id"], Want::Mark, RequestSlot::Stateful),
]);

/// What is read of a body.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["finish_reason"], Want::Scalar, Slot::FinishReason),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["meta"], Want::Value, Slot::Usage),
    response(
        &["message", "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["message", "content", EACH, "thinking"],
        Want::Text,
        Slot::Text,
    ),
    response(&["message", "tool_plan"], Want::Text, Slot::Text),
    response(&["message", "tool_calls"], Want::Source, Slot::Text),
    // The first version.
    response(&["response_id"], Want::Scalar, Slot::Id),
    response(&["text"], Want::Text, Slot::Text),
    response(&["generations", EACH, "text"], Want::Text, Slot::Text),
    response(
        &["generations", EACH, "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
]);

/// What is read of an event. An error is a sentence, of which only that there is
/// one can be kept.
pub(super) static EVENT: Table<Slot> = Table::new(&[
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["id"], Want::Scalar, Slot::Id),
    response(
        &["delta", "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(&["delta", "usage"], Want::Value, Slot::Usage),
    response(&["delta", "error"], Want::Mark, Slot::Error),
    response(
        &["delta", "message", "content", "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["delta", "message", "content", "thinking"],
        Want::Text,
        Slot::Text,
    ),
    response(&["delta", "message", "tool_plan"], Want::Text, Slot::Text),
    response(
        &["delta", "message", "tool_calls", "function", "name"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["delta", "message", "tool_calls", "function", "arguments"],
        Want::Text,
        Slot::Text,
    ),
    // The first version, a document a line; the last repeats all of the text.
    response(&["event_type"], Want::Scalar, Slot::Kind),
    response(&["generation_id"], Want::Scalar, Slot::Id),
    response(&["text"], Want::Text, Slot::Text),
    response(&["finish_reason"], Want::Scalar, Slot::FinishReason),
    response(&["response", "meta"], Want::Value, Slot::Usage),
]);

/// Takes an event.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let is_last = matches!(
        draft.kind.take().as_deref(),
        Some("message-end" | "stream-end")
    );
    let has_counts = draft.counts.is_some();
    reading.commit(draft);
    reading.is_usage_final |= is_last && has_counts;
    reading.has_ended |= is_last;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsageSlot {
    BilledInput,
    BilledText,
    BilledImage,
    BilledOutput,
    Input,
    Output,
    Cached,
    Searches,
    Images,
    Pages,
}

const fn usage(path: Path, slot: UsageSlot) -> Interest<UsageSlot> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

static USAGE: Table<UsageSlot> = Table::new(&[
    usage(&["billed_units", "input_tokens"], UsageSlot::BilledInput),
    usage(&["billed_units", "text_tokens"], UsageSlot::BilledText),
    usage(&["billed_units", "image_tokens"], UsageSlot::BilledImage),
    usage(&["billed_units", "output_tokens"], UsageSlot::BilledOutput),
    usage(&["tokens", "input_tokens"], UsageSlot::Input),
    usage(&["tokens", "output_tokens"], UsageSlot::Output),
    usage(&["cached_tokens"], UsageSlot::Cached),
    usage(&["billed_units", "search_units"], UsageSlot::Searches),
    usage(&["billed_units", "images"], UsageSlot::Images),
    usage(&["billed_units", "pages"], UsageSlot::Pages),
]);

/// Reads a usage object, or the `meta` in its place.
pub(super) fn parse(raw: &[u8]) -> Counts {
    let (mut billed, mut usage) = (Usage::default(), Usage::default());
    let mut billed_text = None;
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &USAGE, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        let field = match slot {
            UsageSlot::BilledInput => &mut billed.input,
            UsageSlot::BilledText => &mut billed_text,
            UsageSlot::BilledImage => &mut billed.input_image,
            UsageSlot::BilledOutput => &mut billed.output,
            UsageSlot::Input => &mut usage.input,
            UsageSlot::Output => &mut usage.output,
            UsageSlot::Cached => &mut usage.cache_read,
            UsageSlot::Searches => &mut usage.searches,
            UsageSlot::Images => &mut usage.images,
            UsageSlot::Pages => &mut usage.pages,
        };
        *field = count(raw).or(*field);
    });
    // Tokens of text have a name of their own where those of images have one;
    // where they have not, they are the input tokens, and the others beside them.
    billed.input = match (billed_text, billed.input) {
        (None, Some(text)) => plus(Some(text), billed.input_image),
        (text, None) => plus(text, billed.input_image),
        (Some(_), input) => input,
    };
    usage.merge(&billed);
    // Cached tokens are those of the model; fewer may be billed.
    usage.cache_read = usage
        .cache_read
        .filter(|cached| Some(*cached) <= usage.input);
    Counts {
        usage,
        ..Counts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_billed_comes_before_what_was_shown() {
        let cases: [(&str, [Option<u64>; 3]); 4] = [
            (
                r#"{"billed_units":{"input_tokens":5.0,"output_tokens":7.0},
                    "tokens":{"input_tokens":71.0,"output_tokens":9.0},"cached_tokens":64.0}"#,
                [Some(5), Some(7), None],
            ),
            (
                r#"{"tokens":{"input_tokens":71.0,"output_tokens":9.0},"cached_tokens":64}"#,
                [Some(71), Some(9), Some(64)],
            ),
            (
                r#"{"api_version":{"version":"2"},"billed_units":{"search_units":1}}"#,
                [None; 3],
            ),
            ("null", [None; 3]),
        ];
        for (raw, expected) in cases {
            let usage = parse(raw.as_bytes()).usage;
            assert_eq!([usage.input, usage.output, usage.cache_read], expected);
        }
    }
}
