//! `POST /model/{id}/invoke` and `/invoke-with-response-stream`: a model in the
//! format of its family.
//!
//! The family is told by the body, as the path may name a profile of one's own.
//! What Bedrock adds is the same for all: counts in the head of an answer, and
//! in a stream a wrapping in base64, with metrics in the last chunk.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::{Call, Refusal};
use super::message::{Message, padding};
use super::model::Model;
use super::{Delivered, Told, claude, deliver, embedding, llama, nova};
use crate::answer::{Answer, Event, Figures};
use crate::api::cache::Tokens;
use crate::seed::{Draws, Seed};
use crate::wire::fields::Fields;

/// An answer in a family's format.
pub(super) struct Native {
    pub(super) seed: Seed,
    pub(super) figures: Figures,
    /// What Bedrock tells beside the model; nothing if that is to be held back.
    pub(super) tokens: Option<Tokens>,
    pub(super) content: Content,
}

/// In the family's JSON.
pub(super) enum Content {
    Whole(Event),
    Chunks(Vec<Event>),
}

/// Answers a request.
pub(super) fn answer(
    call: &Call<'_>,
    body: &Value,
    model: &Model,
    delivered: Delivered,
) -> Result<Answer, Refusal> {
    let native = if body.get("anthropic_version").is_some() {
        claude::answer(call, body, model, delivered)
    } else if body.get("inputText").is_some() {
        embedding::answer(call, body, delivered)
    } else if body.get("prompt").is_some() {
        llama::answer(call, body, delivered)
    } else {
        nova::answer(call, body, model, delivered)
    }?;
    let tier = call.request.header("x-amzn-bedrock-service-tier");
    let mut fields = Fields::new().with("X-Amzn-Bedrock-Service-Tier", tier.unwrap_or("default"));
    let content = match native.content {
        Content::Whole(document) => {
            fields.extend(counts(native.tokens));
            Told::Whole(document)
        }
        Content::Chunks(mut chunks) => {
            fields.push("X-Amzn-Bedrock-Content-Type", "application/json");
            if let (Some(tokens), Some(last)) = (native.tokens, chunks.pop()) {
                chunks.push(last.reframed(|json| with_metrics(json, tokens)));
            }
            let mut draws = native.seed.draws("padding");
            let chunks = chunks.into_iter();
            let chunks = chunks.map(|chunk| chunk.reframed(|json| wrapped(json, &mut draws)));
            Told::Streamed(chunks.collect())
        }
    };
    // Most bodies name no model.
    let named = native.figures.model.clone();
    let figures = Figures {
        model: named.or_else(|| Some(model.id().to_owned())),
        ..native.figures
    };
    Ok(deliver(native.seed, fields, figures, content))
}

/// What the head of an answer tells. No document of AWS names these fields, but
/// they are there.
fn counts(tokens: Option<Tokens>) -> Fields {
    let mut fields = Fields::new().with("X-Amzn-Bedrock-Invocation-Latency", "7");
    if let Some(tokens) = tokens {
        for (name, count) in [
            ("X-Amzn-Bedrock-Input-Token-Count", tokens.input),
            ("X-Amzn-Bedrock-Output-Token-Count", tokens.output),
        ] {
            fields.push(name, count.to_string());
        }
    }
    fields
}

/// A chunk's document with Bedrock's metrics in it.
fn with_metrics(json: &[u8], tokens: Tokens) -> Vec<u8> {
    let mut chunk: Value = serde_json::from_slice(json).expect("it was written as JSON");
    let mut metrics = json!({
        "inputTokenCount": tokens.input,
        "outputTokenCount": tokens.output,
        "invocationLatency": 7,
        "firstByteLatency": 3,
    });
    if tokens.cache.read + tokens.cache.written() > 0 {
        metrics["cacheReadInputTokenCount"] = json!(tokens.cache.read);
        metrics["cacheWriteInputTokenCount"] = json!(tokens.cache.written());
    }
    chunk["amazon-bedrock-invocationMetrics"] = metrics;
    chunk.to_string().into_bytes()
}

/// A chunk's document in a message.
fn wrapped(json: &[u8], draws: &mut Draws) -> Vec<u8> {
    let payload = json!({"bytes": STANDARD.encode(json), "p": padding(draws)}).to_string();
    Message::event("chunk", &payload).encode()
}
