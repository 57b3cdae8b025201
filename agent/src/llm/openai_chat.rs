//! OpenAI chat completions and the older completions of a prompt, as spoken by
//! most providers and servers.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Table, Want};
use super::reading::{Counts, Draft, Reading, Slot, response};
use super::request::{RequestSlot, request};
use super::share::Stated;
use super::usage::Usage;

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
    request(
        &[
            "messages",
            EACH,
            "tool_calls",
            EACH,
            "function",
            "arguments",
        ],
        Want::Text,
        RequestSlot::Text,
    ),
    request(
        &["messages", EACH, "tool_calls", EACH, "custom", "input"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["tools"], Want::Source, RequestSlot::Text),
    // Before there were tools.
    request(
        &["messages", EACH, "function_call", "arguments"],
        Want::Text,
        RequestSlot::Text,
    ),
    request(&["functions"], Want::Source, RequestSlot::Text),
    // Of completions: a text, several, or token ids.
    request(&["prompt"], Want::Text, RequestSlot::Text),
    request(&["prompt", EACH], Want::Text, RequestSlot::Text),
    request(&["suffix"], Want::Text, RequestSlot::Text),
]);

/// What is read of a body, and of a chunk.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model"], Want::Scalar, Slot::Model),
    response(&["service_tier"], Want::Scalar, Slot::ServiceTier),
    response(&["usage"], Want::Value, Slot::Usage),
    // Groq, in its last chunk, asked or not.
    response(&["x_groq", "usage"], Want::Value, Slot::Usage),
    response(&["x_groq", "error"], Want::Mark, Slot::Error),
    // Of its systems of several models, in the body and in the last chunk.
    response(
        &["usage_breakdown", "models", EACH],
        Want::Value,
        Slot::Part,
    ),
    response(
        &["x_groq", "usage_breakdown", "models", EACH],
        Want::Value,
        Slot::Part,
    ),
    // llama.cpp, in its last chunk, asked or not.
    response(&["timings"], Want::Value, Slot::Timings),
    response(&["choices", EACH], Want::Mark, Slot::Choice),
    response(
        &["choices", EACH, "finish_reason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["choices", EACH, "delta", "content"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "delta", "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "delta", "refusal"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "delta", "reasoning"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "delta", "reasoning_content"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &[
            "choices",
            EACH,
            "delta",
            "tool_calls",
            EACH,
            "function",
            "name",
        ],
        Want::Text,
        Slot::Text,
    ),
    response(
        &[
            "choices",
            EACH,
            "delta",
            "tool_calls",
            EACH,
            "function",
            "arguments",
        ],
        Want::Text,
        Slot::Text,
    ),
    response(
        &[
            "choices",
            EACH,
            "delta",
            "tool_calls",
            EACH,
            "custom",
            "input",
        ],
        Want::Text,
        Slot::Text,
    ),
    // Before there were tools.
    response(
        &["choices", EACH, "delta", "function_call", "arguments"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "function_call"],
        Want::Source,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "content"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "content", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "refusal"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "reasoning"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "reasoning_content"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["choices", EACH, "message", "tool_calls"],
        Want::Source,
        Slot::Text,
    ),
    // Of completions.
    response(&["choices", EACH, "text"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    // Of older servers, whose error is the document.
    response(&["object"], Want::Scalar, Slot::Object),
    response(&["type"], Want::Scalar, Slot::ErrorType),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// What was used: by the usage, or else by the server's own timings. Where other
/// models did the work, the usage is their sum, or nobody knows what is whose.
pub(super) fn stated(counts: &Counts) -> Stated {
    let own = match &counts.fallback {
        Some(fallback) if counts.usage.is_empty() => **fallback,
        Some(_) | None => counts.usage,
    };
    if !counts.is_passed_on {
        return own.into();
    }
    let mut others = counts.others.clone();
    let sum = others.sum();
    let tokens = |usage: &Usage| (usage.input, usage.output);
    if !own.is_empty() && tokens(&own) != tokens(&sum) {
        others.add(None, &Usage::default());
    }
    Stated {
        own: if own.is_empty() { sum } else { own },
        others,
        is_passed_on: true,
    }
}

/// Takes a chunk. Usage in a chunk without choices is the last there will be.
/// Some servers report running totals on every chunk: those count as final only
/// once the stream has ended.
pub(super) fn commit_event(draft: Draft, reading: &mut Reading) {
    let is_usage_chunk = draft.counts.is_some() && !draft.has_choice;
    reading.commit(draft);
    reading.is_usage_final |= is_usage_chunk;
}
