//! Google's interactions: a body, or a stream of typed events of which the last
//! carries usage.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::gemini::take_part;
use super::json::{EACH, Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, Draft, Reading, Slot, count, response};
use super::request::{RequestSlot, request};
use super::usage::plus;

/// What is read of a request. An agent stands in the place of a model.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["agent"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
    request(&["background"], Want::Scalar, RequestSlot::Background),
    request(
        &["previous_interaction_id"],
        Want::Mark,
        RequestSlot::Stateful,
    ),
    request(&["system_instruction"], Want::Text, RequestSlot::Text),
    request(&["input"], Want::Text, RequestSlot::Text),
    request(&["input", EACH, "text"], Want::Text, RequestSlot::Text),
    request(&["input", EACH, "content"], Want::Text, RequestSlot::Text),
    request(
        &["input", EACH, "content", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
]);

/// What is read of a body, where the interaction is the document.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["status"], Want::Scalar, Slot::Status),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["outputs", EACH, "text"], Want::Text, Slot::Text),
    response(
        &["steps", EACH, "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "status"], Want::Scalar, Slot::ErrorType),
]);

/// What is read of an event.
pub(super) static EVENT: Table<Slot> = Table::new(&[
    response(&["event_type"], Want::Scalar, Slot::Kind),
    response(&["interaction", "id"], Want::Scalar, Slot::Id),
    response(&["interaction", "model"], Want::Scalar, Slot::Model),
    response(&["interaction", "status"], Want::Scalar, Slot::Status),
    response(&["interaction", "usage"], Want::Value, Slot::Usage),
    response(&["delta", "text"], Want::Text, Slot::Text),
    response(&["delta", "arguments"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "status"], Want::Scalar, Slot::ErrorType),
]);

/// Takes a body. An interaction that is queued or in progress runs in the
/// background, and is fetched later by another exchange.
pub(super) fn commit_body(mut draft: Draft, reading: &mut Reading) {
    let status = draft.status.take();
    reading.is_deferred = matches!(status.as_deref(), Some("queued" | "in_progress"));
    draft.finish_reason = status;
    reading.commit(draft);
}

/// Takes an event. Only the last one's status is why it ended.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let is_last = draft.kind.take().as_deref() == Some("interaction.completed");
    let status = draft.status.take();
    if is_last {
        draft.finish_reason = status;
    }
    let has_counts = draft.counts.is_some();
    reading.commit(draft);
    reading.is_usage_final |= is_last && has_counts;
    reading.has_ended |= is_last;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsageSlot {
    Input,
    Cached,
    Output,
    Thoughts,
    ToolUse,
    Total,
    Grounding,
    /// What of the input is of one modality, cached or not.
    InputPart,
    /// What of the cached input is.
    CachedPart,
    /// What of the output is.
    OutputPart,
}

const fn usage(path: Path, slot: UsageSlot) -> Interest<UsageSlot> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

static USAGE: Table<UsageSlot> = Table::new(&[
    usage(&["total_input_tokens"], UsageSlot::Input),
    usage(&["total_cached_tokens"], UsageSlot::Cached),
    usage(&["total_output_tokens"], UsageSlot::Output),
    usage(&["total_thought_tokens"], UsageSlot::Thoughts),
    usage(&["total_tool_use_tokens"], UsageSlot::ToolUse),
    usage(&["total_tokens"], UsageSlot::Total),
    usage(
        &["grounding_tool_count", EACH, "count"],
        UsageSlot::Grounding,
    ),
    part(&["input_tokens_by_modality", EACH], UsageSlot::InputPart),
    part(&["cached_tokens_by_modality", EACH], UsageSlot::CachedPart),
    part(&["output_tokens_by_modality", EACH], UsageSlot::OutputPart),
]);

const fn part(path: Path, slot: UsageSlot) -> Interest<UsageSlot> {
    Interest {
        path,
        want: Want::Value,
        slot,
    }
}

/// Reads a usage object, in which thoughts and the prompts of tools stand beside
/// the counts that they are part of, as in [`gemini`](super::gemini).
pub(super) fn parse(raw: &[u8]) -> Counts {
    let mut counts = Counts::default();
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &USAGE, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        let usage = &mut counts.usage;
        let field = match slot {
            UsageSlot::InputPart => {
                return take_part(raw, &mut usage.input_audio, &mut usage.input_image);
            }
            UsageSlot::CachedPart => {
                let (audio, image) = (&mut usage.cache_read_audio, &mut usage.cache_read_image);
                return take_part(raw, audio, image);
            }
            UsageSlot::OutputPart => {
                return take_part(raw, &mut usage.output_audio, &mut usage.output_image);
            }
            UsageSlot::Input => &mut counts.usage.input,
            UsageSlot::Cached => &mut counts.usage.cache_read,
            UsageSlot::Output => &mut counts.usage.output,
            UsageSlot::Thoughts => &mut counts.usage.reasoning,
            UsageSlot::ToolUse => &mut counts.tool_input,
            UsageSlot::Total => &mut counts.total,
            UsageSlot::Grounding => {
                return counts.usage.searches = plus(counts.usage.searches, count(raw));
            }
        };
        *field = count(raw).or(*field);
    });
    counts
}
