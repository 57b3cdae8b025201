//! Anthropic messages: a body, or a stream whose first event carries the input
//! side of usage and whose later ones carry running totals.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use serde::Deserialize;

use super::json::{EACH, Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, Draft, Reading, Slot, code, count, named, response};
use super::request::{RequestFacts, RequestSlot, request};
use super::share::{Shares, Stated};
use super::usage::{Usage, plus};

/// What is read of a request.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["model"], Want::Scalar, RequestSlot::Model),
    request(&["stream"], Want::Scalar, RequestSlot::Stream),
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
    request(
        &["messages", EACH, "content", EACH, "content", EACH, "text"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
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

/// What is read of a body, where the message is the document.
pub(super) static BODY: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["stop_reason"], Want::Scalar, Slot::FinishReason),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["content", EACH, "text"], Want::Text, Slot::Text),
    response(&["content", EACH, "thinking"], Want::Text, Slot::Text),
    response(&["content", EACH, "input"], Want::Source, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// What is read of an event.
pub(super) static EVENT: Table<Slot> = Table::new(&[
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["message", "id"], Want::Scalar, Slot::Id),
    response(&["message", "model"], Want::Scalar, Slot::Model),
    response(&["message", "usage"], Want::Value, Slot::Usage),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["delta", "stop_reason"], Want::Scalar, Slot::FinishReason),
    response(&["content_block", "name"], Want::Text, Slot::Text),
    response(&["delta", "text"], Want::Text, Slot::Text),
    response(&["delta", "thinking"], Want::Text, Slot::Text),
    response(&["delta", "partial_json"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// Takes an event. Usage that comes with the reason to stop is the last.
pub(super) fn commit_event(mut draft: Draft, reading: &mut Reading) {
    let ends = draft.finish_reason.is_some() && draft.counts.is_some();
    let is_stop = draft.kind.as_deref() == Some("message_stop");
    // The same field means another thing elsewhere: text deltas are not ours to
    // name, and only `error` events carry an error.
    draft.kind = None;
    reading.commit(draft);
    reading.is_usage_final |= ends;
    reading.has_ended |= is_stop;
}

/// What is read of a line of a batch's results.
pub(super) static RESULT: Table<Slot> = Table::new(&[
    response(&["result", "type"], Want::Scalar, Slot::FinishReason),
    response(&["result", "message", "model"], Want::Scalar, Slot::Model),
    response(&["result", "message", "usage"], Want::Value, Slot::Usage),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// Takes a line, whose usage stands beside that of the others.
pub(super) fn commit_result(draft: Draft, reading: &mut Reading) {
    add(draft, reading);
}

/// What is read of an event of a session.
pub(super) static SESSION_EVENT: Table<Slot> = Table::new(&[
    response(&["type"], Want::Scalar, Slot::Kind),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["model_usage"], Want::Value, Slot::Usage),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// Takes an event of a session. Each model call states its own usage when it
/// ends; the snapshots of the session repeat their sum.
pub(super) fn commit_session_event(mut draft: Draft, reading: &mut Reading) {
    match draft.kind.take().as_deref() {
        Some("span.model_request_end") => {}
        Some("session.status_idle" | "session.status_terminated") => {
            draft.counts = None;
            draft.finish_reason = Some("idle".to_owned());
        }
        _ => draft.counts = None,
    }
    add(draft, reading);
}

fn add(mut draft: Draft, reading: &mut Reading) {
    let counts = draft.counts.take();
    if let (Some(model), Some(before)) = (&draft.model, &reading.model)
        && model != before
    {
        // What was counted so far is that one's; and this one may have been before.
        let known = &mut reading.counts;
        let usage = known.sum();
        known.others.add(Some(before), &usage);
        known.usage = known.others.take(model).unwrap_or_default();
        known.beside = None;
    }
    reading.commit(draft);
    if let Some(counts) = counts {
        reading.counts.add(*counts);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsageSlot {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    Thinking,
    ServiceTier,
    Speed,
    Geo,
    Iterations,
    Searches,
    Credit,
}

const fn usage(path: Path, slot: UsageSlot) -> Interest<UsageSlot> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

static USAGE: Table<UsageSlot> = Table::new(&[
    usage(&["input_tokens"], UsageSlot::Input),
    usage(&["output_tokens"], UsageSlot::Output),
    usage(&["cache_read_input_tokens"], UsageSlot::CacheRead),
    usage(&["cache_creation_input_tokens"], UsageSlot::CacheWrite),
    usage(
        &["cache_creation", "ephemeral_5m_input_tokens"],
        UsageSlot::CacheWrite5m,
    ),
    usage(
        &["cache_creation", "ephemeral_1h_input_tokens"],
        UsageSlot::CacheWrite1h,
    ),
    usage(
        &["output_tokens_details", "thinking_tokens"],
        UsageSlot::Thinking,
    ),
    usage(
        &["server_tool_use", "web_search_requests"],
        UsageSlot::Searches,
    ),
    usage(&["service_tier"], UsageSlot::ServiceTier),
    usage(&["speed"], UsageSlot::Speed),
    usage(&["inference_geo"], UsageSlot::Geo),
    usage(&["fallback_credit", "status", "type"], UsageSlot::Credit),
    Interest {
        path: &["iterations"],
        want: Want::Value,
        slot: UsageSlot::Iterations,
    },
]);

/// Reads a usage object. Its input counts neither cache reads nor writes:
/// [`totals`] adds them once all parts have been seen.
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
            UsageSlot::CacheRead => &mut counts.usage.cache_read,
            UsageSlot::CacheWrite => &mut counts.usage.cache_write,
            UsageSlot::CacheWrite5m => &mut counts.usage.cache_write_5m,
            UsageSlot::CacheWrite1h => &mut counts.usage.cache_write_1h,
            UsageSlot::Thinking => &mut counts.usage.reasoning,
            UsageSlot::ServiceTier => return counts.service_tier = code(raw),
            UsageSlot::Speed => return counts.speed = code(raw),
            UsageSlot::Geo => return counts.inference_geo = code(raw),
            UsageSlot::Searches => &mut counts.usage.searches,
            UsageSlot::Iterations => return take_iterations(raw, &mut counts),
            // As if another model had been asked all along, whose cache it is
            // that would have been read.
            UsageSlot::Credit => {
                counts.is_charged_otherwise = raw == b"\"redeemed\"";
                return;
            }
        };
        *field = count(raw).or(*field);
    });
    counts
}

/// One of the model calls behind a message.
#[derive(Deserialize)]
struct Iteration {
    #[serde(rename = "type")]
    kind: String,
    model: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<Lifetimes>,
}

#[derive(Deserialize)]
struct Lifetimes {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

impl Iteration {
    fn usage(&self) -> Usage {
        let lifetime =
            |of: fn(&Lifetimes) -> Option<u64>| self.cache_creation.as_ref().and_then(of);
        Usage {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_input_tokens,
            cache_write: self.cache_creation_input_tokens,
            cache_write_5m: lifetime(|lifetimes| lifetimes.ephemeral_5m_input_tokens),
            cache_write_1h: lifetime(|lifetimes| lifetimes.ephemeral_1h_input_tokens),
            ..Usage::default()
        }
    }
}

/// Takes what the totals leave out: compactions, by the SDK's own words, and the
/// turns of an advisor, a model of its own price; and the model that answered in
/// the place of the one asked for, after which others.
fn take_iterations(raw: &[u8], counts: &mut Counts) {
    let Ok(iterations) = serde_json::from_slice::<Vec<Iteration>>(raw) else {
        return;
    };
    let mut beside = None;
    for iteration in iterations {
        let model = iteration.model.as_deref().and_then(named);
        let usage = iteration.usage();
        match iteration.kind.as_str() {
            "fallback_message" => {
                counts.hops.add(model.as_deref(), &usage);
                counts.answered_by = model;
            }
            "message" => counts.hops.add(model.as_deref(), &usage),
            "compaction" => beside = Some(beside.unwrap_or(Usage::default()).plus(&usage)),
            "advisor_message" => counts.others.add(model.as_deref(), &usage),
            _ => {}
        }
    }
    counts.beside = beside.map(Box::new);
}

/// What was used by the model that answered, and by others, from the last value
/// of each field.
pub(super) fn stated(counts: &Counts, facts: &RequestFacts) -> Stated {
    let (own, declined) = hops(counts);
    let mut others = counts.others.clone();
    others.extend(declined);
    let beside = counts.beside.as_deref();
    let own = beside.map_or(own, |beside| own.plus(beside));
    Stated {
        own: inclusive(own, facts),
        others: others.map(|usage| inclusive(usage, facts)),
        is_passed_on: false,
    }
}

/// The usage without that of models that declined before another answered. It is
/// not documented whether theirs is in it: the sums tell, or else nobody knows
/// what is whose.
fn hops(counts: &Counts) -> (Usage, Shares) {
    let mut declined = counts.hops.clone();
    let served = counts
        .answered_by
        .as_deref()
        .and_then(|model| declined.take(model));
    let Some(served) = served.filter(|_| !declined.is_empty()) else {
        return (counts.usage, Shares::default());
    };
    let tokens = |usage: &Usage| (usage.input, usage.output);
    let stated = tokens(&counts.usage);
    if stated == tokens(&served) {
        (counts.usage, Shares::default())
    } else if stated == tokens(&served.plus(&declined.sum())) {
        let own = Usage {
            searches: counts.usage.searches,
            ..served
        };
        (own, declined)
    } else {
        let mut unclear = Shares::default();
        unclear.add(None, &Usage::default());
        (counts.usage, unclear)
    }
}

/// With an input that counts what was read from a cache and written to one.
fn inclusive(mut usage: Usage, facts: &RequestFacts) -> Usage {
    let split = plus(usage.cache_write_5m, usage.cache_write_1h).unwrap_or(0);
    usage.cache_write = usage.cache_write.or((split > 0).then_some(split));
    // The split is in the first event only, the total may grow after it.
    let unsplit = usage.cache_write.unwrap_or(0).saturating_sub(split);
    if unsplit > 0 {
        // As long as what is known of it, or else as was asked for.
        let is_for_an_hour = match (usage.cache_write_5m, usage.cache_write_1h) {
            (None | Some(0), Some(1..)) => true,
            (Some(1..), None | Some(0)) => false,
            _ => facts.caches_for_an_hour == Some(true),
        };
        let lifetime = if is_for_an_hour {
            &mut usage.cache_write_1h
        } else {
            &mut usage.cache_write_5m
        };
        *lifetime = plus(*lifetime, Some(unsplit));
    }
    usage.input = usage.input.map(|uncached| {
        uncached
            .saturating_add(usage.cache_read.unwrap_or(0))
            .saturating_add(usage.cache_write.unwrap_or(0))
    });
    usage
}
