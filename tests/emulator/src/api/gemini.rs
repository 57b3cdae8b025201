//! Google's Gemini: `POST /{version}/models/{model}:{method}`
//!
//! A stream is of server-sent events if the query says `alt=sse`, and otherwise
//! one JSON array that is written as it grows. Every part of it tells usage so far.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::embeddings::{self, vector};
use super::prompt::Prompt;
use super::tools;
use super::turn::{Reasoning, Said, Stop, Turn};
use super::{Call, Provider, Refusal, optional_count};
use crate::answer::{self, Answer, Event, Figures};
use crate::ledger::{Api, UsageTold};
use crate::seed::{ALPHANUMERIC, Seed};

/// The surface of a path, if it is one of these.
pub(super) fn surface(path: &str) -> Option<Api> {
    match path.rsplit_once(':')?.1 {
        "generateContent" | "streamGenerateContent" => Some(Api::GeminiGenerate),
        "embedContent" | "batchEmbedContents" => Some(Api::GeminiEmbed),
        "countTokens" => Some(Api::GeminiCountTokens),
        _ => None,
    }
}

/// Whether a path asks for a stream.
pub(super) fn is_streamed(path: &str) -> bool {
    path.ends_with(":streamGenerateContent")
}

/// The model in a path.
fn model<'a>(call: &Call<'a>) -> &'a str {
    let last = call.request.path().rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

/// Answers `generateContent` and `streamGenerateContent`.
pub(super) fn generate(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = model(call);
    require_contents(body)?;
    let config = &body["generationConfig"];
    let budget = optional_count(config, "maxOutputTokens")?;
    let thinking = &config["thinkingConfig"];
    let reasoning = if thinking.is_object() && thinking["thinkingBudget"] != 0 {
        Reasoning::On
    } else {
        Reasoning::Off
    };
    let seed = call.seed(body);
    let prompt = Prompt::of_contents(body);
    let tool = tools::call_for(&declarations(body), prompt.question.as_deref(), seed);
    let turn = Turn::new(seed, 0, call.controls, budget, reasoning, tool);
    let telling = Telling {
        model,
        id: seed.id("", ALPHANUMERIC, 22),
        seed,
        prompt_tokens: prompt.tokens(),
        turn: &turn,
        shows_thoughts: thinking["includeThoughts"] == true,
        withheld: call.withholds_usage(),
    };
    let stream = call.is_streamed(body);
    let figures = Figures {
        response_id: Some(telling.id.clone()),
        model: Some(model.to_owned()),
        stream,
        input_tokens: prompt.tokens(),
        ..Figures::default()
    };
    let fields = Provider::Google.fields(seed);
    let failure = json!({"error": {
        "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE",
    }});
    let answer = if !stream {
        Answer::of_part(StatusCode::OK, fields, telling.document())
    } else if call.request.query("alt") == Some("sse") {
        let events = telling.parts().into_iter().map(|part| {
            let text = format!("data: {}\r\n\r\n", text(&part));
            with_bytes(part, text)
        });
        Answer::stream(fields, events.collect(), Event::data(&failure))
    } else {
        let failure = Event::bare(format!(",\r\n{failure}]"));
        let json = "application/json; charset=UTF-8";
        Answer::parts(json, fields, array(telling.parts()), failure)
    };
    Ok(answer.with_figures(figures))
}

/// Answers `embedContent` and `batchEmbedContents`.
pub(super) fn embed(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let vector_of = |asked: &Value| {
        let dimensions = optional_count(asked, "outputDimensionality")?;
        Ok(json!({"values": vector(&asked["content"], dimensions)}))
    };
    let tokens_of = |asked: &Value| Prompt::of_input(&asked["content"]["parts"]).tokens();
    let (mut document, counted) = match body["requests"].as_array() {
        Some(batch) => {
            let vectors: Vec<Value> = batch
                .iter()
                .map(vector_of)
                .collect::<Result<_, Refusal>>()?;
            let counted = batch.iter().map(tokens_of).sum();
            (json!({"embeddings": vectors}), counted)
        }
        None => (json!({"embedding": vector_of(body)?}), tokens_of(body)),
    };
    if !call.withholds_usage() {
        document["usageMetadata"] = json!({
            "promptTokenCount": counted,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counted}],
        });
    }
    let fields = Provider::Google.fields(call.seed(body));
    let figures = embeddings::figures(model(call), None, counted);
    Ok(embeddings::embedded(call, fields, &document, figures))
}

/// Answers `countTokens`.
pub(super) fn count_tokens(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    require_contents(body)?;
    let tokens = Prompt::of_contents(body).tokens();
    let document = json!({
        "totalTokens": tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}],
    });
    let fields = Provider::Google.fields(call.seed(body));
    let figures = embeddings::figures(model(call), None, tokens);
    Ok(Answer::json(StatusCode::OK, fields, document.to_string()).with_figures(figures))
}

fn require_contents(body: &Value) -> Result<(), Refusal> {
    if body["contents"].as_array().is_none_or(Vec::is_empty) {
        let message = "* GenerateContentRequest.contents: contents is not specified\n";
        return Err(Refusal::invalid(message, None));
    }
    Ok(())
}

/// The tools of a request, and what is said of their use, as others have them.
fn declarations(body: &Value) -> Value {
    let tools = body["tools"].as_array().into_iter().flatten();
    let functions: Vec<Value> = tools
        .filter_map(|tool| tool["functionDeclarations"].as_array())
        .flatten()
        .map(|function| {
            let schema = function.get("parameters");
            let schema = schema.or_else(|| function.get("parametersJsonSchema"));
            json!({"name": function["name"], "parameters": schema})
        })
        .collect();
    let mode = &body["toolConfig"]["functionCallingConfig"]["mode"];
    json!({"tools": functions, "tool_choice": mode})
}

/// What one answer is told with.
struct Telling<'request> {
    model: &'request str,
    id: String,
    seed: Seed,
    prompt_tokens: u32,
    turn: &'request Turn,
    shows_thoughts: bool,
    withheld: bool,
}

/// A part of an answer: what it shows, and what it stands for.
#[derive(Default)]
struct Part {
    shown: Vec<Value>,
    tokens: u32,
    thoughts: u32,
}

impl Telling<'_> {
    /// The answer as one document.
    fn document(&self) -> Event {
        let mut whole = Part::default();
        let mut text = String::new();
        for part in self.said() {
            whole.tokens += part.tokens;
            whole.thoughts += part.thoughts;
            for shown in part.shown {
                match shown["text"].as_str() {
                    // Pieces of a text are one part here.
                    Some(piece) if shown["thought"].is_null() => text.push_str(piece),
                    _ => whole.shown.push(shown),
                }
            }
        }
        if !text.is_empty() {
            whole.shown.push(json!({"text": text}));
        }
        let (tokens, thoughts) = (whole.tokens, whole.thoughts);
        self.event(whole, tokens, thoughts, true)
    }

    /// The answer in parts, each a document that tells what was used so far.
    fn parts(&self) -> Vec<Event> {
        let mut said = self.said();
        if said.is_empty() {
            said.push(Part::default());
        }
        let last = said.len() - 1;
        let (mut tokens, mut thoughts) = (0, 0);
        said.into_iter()
            .enumerate()
            .map(|(index, part)| {
                tokens += part.tokens;
                thoughts += part.thoughts;
                self.event(part, tokens, thoughts, index == last)
            })
            .collect()
    }

    /// What is said, in the pieces of a stream.
    fn said(&self) -> Vec<Part> {
        let reasoning = &self.turn.reasoning;
        let mut parts = Vec::new();
        if reasoning.tokens() > 0 {
            let shown = json!({"text": reasoning.text(), "thought": true});
            parts.push(Part {
                shown: self.shows_thoughts.then_some(shown).into_iter().collect(),
                thoughts: reasoning.tokens(),
                ..Part::default()
            });
        }
        match &self.turn.said {
            Said::Text(text) => parts.extend(text.pieces().iter().map(|piece| Part {
                shown: vec![json!({"text": piece.text})],
                tokens: piece.tokens,
                ..Part::default()
            })),
            Said::Call(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments)
                    .expect("the arguments were written as JSON");
                let id = self.seed.id("call_", ALPHANUMERIC, 8);
                let function = json!({"id": id, "name": call.name, "args": arguments});
                parts.push(Part {
                    shown: vec![json!({"functionCall": function})],
                    tokens: call.tokens(),
                    ..Part::default()
                });
            }
        }
        parts
    }

    /// One part as a document; `tokens` and `thoughts` are those so far.
    fn event(&self, part: Part, tokens: u32, thoughts: u32, is_last: bool) -> Event {
        let mut candidate = json!({"content": {"parts": part.shown, "role": "model"}, "index": 0});
        if is_last {
            candidate["finishReason"] = json!(finish_reason(self.turn.stop));
        }
        let mut document = json!({
            "candidates": [candidate], "modelVersion": self.model, "responseId": self.id,
        });
        if !self.withheld {
            document["usageMetadata"] = self.usage(tokens, thoughts);
        }
        let told = if is_last && !self.withheld {
            UsageTold::Complete
        } else {
            UsageTold::No
        };
        Event::bare(document.to_string())
            .carrying(part.tokens)
            .reasoned(part.thoughts)
            .telling(told)
    }

    /// Figures that are zero are left out.
    fn usage(&self, tokens: u32, thoughts: u32) -> Value {
        let mut usage = Map::new();
        let counts = [
            ("promptTokenCount", self.prompt_tokens),
            ("candidatesTokenCount", tokens),
            ("thoughtsTokenCount", thoughts),
            ("totalTokenCount", self.prompt_tokens + tokens + thoughts),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            usage.insert(name.to_owned(), json!(count));
        }
        let details = json!([{"modality": "TEXT", "tokenCount": self.prompt_tokens}]);
        usage.insert("promptTokensDetails".to_owned(), details);
        usage.into()
    }
}

/// Parts as elements of an array that grows.
fn array(parts: Vec<Event>) -> Vec<Event> {
    let mut events: Vec<Event> = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let before = if index == 0 { "[" } else { ",\r\n" };
            let text = format!("{before}{}", text(&part));
            with_bytes(part, text)
        })
        .collect();
    events.push(Event::bare("]\n"));
    events
}

fn text(part: &Event) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&part.bytes)
}

fn with_bytes(part: Event, bytes: String) -> Event {
    answer::Event {
        bytes: bytes.into(),
        ..part
    }
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Budget => "MAX_TOKENS",
        Stop::Natural | Stop::Tool => "STOP",
    }
}
