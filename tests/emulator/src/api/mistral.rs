//! Mistral: `POST /v1/chat/completions` and `POST /v1/embeddings`
//!
//! Alike OpenAI's, but a stream tells usage with its last chunk, whether or not it
//! was asked; a request with a member that is not known is refused.

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

/// Answers a chat.
pub(super) fn chat(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    if !body["stream_options"].is_null() {
        let message = "Extra inputs are not permitted: stream_options";
        return Err(Refusal::invalid(message, None).with_status(StatusCode::UNPROCESSABLE_ENTITY));
    }
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        let message = "Input should have at least 1 item: messages";
        return Err(Refusal::invalid(message, None));
    }
    let budget = optional_count(body, "max_tokens")?;
    let seed = call.seed(body);
    let prompt = Prompt::of_chat(body);
    let tool = tools::call_for(body, prompt.question.as_deref(), seed);
    let turn = Turn::new(seed, 0, call.controls, budget, Reasoning::Off, tool);
    let telling = Telling {
        id: seed.id("", HEX, 32),
        model,
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
    let fields = Provider::Mistral.fields(seed);
    let answer = if stream {
        let failure = Event::data(&json!({"error": {
            "object": "error", "message": "Service unavailable.", "type": "unreachable_backend",
        }}));
        Answer::stream(fields, telling.events(), failure)
    } else {
        Answer::of_part(StatusCode::OK, fields, telling.document())
    };
    Ok(answer.with_figures(figures))
}

/// Answers with vectors.
pub(super) fn embed(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    let texts = inputs(&body["input"]);
    let dimensions = optional_count(body, "output_dimension")?;
    let data: Vec<Value> = texts
        .iter()
        .zip(0..)
        .map(|(text, index)| {
            let vector = vector(text, dimensions);
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    let counted = texts.iter().map(|text| tokens_of(text)).sum();
    let seed = call.seed(body);
    let id = seed.id("", HEX, 32);
    let mut document = json!({"id": id, "object": "list", "data": data, "model": model});
    if !call.withholds_usage() {
        document["usage"] = usage(counted, 0);
    }
    let figures = embeddings::figures(model, Some(id), counted);
    let fields = Provider::Mistral.fields(seed);
    Ok(embeddings::embedded(call, fields, &document, figures))
}

fn usage(input: u32, output: u32) -> Value {
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}

/// What one answer is told with.
struct Telling<'request> {
    id: String,
    model: &'request str,
    seed: Seed,
    turn: &'request Turn,
    /// Unless it is held back.
    usage: Option<Value>,
}

impl Telling<'_> {
    /// A document with usage, if there is any to tell.
    fn part(&self, mut document: Value, write: fn(&Value) -> Event) -> Event {
        match &self.usage {
            None => write(&document),
            Some(usage) => {
                document["usage"] = usage.clone();
                write(&document).telling(UsageTold::Complete)
            }
        }
    }

    fn head(&self, object: &str, choice: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.seed.created(),
            "model": self.model,
            "choices": [choice],
        })
    }

    fn tool_calls(&self) -> Value {
        match &self.turn.said {
            Said::Text(_) => Value::Null,
            Said::Call(call) => json!([{
                "id": self.seed.id("", ALPHANUMERIC, 9),
                "function": {"name": call.name, "arguments": call.arguments},
                "index": 0,
            }]),
        }
    }

    /// The answer as one document.
    fn document(&self) -> Event {
        let text = match &self.turn.said {
            Said::Text(text) => text.text(),
            Said::Call(_) => String::new(),
        };
        let choice = json!({
            "index": 0,
            "finish_reason": finish_reason(self.turn.stop),
            "message": {"role": "assistant", "content": text, "tool_calls": self.tool_calls()},
        });
        let document = self.head("chat.completion", choice);
        self.part(document, |document| Event::bare(answer::json(document)))
            .carrying(self.turn.tokens())
    }

    /// The answer as a stream.
    fn events(&self) -> Vec<Event> {
        let chunk = |delta: Value, reason: Option<&str>| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
            self.head("chat.completion.chunk", choice)
        };
        let begun = json!({"role": "assistant", "content": ""});
        let mut events = vec![Event::data(&chunk(begun, None))];
        let reason = Some(finish_reason(self.turn.stop));
        let last = match &self.turn.said {
            Said::Text(text) => {
                events.extend(text.pieces().iter().map(|piece| {
                    Event::data(&chunk(json!({"content": piece.text}), None)).carrying(piece.tokens)
                }));
                self.part(chunk(json!({"content": ""}), reason), Event::data)
            }
            Said::Call(call) => {
                let delta = json!({"content": "", "tool_calls": self.tool_calls()});
                self.part(chunk(delta, reason), Event::data)
                    .carrying(call.tokens())
            }
        };
        events.push(last);
        events.push(Event::bare("data: [DONE]\n\n"));
        events
    }
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Natural => "stop",
        Stop::Budget => "length",
        Stop::Tool => "tool_calls",
    }
}
