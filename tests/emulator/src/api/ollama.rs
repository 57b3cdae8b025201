//! Ollama: `POST /api/chat`, `/api/generate` and `/api/embed`
//!
//! An answer is a document a line unless the request says otherwise. Counts that
//! are zero are left out.

use http::StatusCode;
use serde_json::{Value, json};

use super::embeddings::{self, inputs, tokens_of, vector};
use super::prompt::Prompt;
use super::tools;
use super::turn::{Reasoning, Said, Stop, Turn};
use super::{Call, Provider, Refusal, optional_count, required_text};
use crate::answer::{Answer, Event, Figures, json};
use crate::ledger::UsageTold;
use crate::seed::Seed;

/// Whether what is asked on a path is answered in lines.
pub(super) fn is_streamed(path: &str, body: &Value) -> bool {
    matches!(path, "/api/chat" | "/api/generate") && body["stream"] != false
}

/// In which member an answer has its text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surface {
    Chat,
    Generate,
}

/// Answers a chat.
pub(super) fn chat(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    answer(call, body, Surface::Chat, &Prompt::of_chat(body))
}

/// Completes a prompt.
pub(super) fn generate(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let asked = json!([body["system"], body["prompt"]]);
    answer(call, body, Surface::Generate, &Prompt::of_input(&asked))
}

/// Answers with vectors.
pub(super) fn embed(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    let texts = inputs(&body["input"]);
    let dimensions = optional_count(body, "dimensions")?;
    let vectors: Vec<_> = texts.iter().map(|text| vector(text, dimensions)).collect();
    let counted = texts.iter().map(|text| tokens_of(text)).sum();
    let mut document = json!({
        "model": model, "embeddings": vectors, "total_duration": 14_143_917, "load_duration": 1_019_500,
    });
    if !call.withholds_usage() && counted > 0 {
        document["prompt_eval_count"] = json!(counted);
    }
    let fields = Provider::Ollama.fields(call.seed(body));
    let figures = embeddings::figures(model, None, counted);
    Ok(embeddings::embedded(call, fields, &document, figures))
}

fn answer(
    call: &Call<'_>,
    body: &Value,
    surface: Surface,
    prompt: &Prompt,
) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    let budget = optional_count(&body["options"], "num_predict")?;
    let seed = call.seed(body);
    let tool = tools::call_for(body, prompt.question.as_deref(), seed);
    let turn = Turn::new(seed, 0, call.controls, budget, Reasoning::Off, tool);
    let telling = Telling {
        surface,
        model,
        seed,
        turn: &turn,
        prompt_tokens: prompt.tokens(),
        withheld: call.withholds_usage(),
    };
    let stream = call.is_streamed(body);
    let figures = Figures {
        model: Some(model.to_owned()),
        stream,
        input_tokens: prompt.tokens(),
        ..Figures::default()
    };
    let fields = Provider::Ollama.fields(seed);
    let answer = if stream {
        let failure =
            Event::line(&json!({"error": "an error was encountered while running the model"}));
        Answer::parts("application/x-ndjson", fields, telling.lines(), failure)
    } else {
        let whole = telling.last(&telling.whole());
        let document = Event::bare(json(&whole)).carrying(turn.tokens());
        Answer::of_part(StatusCode::OK, fields, document.telling(telling.told()))
    };
    Ok(answer.with_figures(figures))
}

/// What one answer is told with.
struct Telling<'request> {
    surface: Surface,
    model: &'request str,
    seed: Seed,
    turn: &'request Turn,
    prompt_tokens: u32,
    withheld: bool,
}

impl Telling<'_> {
    fn told(&self) -> UsageTold {
        if self.withheld {
            UsageTold::No
        } else {
            UsageTold::Complete
        }
    }

    /// A document that says `said`, a text or calls of tools.
    fn document(&self, said: &Value) -> Value {
        let created = self.seed.draws("created").between(1, 28);
        let mut document = json!({
            "model": self.model,
            "created_at": format!("2026-02-{created:02}T08:52:34.461602Z"),
            "done": false,
        });
        let text = said.as_str().unwrap_or_default();
        if self.surface == Surface::Generate {
            document["response"] = json!(text);
            return document;
        }
        document["message"] = json!({"role": "assistant", "content": text});
        if said.is_array() {
            document["message"]["tool_calls"] = said.clone();
        }
        document
    }

    /// All that is said.
    fn whole(&self) -> Value {
        match &self.turn.said {
            Said::Text(text) => json!(text.text()),
            Said::Call(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments)
                    .expect("the arguments were written as JSON");
                let function = json!({"index": 0, "name": call.name, "arguments": arguments});
                json!([{"function": function}])
            }
        }
    }

    /// The last document, which tells how it went.
    fn last(&self, said: &Value) -> Value {
        let mut document = self.document(said);
        document["done"] = json!(true);
        document["done_reason"] = json!(done_reason(self.turn.stop));
        if self.surface == Surface::Generate {
            document["context"] = json!([1, 2, 3]);
        }
        for (name, nanoseconds) in [
            ("total_duration", 4_883_583_458_u64),
            ("load_duration", 1_334_875),
            ("prompt_eval_duration", 26_546_000),
            ("eval_duration", 4_535_599_000),
        ] {
            document[name] = json!(nanoseconds);
        }
        let counts = [
            ("prompt_eval_count", self.prompt_tokens),
            ("eval_count", self.turn.tokens()),
        ];
        for (name, count) in counts {
            if count > 0 && !self.withheld {
                document[name] = json!(count);
            }
        }
        document
    }

    /// The answer in lines.
    fn lines(&self) -> Vec<Event> {
        let mut lines: Vec<Event> = match &self.turn.said {
            Said::Text(text) => text
                .pieces()
                .iter()
                .map(|piece| Event::line(&self.document(&json!(piece.text))).carrying(piece.tokens))
                .collect(),
            Said::Call(call) => {
                vec![Event::line(&self.document(&self.whole())).carrying(call.tokens())]
            }
        };
        lines.push(Event::line(&self.last(&json!(""))).telling(self.told()));
        lines
    }
}

fn done_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Budget => "length",
        Stop::Natural | Stop::Tool => "stop",
    }
}
