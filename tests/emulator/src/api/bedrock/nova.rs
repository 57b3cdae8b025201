//! Amazon's Nova models: messages as Converse has them, other names for what a
//! cache did.

use serde_json::{Map, Value, json};

use super::super::{Call, Refusal};
use super::Delivered;
use super::invoke::{Content, Native};
use super::model::Model;
use super::reply::{Part, Reply};
use crate::answer::Event;
use crate::api::cache::Tokens;

/// Answers a request.
pub(super) fn answer(
    call: &Call<'_>,
    body: &Value,
    model: &Model,
    delivered: Delivered,
) -> Result<Native, Refusal> {
    let reply = Reply::of(call, body, model)?;
    let mut told = Map::new();
    if let Some(tokens) = reply.tokens() {
        told.insert("usage".to_owned(), usage(tokens));
    }
    let content = match delivered {
        Delivered::Whole => {
            let mut document = Value::Object(told);
            document["output"] = json!({"message": reply.message()});
            document["stopReason"] = json!(reply.stop_reason());
            Content::Whole(reply.document(&document))
        }
        Delivered::Streamed => {
            told.insert("metrics".to_owned(), json!({}));
            told.insert("trace".to_owned(), json!({}));
            let parts = reply.parts(Value::Object(told));
            Content::Chunks(parts.into_iter().map(chunk).collect())
        }
    };
    Ok(Native {
        seed: reply.seed,
        figures: reply.figures.clone(),
        tokens: reply.tokens(),
        content,
    })
}

/// A part under its name.
fn chunk(part: Part) -> Event {
    let mut named = Map::new();
    named.insert(part.name.to_owned(), part.payload);
    let json = Value::Object(named).to_string();
    part.event.reframed(|_empty| json.into_bytes())
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": tokens.total(),
        "cacheReadInputTokenCount": tokens.cache.read,
        "cacheWriteInputTokenCount": tokens.cache.written(),
    })
}
