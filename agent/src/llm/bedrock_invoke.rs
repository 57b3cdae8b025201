//! Models invoked on Bedrock in their own formats, whole or in the chunks of an
//! event stream.
//!
//! The path may name a profile or an ARN that does not tell whose model it is,
//! so what is read is the union of the formats, told apart by their names for
//! usage. Whatever a format counts, it is brought to Anthropic's convention
//! here: input without what came from the cache or went there.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, Draft, Reading, Slot, Tokens, count, response};
use super::request::{RequestFacts, RequestSlot, request};
use super::share::Stated;
use super::usage::Usage;
use super::{anthropic, bedrock_converse, openai_usage};

/// What is read of a request. The model stands in the path.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["system"], Want::Text, RequestSlot::Text),
    request(&["system", EACH, "text"], Want::Text, RequestSlot::Text),
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
    request(
        &["messages", EACH, "content", EACH, "input"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(
        &["messages", EACH, "content", EACH, "content"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
    request(&["prompt"], Want::Text, RequestSlot::Text),
    request(&["inputText"], Want::Text, RequestSlot::Text),
    request(&["inputs"], Want::Text, RequestSlot::Text),
    request(&["message"], Want::Text, RequestSlot::Text),
    request(&["texts", EACH], Want::Text, RequestSlot::Text),
    request(
        &["cache_control", "ttl"],
        Want::Scalar,
        RequestSlot::CacheLifetime,
    ),
    request(
        &["tools", EACH, "cache_control", "ttl"],
        Want::Scalar,
        RequestSlot::CacheLifetime,
    ),
    request(
        &["system", EACH, "cache_control", "ttl"],
        Want::Scalar,
        RequestSlot::CacheLifetime,
    ),
    request(
        &["messages", EACH, "content", EACH, "cache_control", "ttl"],
        Want::Scalar,
        RequestSlot::CacheLifetime,
    ),
]);

/// What is read of a body, and of what is in a chunk.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    // Added by Bedrock to the last chunk.
    response(
        &["amazon-bedrock-invocationMetrics"],
        Want::Value,
        Slot::Fallback,
    ),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
    // Anthropic, and the names that others have taken over.
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["stop_reason"], Want::Scalar, Slot::FinishReason),
    response(&["content", EACH, "text"], Want::Text, Slot::Text),
    response(&["content", EACH, "thinking"], Want::Text, Slot::Text),
    response(&["content", EACH, "input"], Want::Source, Slot::Text),
    response(&["message", "id"], Want::Scalar, Slot::Id),
    response(&["message", "model"], Want::Scalar, Slot::Model),
    response(&["message", "usage"], Want::Value, Slot::Usage),
    response(&["delta", "stop_reason"], Want::Scalar, Slot::FinishReason),
    response(&["delta", "text"], Want::Text, Slot::Text),
    response(&["delta", "thinking"], Want::Text, Slot::Text),
    response(&["delta", "partial_json"], Want::Text, Slot::Text),
    response(&["content_block", "name"], Want::Text, Slot::Text),
    // Amazon Nova.
    response(&["stopReason"], Want::Scalar, Slot::FinishReason),
    response(
        &["messageStop", "stopReason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(&["metadata", "usage"], Want::Value, Slot::Usage),
    response(
        &["output", "message", "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["contentBlockDelta", "delta", "text"],
        Want::Text,
        Slot::Text,
    ),
    // Amazon Titan.
    response(
        &["inputTextTokenCount"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &["totalOutputTextTokenCount"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(
        &["results", EACH, "tokenCount"],
        Want::Scalar,
        Slot::Sum(Tokens::Output),
    ),
    response(
        &["results", EACH, "completionReason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(&["completionReason"], Want::Scalar, Slot::FinishReason),
    response(&["results", EACH, "outputText"], Want::Text, Slot::Text),
    response(&["outputText"], Want::Text, Slot::Text),
    // Models that draw: Amazon's and Stability's, of which the older ones wrap each.
    response(&["images", EACH], Want::Mark, Slot::Piece(Tokens::Images)),
    response(
        &["artifacts", EACH],
        Want::Mark,
        Slot::Piece(Tokens::Images),
    ),
    // Llama.
    response(
        &["prompt_token_count"],
        Want::Scalar,
        Slot::Count(Tokens::Input),
    ),
    response(
        &["generation_token_count"],
        Want::Scalar,
        Slot::Count(Tokens::Output),
    ),
    response(&["generation"], Want::Text, Slot::Text),
    // OpenAI, DeepSeek, Mistral.
    response(
        &["choices", EACH, "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["choices", EACH, "stop_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["choices", EACH, "message", "content"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "delta", "content"],
        Want::Text,
        Slot::Text,
    ),
    response(&["choices", EACH, "text"], Want::Text, Slot::Text),
    response(
        &["outputs", EACH, "stop_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(&["outputs", EACH, "text"], Want::Text, Slot::Text),
    // Text Generation Inference, on SageMaker.
    response(&["token", "text"], Want::Text, Slot::Text),
    response(&["generated_text"], Want::Mark, Slot::Done),
    response(&[EACH, "generated_text"], Want::Text, Slot::Text),
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
    // Cohere.
    response(&["finish_reason"], Want::Scalar, Slot::FinishReason),
    response(&["text"], Want::Text, Slot::Text),
]);

/// Takes what was in a chunk. Bedrock's own metrics are in the last.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let has_metrics = draft
        .counts
        .as_ref()
        .is_some_and(|counts| counts.fallback.is_some());
    let is_stop = draft.kind.take().as_deref() == Some("message_stop") || draft.is_done;
    let ends = draft.finish_reason.is_some() && draft.counts.is_some();
    commit_body(draft, reading);
    reading.is_usage_final |= ends || has_metrics;
    reading.has_ended |= is_stop || has_metrics;
}

/// Takes a body. What AWS logs a call by is in the head of the response, and
/// comes before a name that the model gives it.
pub(super) fn commit_body(mut draft: Draft, reading: &mut Reading) {
    if reading.id.is_some() {
        draft.id = None;
    }
    reading.commit(draft);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Amazon,
    OpenAi,
}

static FAMILIES: Table<Family> = Table::new(&[
    Interest {
        path: &["inputTokens"],
        want: Want::Mark,
        slot: Family::Amazon,
    },
    Interest {
        path: &["outputTokens"],
        want: Want::Mark,
        slot: Family::Amazon,
    },
    Interest {
        path: &["prompt_tokens"],
        want: Want::Mark,
        slot: Family::OpenAi,
    },
    Interest {
        path: &["completion_tokens"],
        want: Want::Mark,
        slot: Family::OpenAi,
    },
]);

/// Reads a usage object of whichever family it is.
pub(super) fn parse(raw: &[u8]) -> Counts {
    let mut family = None;
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &FAMILIES, |found| {
        if let Found::Mark { slot } = found {
            family = Some(slot);
        }
    });
    match family {
        Some(Family::Amazon) => bedrock_converse::parse(raw),
        Some(Family::OpenAi) => without_cached(openai_usage::parse(raw)),
        None => anthropic::parse(raw),
    }
}

/// Takes cached tokens out of the input, of which they are a part.
fn without_cached(mut counts: Counts) -> Counts {
    let usage = &mut counts.usage;
    usage.input = usage.input.map(|input| {
        input
            .saturating_sub(usage.cache_read.unwrap_or(0))
            .saturating_sub(usage.cache_write.unwrap_or(0))
    });
    counts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Input,
    Output,
    CacheRead,
    CacheWrite,
}

const fn metric(path: Path, slot: Metric) -> Interest<Metric> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

static METRICS: Table<Metric> = Table::new(&[
    metric(&["inputTokenCount"], Metric::Input),
    metric(&["outputTokenCount"], Metric::Output),
    metric(&["cacheReadInputTokenCount"], Metric::CacheRead),
    metric(&["cacheWriteInputTokenCount"], Metric::CacheWrite),
]);

/// Reads Bedrock's own metrics, which count for models that state nothing.
pub(super) fn parse_metrics(raw: &[u8]) -> Usage {
    let mut usage = Usage::default();
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &METRICS, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        let field = match slot {
            Metric::Input => &mut usage.input,
            Metric::Output => &mut usage.output,
            Metric::CacheRead => &mut usage.cache_read,
            Metric::CacheWrite => &mut usage.cache_write,
        };
        *field = count(raw).or(*field);
    });
    usage
}

/// What was used, in weir's terms. What the model stated itself comes first.
pub(super) fn stated(counts: &Counts, facts: &RequestFacts) -> Stated {
    let mut usage = counts.fallback.as_deref().copied().unwrap_or_default();
    usage.merge(&counts.usage);
    let counts = Counts {
        usage,
        ..counts.clone()
    };
    anthropic::stated(&counts, facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, input: u64, output: u64) {
        let usage = stated(&parse(raw.as_bytes()), &RequestFacts::default()).own;
        assert_eq!(
            (usage.input, usage.output),
            (Some(input), Some(output)),
            "{raw}"
        );
    }

    #[test]
    fn every_family_comes_to_all_of_the_input() {
        check(
            r#"{"input_tokens":10,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"output_tokens":3}"#,
            16,
            3,
        );
        check(
            r#"{"inputTokens":10,"cacheReadInputTokenCount":4,"cacheWriteInputTokenCount":2,"outputTokens":3}"#,
            16,
            3,
        );
        check(
            r#"{"prompt_tokens":16,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":3}"#,
            16,
            3,
        );
    }

    #[test]
    fn metrics_fill_only_what_the_model_did_not_state() {
        let mut counts = parse(br#"{"input_tokens":10,"output_tokens":3}"#);
        let metrics =
            br#"{"inputTokenCount":99,"outputTokenCount":98,"cacheReadInputTokenCount":1}"#;
        counts.fallback = Some(parse_metrics(metrics).into());
        let usage = stated(&counts, &RequestFacts::default()).own;
        assert_eq!((usage.input, usage.output), (Some(11), Some(3)));
    }
}
