//! `POST /model/{id}/converse` and `/converse-stream`

use serde_json::{Value, json};

use super::super::{Call, Refusal};
use super::message::{Message, padding};
use super::model::Model;
use super::reply::{Part, Reply};
use super::{Delivered, Told, deliver};
use crate::answer::{Answer, Event};
use crate::api::cache::Tokens;
use crate::wire::fields::Fields;

/// Answers a request.
pub(super) fn answer(
    call: &Call<'_>,
    body: &Value,
    model: &Model,
    delivered: Delivered,
) -> Result<Answer, Refusal> {
    let reply = Reply::of(call, body, model)?;
    let mut told = json!({
        "metrics": {"latencyMs": 7},
        "serviceTier": {"type": body["serviceTier"]["type"].as_str().unwrap_or("default")},
    });
    if let Some(tokens) = reply.tokens() {
        told["usage"] = usage(tokens);
    }
    let content = match delivered {
        Delivered::Whole => {
            told["output"] = json!({"message": reply.message()});
            told["stopReason"] = json!(reply.stop_reason());
            Told::Whole(reply.document(&told))
        }
        Delivered::Streamed => {
            let mut draws = reply.seed.draws("padding");
            let messages = reply.parts(told).into_iter().map(|mut part: Part| {
                part.payload["p"] = json!(padding(&mut draws));
                encode(part)
            });
            Told::Streamed(messages.collect())
        }
    };
    let figures = reply.figures.clone();
    Ok(deliver(reply.seed, Fields::new(), figures, content))
}

fn encode(part: Part) -> Event {
    let payload = part.payload.to_string();
    let message = Message::event(part.name, &payload).encode();
    part.event.reframed(|_empty| message)
}

/// Usage in Converse's names, with the second ones that cached counts were
/// seen to have besides the documented.
fn usage(tokens: Tokens) -> Value {
    let cache = tokens.cache;
    let lifetimes = [("1h", cache.written_1h), ("5m", cache.written_5m)];
    let details: Vec<Value> = lifetimes
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}))
        .collect();
    let mut usage = json!({
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": tokens.total(),
        "cacheReadInputTokens": cache.read,
        "cacheReadInputTokenCount": cache.read,
        "cacheWriteInputTokens": cache.written(),
        "cacheWriteInputTokenCount": cache.written(),
        "serverToolUsage": {},
    });
    if !details.is_empty() {
        usage["cacheDetails"] = Value::Array(details);
    }
    usage
}
