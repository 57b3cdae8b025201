//! Google's Gemini: `generateContent` whole, as events or as an array, the same
//! wrapped by Cloud Code, `countTokens`, embeddings and Vertex' predictions.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use serde_json::value::RawValue;

use super::json::{EACH, Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, Draft, Reading, Slot, Tokens, code, count, response};
use super::request::{RequestSlot, request};
use super::usage::{Usage, plus};

/// What is read of a request. The model stands in the path.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(
        &["contents", EACH, "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["contents", EACH, "parts", EACH, "functionCall"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(
        &["contents", EACH, "parts", EACH, "functionResponse"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(
        &["systemInstruction", "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["system_instruction", "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
    request(&["cachedContent"], Want::Mark, RequestSlot::Stateful),
    // What is to be embedded, alone and in a batch.
    request(
        &["content", "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["requests", EACH, "content", "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["instances", EACH, "content"],
        Want::Text,
        RequestSlot::Text,
    ),
]);

/// The same of Cloud Code, where the path has no model.
pub(super) static CLOUD_CODE_REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(
        &["request", "contents", EACH, "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["request", "systemInstruction", "parts", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["request", "tools"], Want::Source, RequestSlot::Text),
]);

/// A document below the given keys.
macro_rules! document {
    ($($below:literal),*) => {
        &[
            response(&[$($below,)* "responseId"], Want::Scalar, Slot::Id),
            response(&[$($below,)* "modelVersion"], Want::Scalar, Slot::Model),
            response(&[$($below,)* "usageMetadata"], Want::Value, Slot::Usage),
            response(&[$($below,)* "candidates", EACH], Want::Mark, Slot::Choice),
            response(
                &[$($below,)* "candidates", EACH, "finishReason"],
                Want::Scalar,
                Slot::FinishReason,
            ),
            response(
                &[$($below,)* "promptFeedback", "blockReason"],
                Want::Scalar,
                Slot::Incomplete,
            ),
            response(
                &[$($below,)* "candidates", EACH, "content", "parts", EACH, "text"],
                Want::Text,
                Slot::Text,
            ),
            response(
                &[$($below,)* "candidates", EACH, "content", "parts", EACH, "functionCall"],
                Want::Source,
                Slot::Text,
            ),
            // Each is charged for, beside the tokens.
            response(
                &[
                    $($below,)*
                    "candidates",
                    EACH,
                    "groundingMetadata",
                    "webSearchQueries",
                    EACH,
                ],
                Want::Mark,
                Slot::Piece(Tokens::Searches),
            ),
            response(&["error"], Want::Mark, Slot::Error),
            response(&["error", "status"], Want::Scalar, Slot::ErrorType),
        ]
    };
}

/// What is read of a body, an event, or an element of the array.
pub(super) static RESPONSE: Table<Slot> = Table::new(document!());

/// The same from Cloud Code.
pub(super) static CLOUD_CODE: Table<Slot> = Table::new(document!("response"));

/// What is read of predictions, each of which counts for itself.
pub(super) static PREDICT: Table<Slot> = Table::new(&[
    response(
        &[
            "predictions",
            EACH,
            "embeddings",
            "statistics",
            "token_count",
        ],
        Want::Scalar,
        Slot::Sum(Tokens::Input),
    ),
    response(
        &[
            "metadata",
            "tokenMetadata",
            "inputTokenCount",
            "totalTokens",
        ],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &[
            "metadata",
            "tokenMetadata",
            "outputTokenCount",
            "totalTokens",
        ],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(
        &["metadata", "billableCharacterCount"],
        Want::Scalar,
        Slot::Count(Tokens::Characters),
    ),
    // One that was held back has none.
    response(
        &["predictions", EACH, "bytesBase64Encoded"],
        Want::Mark,
        Slot::Piece(Tokens::Images),
    ),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "status"], Want::Scalar, Slot::ErrorType),
]);

/// Takes a body, an event or an element. There is no sentinel: the last one says
/// why generation ended. A prompt that was blocked has no candidate to say so.
pub(super) fn commit(mut draft: Draft, reading: &mut Reading) {
    let blocked = draft.incomplete.take();
    draft.finish_reason = draft.finish_reason.or(blocked);
    reading.commit(draft);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsageSlot {
    Prompt,
    Cached,
    Output,
    Thoughts,
    ToolUse,
    Total,
    Tier,
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
    usage(&["promptTokenCount"], UsageSlot::Prompt),
    usage(&["cachedContentTokenCount"], UsageSlot::Cached),
    usage(&["candidatesTokenCount"], UsageSlot::Output),
    // Of the live API.
    usage(&["responseTokenCount"], UsageSlot::Output),
    usage(&["thoughtsTokenCount"], UsageSlot::Thoughts),
    usage(&["toolUsePromptTokenCount"], UsageSlot::ToolUse),
    usage(&["totalTokenCount"], UsageSlot::Total),
    usage(&["trafficType"], UsageSlot::Tier),
    usage(&["serviceTier"], UsageSlot::Tier),
    part(&["promptTokensDetails", EACH], UsageSlot::InputPart),
    part(&["cacheTokensDetails", EACH], UsageSlot::CachedPart),
    part(&["candidatesTokensDetails", EACH], UsageSlot::OutputPart),
    part(&["responseTokensDetails", EACH], UsageSlot::OutputPart),
]);

const fn part(path: Path, slot: UsageSlot) -> Interest<UsageSlot> {
    Interest {
        path,
        want: Want::Value,
        slot,
    }
}

/// What of a count is of one modality.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    modality: Option<&'a str>,
    /// Interactions call it by its last word.
    #[serde(borrow, alias = "tokens")]
    token_count: Option<&'a RawValue>,
}

/// Takes what has a price of its own; text is the rest. Video is billed as
/// images are, which it is a sequence of.
pub(super) fn take_part(raw: &[u8], audio: &mut Option<u64>, image: &mut Option<u64>) {
    let Ok(part) = serde_json::from_slice::<Part<'_>>(raw) else {
        return;
    };
    let tokens = part.token_count.and_then(|raw| count(raw.get().as_bytes()));
    match part.modality {
        Some("AUDIO" | "audio") => *audio = plus(*audio, tokens),
        Some("IMAGE" | "VIDEO" | "image" | "video") => *image = plus(*image, tokens),
        Some(_) | None => {}
    }
}

/// Reads a `usageMetadata`. Thoughts and the prompts of tools stand beside the
/// counts that they are part of: [`totals`] adds them once the last snapshot has
/// been seen.
pub(super) fn parse(raw: &[u8]) -> Counts {
    let mut counts = Counts::default();
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &USAGE, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        let field = match slot {
            UsageSlot::Prompt => &mut counts.usage.input,
            UsageSlot::Cached => &mut counts.usage.cache_read,
            UsageSlot::Output => &mut counts.usage.output,
            UsageSlot::Thoughts => &mut counts.usage.reasoning,
            UsageSlot::ToolUse => &mut counts.tool_input,
            UsageSlot::Total => &mut counts.total,
            UsageSlot::InputPart => {
                let usage = &mut counts.usage;
                return take_part(raw, &mut usage.input_audio, &mut usage.input_image);
            }
            UsageSlot::CachedPart => {
                let usage = &mut counts.usage;
                return take_part(
                    raw,
                    &mut usage.cache_read_audio,
                    &mut usage.cache_read_image,
                );
            }
            UsageSlot::OutputPart => {
                let usage = &mut counts.usage;
                return take_part(raw, &mut usage.output_audio, &mut usage.output_image);
            }
            UsageSlot::Tier => {
                return counts.service_tier = code(raw).or(counts.service_tier.take());
            }
        };
        *field = count(raw).or(*field);
    });
    counts
}

/// Usage in weir's terms, from the last value of each field. Fields that are
/// zero are left out by Google, so the total says what is missing.
pub(super) fn totals(reading: &Reading) -> Usage {
    let counts = &reading.counts;
    let mut usage = counts.usage;
    let visible = plus(usage.input, counts.tool_input);
    let beyond_input = counts
        .total
        .zip(visible)
        .and_then(|(total, input)| total.checked_sub(input));
    usage.output = match (usage.output, usage.reasoning) {
        // On Vertex the thoughts were seen to be part of the candidates.
        (Some(output), Some(_)) if beyond_input == Some(output) => Some(output),
        // A first snapshot may come before anything was counted.
        (None, None) => beyond_input.filter(|_| reading.finish_reason.is_some()),
        (output, reasoning) => plus(output, reasoning),
    };
    usage.input = visible;
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, input: Option<u64>, output: Option<u64>) {
        let usage = totals(&Reading {
            counts: parse(raw.as_bytes()),
            finish_reason: Some("STOP".to_owned()),
            ..Reading::default()
        });
        assert_eq!((usage.input, usage.output), (input, output), "{raw}");
    }

    #[test]
    fn parts_beside_the_counts_are_added() {
        check(
            r#"{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":7,
                "toolUsePromptTokenCount":3,"cachedContentTokenCount":4,"totalTokenCount":25}"#,
            Some(13),
            Some(12),
        );
        check(
            r#"{"promptTokenCount":"10","thoughtsTokenCount":7}"#,
            Some(10),
            Some(7),
        );
    }

    #[test]
    fn thoughts_within_the_candidates_are_not_added_again() {
        check(
            r#"{"promptTokenCount":10,"candidatesTokenCount":12,"thoughtsTokenCount":7,"totalTokenCount":22}"#,
            Some(10),
            Some(12),
        );
    }

    #[test]
    fn the_total_tells_what_was_left_out() {
        let blocked = r#"{"promptTokenCount":10,"totalTokenCount":10}"#;
        check(blocked, Some(10), Some(0));
        check(r#"{"promptTokenCount":10}"#, Some(10), None);
        check(r#"{"totalTokenCount":10}"#, None, None);
    }
}
