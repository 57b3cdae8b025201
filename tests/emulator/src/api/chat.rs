//! `POST /v1/chat/completions`
//!
//! A stream is the same bytes with and without `include_usage`, apart from
//! what that option adds: `"usage":null` in each chunk and one chunk more.

mod shape;

use http::StatusCode;
use serde_json::{Value, json};

use super::prompt::Prompt;
use super::tools;
use super::turn::{Reasoning, Said, Stop, Turn};
use super::{Call, Provider, Refusal, models, optional_count, required_text};
use crate::answer::{Answer, Event, Figures};
use crate::ledger::UsageTold;
use crate::seed::{ALPHANUMERIC, HEX, Seed};
use shape::{
    Chunk, ChunkChoice, CompletionDetails, Delta, Document, DocumentChoice, Function, Message,
    PromptDetails, ToolCallShape, Usage, UsageMember,
};

/// The most choices in one answer: OpenAI's own bound.
const CHOICES_MAX: u32 = 128;

/// The longest obfuscation, in characters.
const OBFUSCATION_MAX: u32 = 14;

/// Answers a request.
pub(super) fn answer(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = models::resolve(required_text(body, "model")?);
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return Err(Refusal::invalid(
            "Missing required parameter: 'messages'.",
            Some("messages"),
        ));
    }
    let choices = optional_count(body, "n")?.unwrap_or(1);
    if !(1..=CHOICES_MAX).contains(&choices) {
        return Err(Refusal::invalid("Invalid value for 'n'.", Some("n")));
    }
    let budget = match optional_count(body, "max_completion_tokens")? {
        None => optional_count(body, "max_tokens")?,
        budget => budget,
    };
    let reasoning = match body["reasoning_effort"].as_str() {
        None | Some("none") => Reasoning::Off,
        Some(_) => Reasoning::On,
    };

    let seed = call.seed(body);
    let prompt = Prompt::of_chat(body);
    let turns: Vec<Turn> = (0..choices)
        .map(|index| {
            let tool = tools::call_for(body, prompt.question.as_deref(), seed);
            Turn::new(seed, index, call.controls, budget, reasoning, tool)
        })
        .collect();
    let cached = call.memory.cache.automatic(model, &prompt);
    let identity = Identity {
        id: seed.id("chatcmpl-", ALPHANUMERIC, 29),
        created: seed.created(),
        model,
        service_tier: service_tier(body),
        system_fingerprint: seed.id("fp_", HEX, 10),
        seed,
    };
    let usage = usage(&prompt, cached, &turns);
    let stream = body["stream"] == true;
    let figures = Figures {
        response_id: Some(identity.id.clone()),
        model: Some(model.to_owned()),
        stream,
        input_tokens: usage.prompt_tokens,
        cache_read_tokens: cached,
        cache_write_tokens: 0,
    };
    let answer = if stream {
        let telling = Telling::of(call, body);
        let events = identity.events(&turns, usage, telling);
        let failure = Event::data(&json!({"error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": null,
            "code": null,
        }}));
        Answer::stream(Provider::OpenAi.fields(seed), events, failure)
    } else {
        let told = !call.withholds_usage();
        identity.document(&turns, told.then_some(usage))
    };
    Ok(answer.with_figures(figures))
}

/// How a stream is told.
#[derive(Debug, Clone, Copy)]
struct Telling {
    usage_asked: bool,
    usage_withheld: bool,
    obfuscated: bool,
}

impl Telling {
    fn of(call: &Call<'_>, body: &Value) -> Self {
        let options = &body["stream_options"];
        Self {
            usage_asked: options["include_usage"] == true,
            usage_withheld: call.withholds_usage(),
            obfuscated: options["include_obfuscation"] != false,
        }
    }
}

/// What every chunk of one answer repeats.
struct Identity<'request> {
    id: String,
    created: u64,
    model: &'request str,
    service_tier: &'request str,
    system_fingerprint: String,
    seed: Seed,
}

impl Identity<'_> {
    /// The answer as one document.
    fn document(&self, turns: &[Turn], usage: Option<Usage>) -> Answer {
        let choices = turns
            .iter()
            .zip(0..)
            .map(|(turn, index)| DocumentChoice {
                index,
                message: self.message(turn, index),
                logprobs: (),
                finish_reason: finish_reason(turn.stop),
            })
            .collect();
        let document = Document {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: self.model,
            choices,
            usage,
            service_tier: self.service_tier,
            system_fingerprint: &self.system_fingerprint,
        };
        let body = serde_json::to_vec_pretty(&document)
            .expect("the payloads have string keys and infallible members");
        let reasoning: u32 = turns.iter().map(|turn| turn.reasoning.tokens()).sum();
        let tokens: u32 = turns.iter().map(Turn::tokens).sum();
        let told = if usage.is_some() {
            UsageTold::Complete
        } else {
            UsageTold::No
        };
        let part = Event::bare(body)
            .reasoned(reasoning)
            .carrying(tokens - reasoning)
            .telling(told);
        Answer::of_part(StatusCode::OK, Provider::OpenAi.fields(self.seed), part)
    }

    fn message(&self, turn: &Turn, index: u32) -> Message {
        let (content, tool_calls) = match &turn.said {
            Said::Text(text) => (Some(text.text()), None),
            Said::Call(call) => {
                let call = ToolCallShape {
                    index: None,
                    id: Some(self.call_id(index)),
                    kind: Some("function"),
                    function: Function {
                        name: Some(call.name.clone()),
                        arguments: call.arguments.clone(),
                    },
                };
                (None, Some(vec![call]))
            }
        };
        Message {
            role: "assistant",
            content,
            tool_calls,
            refusal: (),
            annotations: [],
        }
    }

    /// The answer as a stream; the choices take turns.
    fn events(&self, turns: &[Turn], usage: Usage, telling: Telling) -> Vec<Event> {
        let mut by_choice: Vec<_> = turns
            .iter()
            .zip(0..)
            .map(|(turn, index)| self.deltas(turn, index).into_iter())
            .collect();
        let mut events = Vec::new();
        let mut obfuscation = self.seed.draws("obfuscation");
        let mut obfuscation = || {
            let length = obfuscation.between(0, OBFUSCATION_MAX) as usize;
            telling
                .obfuscated
                .then(|| obfuscation.text(ALPHANUMERIC, length))
        };
        loop {
            let round: Vec<_> = by_choice.iter_mut().filter_map(Iterator::next).collect();
            if round.is_empty() {
                break;
            }
            for Step {
                choice,
                tokens,
                reasoning,
            } in round
            {
                let usage = if telling.usage_asked {
                    UsageMember::Null
                } else {
                    UsageMember::Absent
                };
                let chunk = self.chunk(vec![choice], usage, obfuscation());
                events.push(Event::data(&chunk).carrying(tokens).reasoned(reasoning));
            }
        }
        if telling.usage_asked && !telling.usage_withheld {
            let chunk = self.chunk(Vec::new(), UsageMember::Told(usage), obfuscation());
            events.push(Event::data(&chunk).telling(UsageTold::Complete));
        }
        events.push(Event::bare("data: [DONE]\n\n"));
        events
    }

    fn chunk(
        &self,
        choices: Vec<ChunkChoice>,
        usage: UsageMember,
        obfuscation: Option<String>,
    ) -> Chunk<'_> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model,
            service_tier: self.service_tier,
            system_fingerprint: &self.system_fingerprint,
            choices,
            usage,
            obfuscation,
        }
    }

    /// One choice as deltas.
    fn deltas(&self, turn: &Turn, index: u32) -> Vec<Step> {
        let step = |delta: Delta, tokens: u32| Step {
            choice: ChunkChoice {
                index,
                delta,
                logprobs: (),
                finish_reason: None,
            },
            tokens,
            reasoning: 0,
        };
        let mut steps = Vec::new();
        match &turn.said {
            Said::Text(text) => {
                steps.push(step(Delta::opening(Some(String::new())), 0));
                steps.extend(
                    text.pieces()
                        .iter()
                        .map(|piece| step(Delta::content(piece.text.to_owned()), piece.tokens)),
                );
            }
            Said::Call(call) => {
                let opening = ToolCallShape {
                    index: Some(0),
                    id: Some(self.call_id(index)),
                    kind: Some("function"),
                    function: Function {
                        name: Some(call.name.clone()),
                        arguments: String::new(),
                    },
                };
                let mut delta = Delta::opening(None);
                delta.tool_calls = Some(vec![opening]);
                steps.push(step(delta, call.name_tokens()));
                steps.extend(call.fragments().into_iter().map(|fragment| {
                    let part = ToolCallShape {
                        index: Some(0),
                        id: None,
                        kind: None,
                        function: Function {
                            name: None,
                            arguments: fragment.text,
                        },
                    };
                    step(Delta::tool_call(part), fragment.tokens)
                }));
            }
        }
        // Reasoning is not shown; it is over when the first chunk is sent.
        steps[0].reasoning = turn.reasoning.tokens();
        let mut last = step(Delta::default(), 0);
        last.choice.finish_reason = Some(finish_reason(turn.stop));
        steps.push(last);
        steps
    }

    fn call_id(&self, choice: u32) -> String {
        let seed = Seed::of_text(&format!("{}{choice}", self.id));
        seed.id("call_", ALPHANUMERIC, 24)
    }
}

/// One chunk of one choice, and what it carries.
struct Step {
    choice: ChunkChoice,
    tokens: u32,
    reasoning: u32,
}

fn usage(prompt: &Prompt, cached: u32, turns: &[Turn]) -> Usage {
    let prompt_tokens = prompt.tokens();
    let completion_tokens = turns.iter().map(Turn::tokens).sum();
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
        prompt_tokens_details: PromptDetails {
            cached_tokens: cached,
            audio_tokens: 0,
        },
        completion_tokens_details: CompletionDetails {
            reasoning_tokens: turns.iter().map(|turn| turn.reasoning.tokens()).sum(),
            audio_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
        },
    }
}

/// The tier that serves a request: OpenAI tells `fast` as `priority`.
pub(super) fn service_tier(body: &Value) -> &str {
    match body["service_tier"].as_str() {
        None | Some("auto") => "default",
        Some("fast") => "priority",
        Some(tier) => tier,
    }
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Natural => "stop",
        Stop::Budget => "length",
        Stop::Tool => "tool_calls",
    }
}
