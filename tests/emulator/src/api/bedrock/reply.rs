//! What a model says to messages in Amazon's form, which Converse and the Nova
//! models have in common: one message, or the parts that add up to it.

use serde_json::{Value, json};

use super::super::prompt::Prompt;
use super::super::tools::{self, ToolCall};
use super::super::turn::{Reasoning, Said, Stop, Turn};
use super::super::{Call, Refusal, optional_count};
use super::model::Model;
use crate::answer::{Event, Figures};
use crate::api::cache::{CacheUse, Tokens};
use crate::ledger::UsageTold;
use crate::seed::{ALPHANUMERIC, Seed};

/// A reply to messages.
pub(super) struct Reply {
    pub(super) seed: Seed,
    turn: Turn,
    uncached_tokens: u32,
    cache: CacheUse,
    is_withheld: bool,
    /// Of the input; the rest is for the carrier to fill in.
    pub(super) figures: Figures,
}

/// A named part of a streamed reply.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) payload: Value,
    /// What it carries; without bytes.
    pub(super) event: Event,
}

impl Reply {
    /// The reply of `model` to a request.
    pub(super) fn of(call: &Call<'_>, body: &Value, model: &Model) -> Result<Self, Refusal> {
        if body["messages"].as_array().is_none_or(Vec::is_empty) {
            let message = "The messages field is required and must not be empty.";
            return Err(Refusal::invalid(message, Some("messages")));
        }
        let budget = optional_count(&body["inferenceConfig"], "maxTokens")?;
        let thinking = &body["additionalModelRequestFields"]["thinking"]["type"];
        let reasoning = match thinking.as_str() {
            None | Some("disabled") => Reasoning::Off,
            Some(_) => Reasoning::On,
        };
        let seed = call.seed(body);
        let prompt = Prompt::of_converse(body);
        let tool = tool_call(body, prompt.question.as_deref(), seed);
        let turn = Turn::new(seed, 0, call.controls, budget, reasoning, tool);
        let cache = call.memory.cache.with_breakpoints(model.id(), &prompt);
        Ok(Self {
            seed,
            turn,
            uncached_tokens: prompt.tokens() - cache.read - cache.written(),
            cache,
            is_withheld: call.withholds_usage(),
            figures: Figures {
                model: Some(model.id().to_owned()),
                input_tokens: prompt.tokens(),
                cache_read_tokens: cache.read,
                cache_write_tokens: cache.written(),
                ..Figures::default()
            },
        })
    }

    /// What is told of the tokens, unless that is to be held back.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        (!self.is_withheld).then(|| Tokens {
            input: self.uncached_tokens,
            output: self.turn.tokens(),
            cache: self.cache,
        })
    }

    pub(super) fn stop_reason(&self) -> &'static str {
        match self.turn.stop {
            Stop::Natural => "end_turn",
            Stop::Budget => "max_tokens",
            Stop::Tool => "tool_use",
        }
    }

    /// The message as a whole.
    pub(super) fn message(&self) -> Value {
        let mut content = Vec::new();
        if self.turn.reasoning.tokens() > 0 {
            let text = self.turn.reasoning.text();
            let reasoning = json!({"text": text, "signature": self.signature()});
            content.push(json!({"reasoningContent": {"reasoningText": reasoning}}));
        }
        match &self.turn.said {
            Said::Text(text) => content.push(json!({"text": text.text()})),
            Said::Call(call) => {
                let input: Value = serde_json::from_str(&call.arguments)
                    .expect("the arguments were written as JSON");
                let used = json!({"toolUseId": self.tool_id(), "name": call.name, "input": input});
                content.push(json!({"toolUse": used}));
            }
        }
        json!({"role": "assistant", "content": content})
    }

    /// A document with all of the reply in it.
    pub(super) fn document(&self, document: &Value) -> Event {
        let thought = self.turn.reasoning.tokens();
        Event::bare(document.to_string())
            .reasoned(thought)
            .carrying(self.turn.tokens() - thought)
            .telling(self.told())
    }

    /// The parts of the message, and `usage` as the last of them.
    pub(super) fn parts(&self, usage: Value) -> Vec<Part> {
        let mut parts = vec![Part::of("messageStart", json!({"role": "assistant"}))];
        let mut index = 0;
        if self.turn.reasoning.tokens() > 0 {
            for piece in self.turn.reasoning.pieces() {
                let delta = json!({"reasoningContent": {"text": piece.text}});
                parts.push(Part::delta(index, delta).reasoned(piece.tokens));
            }
            let delta = json!({"reasoningContent": {"signature": self.signature()}});
            parts.push(Part::delta(index, delta));
            parts.push(Part::stop(index));
            index += 1;
        }
        match &self.turn.said {
            Said::Text(text) => {
                for piece in text.pieces() {
                    let delta = json!({"text": piece.text});
                    parts.push(Part::delta(index, delta).carrying(piece.tokens));
                }
            }
            Said::Call(call) => {
                let used = json!({"toolUseId": self.tool_id(), "name": call.name});
                let start = json!({"contentBlockIndex": index, "start": {"toolUse": used}});
                let start = Part::of("contentBlockStart", start);
                parts.push(start.carrying(call.name_tokens()));
                for fragment in call.fragments() {
                    let delta = json!({"toolUse": {"input": fragment.text}});
                    parts.push(Part::delta(index, delta).carrying(fragment.tokens));
                }
            }
        }
        parts.push(Part::stop(index));
        let stop = json!({"stopReason": self.stop_reason()});
        parts.push(Part::of("messageStop", stop));
        let mut last = Part::of("metadata", usage);
        last.event = last.event.telling(self.told());
        parts.push(last);
        parts
    }

    fn told(&self) -> UsageTold {
        if self.is_withheld {
            UsageTold::No
        } else {
            UsageTold::Complete
        }
    }

    fn tool_id(&self) -> String {
        self.seed.id("tooluse_", ALPHANUMERIC, 22)
    }

    fn signature(&self) -> String {
        self.seed.id("Er", ALPHANUMERIC, 86)
    }
}

impl Part {
    fn of(name: &'static str, payload: Value) -> Self {
        Self {
            name,
            payload,
            event: Event::bare(""),
        }
    }

    fn delta(index: u32, delta: Value) -> Self {
        let payload = json!({"contentBlockIndex": index, "delta": delta});
        Self::of("contentBlockDelta", payload)
    }

    fn stop(index: u32) -> Self {
        Self::of("contentBlockStop", json!({"contentBlockIndex": index}))
    }

    fn carrying(mut self, tokens: u32) -> Self {
        self.event = self.event.carrying(tokens);
        self
    }

    fn reasoned(mut self, tokens: u32) -> Self {
        self.event = self.event.reasoned(tokens);
        self
    }
}

/// The call of a tool, whose definitions are brought into the form of the others.
fn tool_call(body: &Value, question: Option<&str>, seed: Seed) -> Option<ToolCall> {
    let config = &body["toolConfig"];
    let tools: Vec<Value> = config["tools"]
        .as_array()?
        .iter()
        .filter_map(|tool| tool.get("toolSpec"))
        .map(|tool| json!({"name": tool["name"], "input_schema": tool["inputSchema"]["json"]}))
        .collect();
    let choice = &config["toolChoice"];
    let choice = if choice.get("any").is_some() {
        json!({"type": "any"})
    } else {
        json!({"type": "auto", "name": choice["tool"]["name"]})
    };
    let request = json!({"tools": tools, "tool_choice": choice});
    tools::call_for(&request, question, seed)
}
