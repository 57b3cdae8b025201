//! Cohere: `POST /v2/chat`, `/v2/embed` and `/v2/rerank`
//!
//! Usage is told twice, with a fraction: as what is billed, and as what the model
//! was shown, which is more. The ledger has what is billed.

use http::StatusCode;
use serde_json::{Value, json};

use super::embeddings::{self, inputs, tokens_of, vector};
use super::prompt::Prompt;
use super::tools;
use super::turn::{Reasoning, Said, Stop, Turn};
use super::{Call, Provider, Refusal, optional_count, required_text};
use crate::answer::{self, Answer, Event, Figures};
use crate::ledger::UsageTold;
use crate::seed::{ALPHANUMERIC, HEX, Seed};

/// What the model is shown besides the prompt, in tokens.
const PREAMBLE_TOKENS: u32 = 68;

/// Answers a chat.
pub(super) fn chat(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        let message = "invalid request: messages must be at least 1 items long.";
        return Err(Refusal::invalid(message, None));
    }
    let budget = optional_count(body, "max_tokens")?;
    let seed = call.seed(body);
    let prompt = Prompt::of_chat(body);
    let tool = tools::call_for(body, prompt.question.as_deref(), seed);
    let turn = Turn::new(seed, 0, call.controls, budget, Reasoning::Off, tool);
    let telling = Telling {
        id: id(seed),
        seed,
        turn: &turn,
        usage: (!call.withholds_usage()).then(|| usage(prompt.tokens(), turn.tokens())),
    };
    let stream = call.is_streamed(body);
    let figures = Figures {
        response_id: Some(telling.id.clone()),
        model: Some(model.to_owned()),
        stream,
        input_tokens: prompt.tokens(),
        ..Figures::default()
    };
    let fields = Provider::Cohere.fields(seed);
    let answer = if stream {
        let failure = event(&json!({
            "type": "message-end",
            "delta": {"finish_reason": "ERROR", "error": "internal server error"},
        }));
        Answer::stream(fields, telling.events(), failure)
    } else {
        Answer::of_part(StatusCode::OK, fields, telling.document())
    };
    Ok(answer.with_figures(figures))
}

/// Answers with vectors.
pub(super) fn embed(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    let texts = inputs(&body["texts"]);
    if texts.is_empty() {
        let message = "invalid request: at least one of texts, images or inputs is required";
        return Err(Refusal::invalid(message, None));
    }
    let dimensions = optional_count(body, "output_dimension")?;
    let vectors: Vec<_> = texts.iter().map(|text| vector(text, dimensions)).collect();
    let counted = texts.iter().map(|text| tokens_of(text)).sum();
    let seed = call.seed(body);
    let mut meta = json!({"api_version": {"version": "2"}});
    if !call.withholds_usage() {
        meta["billed_units"] = json!({"input_tokens": f64::from(counted)});
    }
    let document = json!({
        "id": id(seed),
        "response_type": "embeddings_by_type",
        "embeddings": {"float": vectors},
        "texts": texts,
        "meta": meta,
    });
    let figures = embeddings::figures(model, Some(id(seed)), counted);
    let fields = Provider::Cohere.fields(seed);
    Ok(embeddings::embedded(call, fields, &document, figures))
}

/// Answers with an order of documents, for which a search is billed.
pub(super) fn rerank(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    required_text(body, "query")?;
    let documents = inputs(&body["documents"]);
    let seed = call.seed(body);
    let mut draws = seed.draws("relevance");
    let mut results: Vec<(usize, f64)> = (0..documents.len())
        .map(|index| (index, f64::from(draws.between(0, 1024)) / 1024.0))
        .collect();
    results.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let top = optional_count(body, "top_n")?.map_or(results.len(), |top| top as usize);
    results.truncate(top);
    let results: Vec<Value> = results
        .into_iter()
        .map(|(index, relevance)| json!({"index": index, "relevance_score": relevance}))
        .collect();
    let mut meta = json!({"api_version": {"version": "2"}});
    if !call.withholds_usage() {
        meta["billed_units"] = json!({"search_units": 1.0});
    }
    let document = json!({"id": id(seed), "results": results, "meta": meta});
    let figures = embeddings::figures(model, Some(id(seed)), 0);
    let fields = Provider::Cohere.fields(seed);
    Ok(embeddings::embedded(call, fields, &document, figures))
}

/// The id of an answer, a UUID.
fn id(seed: Seed) -> String {
    let hex = seed.id("", HEX, 32);
    [0..8, 8..12, 12..16, 16..20, 20..32]
        .map(|part| &hex[part])
        .join("-")
}

fn usage(input: u32, output: u32) -> Value {
    let (input, output) = (f64::from(input), f64::from(output));
    json!({
        "billed_units": {"input_tokens": input, "output_tokens": output},
        "tokens": {"input_tokens": input + f64::from(PREAMBLE_TOKENS), "output_tokens": output},
        "cached_tokens": 0.0,
    })
}

/// A server-sent event with its name, which is its type.
fn event(payload: &Value) -> Event {
    Event::named(payload["type"].as_str().unwrap_or_default(), payload)
}

/// What one answer is told with.
struct Telling<'request> {
    id: String,
    seed: Seed,
    turn: &'request Turn,
    /// Unless it is held back.
    usage: Option<Value>,
}

impl Telling<'_> {
    fn told(&self) -> UsageTold {
        if self.usage.is_some() {
            UsageTold::Complete
        } else {
            UsageTold::No
        }
    }

    fn call_id(&self, name: &str) -> String {
        self.seed.id(&format!("{name}_"), ALPHANUMERIC, 12)
    }

    /// The answer as one document.
    fn document(&self) -> Event {
        let message = match &self.turn.said {
            Said::Text(text) => json!({
                "role": "assistant", "content": [{"type": "text", "text": text.text()}],
            }),
            Said::Call(call) => json!({
                "role": "assistant",
                "tool_calls": [{
                    "id": self.call_id(&call.name),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }],
            }),
        };
        let mut document = json!({
            "id": self.id, "finish_reason": finish_reason(self.turn.stop), "message": message,
        });
        if let Some(usage) = &self.usage {
            document["usage"] = usage.clone();
        }
        Event::bare(answer::json(&document))
            .carrying(self.turn.tokens())
            .telling(self.told())
    }

    /// The answer as a stream.
    fn events(&self) -> Vec<Event> {
        let mut events = vec![event(&json!({
            "type": "message-start", "id": self.id, "delta": {"message": {"role": "assistant",
                "content": [], "tool_plan": "", "tool_calls": [], "citations": []}},
        }))];
        let at = |kind: &str, message: Value| {
            event(&json!({"type": kind, "index": 0, "delta": {"message": message}}))
        };
        match &self.turn.said {
            Said::Text(text) => {
                let begun = json!({"content": {"type": "text", "text": ""}});
                events.push(at("content-start", begun));
                events.extend(text.pieces().iter().map(|piece| {
                    at("content-delta", json!({"content": {"text": piece.text}}))
                        .carrying(piece.tokens)
                }));
                events.push(event(&json!({"type": "content-end", "index": 0})));
            }
            Said::Call(call) => {
                let begun = json!({"tool_calls": {
                    "id": self.call_id(&call.name),
                    "type": "function",
                    "function": {"name": call.name, "arguments": ""},
                }});
                events.push(at("tool-call-start", begun).carrying(call.name_tokens()));
                events.extend(call.fragments().into_iter().map(|part| {
                    let function = json!({"function": {"arguments": part.text}});
                    at("tool-call-delta", json!({"tool_calls": function})).carrying(part.tokens)
                }));
                events.push(event(&json!({"type": "tool-call-end", "index": 0})));
            }
        }
        let mut delta = json!({"finish_reason": finish_reason(self.turn.stop)});
        if let Some(usage) = &self.usage {
            delta["usage"] = usage.clone();
        }
        let last = event(&json!({"type": "message-end", "delta": delta}));
        events.push(last.telling(self.told()));
        events.push(Event::bare("data: [DONE]\n\n"));
        events
    }
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Natural => "COMPLETE",
        Stop::Budget => "MAX_TOKENS",
        Stop::Tool => "TOOL_CALL",
    }
}
