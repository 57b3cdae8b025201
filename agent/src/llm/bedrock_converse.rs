//! Bedrock's own format: `Converse`, and the event stream of `ConverseStream`,
//! whose last message carries usage.
//!
//! Neither names a response or a model: the one is in a header, the other in the
//! path of the request.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, Draft, Reading, Slot, count, response};
use super::request::{RequestFacts, RequestSlot, request};
use super::usage::{Usage, plus};

/// What is read of a request.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["system", EACH, "text"], Want::Text, RequestSlot::Text),
    request(
        &["messages", EACH, "content", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["messages", EACH, "content", EACH, "toolUse", "input"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(
        &["messages", EACH, "content", EACH, "toolResult", "content"],
        Want::Source,
        RequestSlot::Text,
    ),
    request(&["toolConfig", "tools"], Want::Source, RequestSlot::Text),
]);

/// What is read of a body.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["stopReason"], Want::Scalar, Slot::FinishReason),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["serviceTier", "type"], Want::Scalar, Slot::ServiceTier),
    response(&["performanceConfig", "latency"], Want::Scalar, Slot::Speed),
    response(
        &["output", "message", "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["output", "message", "content", EACH, "toolUse", "input"],
        Want::Source,
        Slot::Text,
    ),
    response(
        &[
            "output",
            "message",
            "content",
            EACH,
            "reasoningContent",
            "reasoningText",
            "text",
        ],
        Want::Text,
        Slot::Text,
    ),
]);

/// What is read of the payload of a message. Its name is in a header.
pub(super) static EVENT: Table<Slot> = Table::new(&[
    response(&["stopReason"], Want::Scalar, Slot::FinishReason),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["serviceTier", "type"], Want::Scalar, Slot::ServiceTier),
    response(&["performanceConfig", "latency"], Want::Scalar, Slot::Speed),
    response(&["start", "toolUse", "name"], Want::Text, Slot::Text),
    response(&["delta", "text"], Want::Text, Slot::Text),
    response(&["delta", "toolUse", "input"], Want::Text, Slot::Text),
    response(
        &["delta", "reasoningContent", "text"],
        Want::Text,
        Slot::Text,
    ),
]);

/// Takes a message. What comes after the reason to stop is the last.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let is_last = draft.kind.take().as_deref() == Some("metadata");
    let has_counts = draft.counts.is_some();
    reading.commit(draft);
    reading.is_usage_final |= is_last && has_counts;
    reading.has_ended |= is_last;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsageSlot {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    CacheDetails,
}

const fn usage(path: Path, want: Want, slot: UsageSlot) -> Interest<UsageSlot> {
    Interest { path, want, slot }
}

/// The names of Converse, and after them those of Amazon's own models where
/// they are invoked directly.
static USAGE: Table<UsageSlot> = Table::new(&[
    usage(&["inputTokens"], Want::Scalar, UsageSlot::Input),
    usage(&["outputTokens"], Want::Scalar, UsageSlot::Output),
    usage(&["totalTokens"], Want::Scalar, UsageSlot::Total),
    usage(
        &["cacheReadInputTokens"],
        Want::Scalar,
        UsageSlot::CacheRead,
    ),
    usage(
        &["cacheWriteInputTokens"],
        Want::Scalar,
        UsageSlot::CacheWrite,
    ),
    usage(
        &["cacheReadInputTokenCount"],
        Want::Scalar,
        UsageSlot::CacheRead,
    ),
    usage(
        &["cacheWriteInputTokenCount"],
        Want::Scalar,
        UsageSlot::CacheWrite,
    ),
    usage(
        &["cacheDetails", EACH],
        Want::Value,
        UsageSlot::CacheDetails,
    ),
]);

/// What was written to the cache for one lifetime.
#[derive(serde::Deserialize)]
struct CacheDetail {
    ttl: Option<String>,
    #[serde(rename = "inputTokens")]
    input_tokens: Option<u64>,
}

/// Reads a usage object. Its input counts neither cache reads nor writes:
/// [`totals`] adds them.
pub(super) fn parse(raw: &[u8]) -> Counts {
    let mut counts = Counts::default();
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &USAGE, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        let field = match slot {
            UsageSlot::Input => &mut counts.usage.input,
            UsageSlot::Output => &mut counts.usage.output,
            UsageSlot::Total => &mut counts.total,
            UsageSlot::CacheRead => &mut counts.usage.cache_read,
            UsageSlot::CacheWrite => &mut counts.usage.cache_write,
            UsageSlot::CacheDetails => return take_detail(raw, &mut counts.usage),
        };
        *field = count(raw).or(*field);
    });
    counts
}

fn take_detail(raw: &[u8], usage: &mut Usage) {
    let Ok(detail) = serde_json::from_slice::<CacheDetail>(raw) else {
        return;
    };
    let lifetime = match detail.ttl.as_deref() {
        Some("5m") => &mut usage.cache_write_5m,
        Some("1h") => &mut usage.cache_write_1h,
        Some(_) | None => return,
    };
    *lifetime = plus(*lifetime, detail.input_tokens);
}

/// Usage in weir's terms.
pub(super) fn totals(counts: &Counts, facts: &RequestFacts) -> Usage {
    let mut usage = counts.usage;
    if !is_inclusive(counts, facts) {
        usage.input = usage.input.map(|uncached| {
            uncached
                .saturating_add(usage.cache_read.unwrap_or(0))
                .saturating_add(usage.cache_write.unwrap_or(0))
        });
    }
    usage
}

/// Whether the input has cached tokens in it, against what is documented. That
/// was reported of models of OpenAI; the total of theirs has no room for more.
fn is_inclusive(counts: &Counts, facts: &RequestFacts) -> bool {
    let is_openai = facts
        .model
        .as_deref()
        .is_some_and(|model| model.contains("openai."));
    let usage = &counts.usage;
    is_openai
        && usage.cache_read <= usage.input
        && counts.total.is_some()
        && counts.total == plus(usage.input, usage.output)
}
