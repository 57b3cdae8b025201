//! `POST /v1/responses` and `GET /v1/responses/{id}`
//!
//! In a stream, usage is told by the terminal event only.

mod shape;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::chat::service_tier;
use super::prompt::Prompt;
use super::store::Stored;
use super::tools;
use super::turn::{Reasoning, Said, Stop, Turn};
use super::{Call, Provider, Refusal, models, optional_count, required_text};
use crate::answer::{Answer, Event, Figures, json};
use crate::ledger::UsageTold;
use crate::seed::{ALPHANUMERIC, Draws, HEX, Seed};
use shape::{InputDetails, Item, OutputDetails, Part, Placed, Response, Status, Usage, Whole};

/// The longest obfuscation, in characters.
const OBFUSCATION_MAX: u32 = 14;

/// Answers a request.
pub(super) fn answer(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = models::resolve(required_text(body, "model")?);
    if !(body["input"].is_string() || body["input"].is_array()) {
        return Err(Refusal::invalid(
            "Missing required parameter: 'input'.",
            Some("input"),
        ));
    }
    let budget = optional_count(body, "max_output_tokens")?;
    let reasoning = match body["reasoning"]["effort"].as_str() {
        None | Some("none") => Reasoning::Off,
        Some(_) => Reasoning::On,
    };

    let seed = call.seed(body);
    let prompt = Prompt::of_responses(body);
    let tool = tools::call_for(body, prompt.question.as_deref(), seed);
    let turn = Turn::new(seed, 0, call.controls, budget, reasoning, tool);
    let cached = call.memory.cache.automatic(model, &prompt);
    let usage = usage(&prompt, cached, &turn);
    let stream = body["stream"] == true;
    let figures = Figures {
        response_id: Some(response_id(seed)),
        model: Some(model.to_owned()),
        stream,
        input_tokens: usage.input_tokens,
        cache_read_tokens: cached,
        cache_write_tokens: 0,
    };

    let telling = Telling {
        body,
        model,
        seed,
        usage: (!call.withholds_usage()).then_some(usage),
    };
    let items = telling.items(&turn);
    let status = match turn.stop {
        Stop::Natural | Stop::Tool => Status::Completed,
        Stop::Budget => Status::Incomplete,
    };
    let response = telling.response(status, &items);
    let document = serde_json::to_vec_pretty(&response)
        .expect("the payloads have string keys and infallible members");
    let thought = turn.reasoning.tokens();
    let document = Event::bare(document)
        .reasoned(thought)
        .carrying(turn.tokens() - thought)
        .telling(telling.told());
    if body["store"] != false {
        call.memory.store.keep(Stored {
            id: response_id(seed),
            document: document.clone(),
            figures: figures.clone(),
        });
    }
    let answer = if stream {
        let failure = Event::named(
            "error",
            &json!({
                "type": "error",
                "code": "server_error",
                "message": "The server had an error while processing your request.",
                "param": null,
                "sequence_number": 1_000_000,
            }),
        );
        let events = telling.events(&turn, status, &items);
        Answer::stream(Provider::OpenAi.fields(seed), events, failure)
    } else {
        Answer::of_part(StatusCode::OK, Provider::OpenAi.fields(seed), document)
    };
    Ok(answer.with_figures(figures))
}

/// Answers a fetch of a stored response.
pub(super) fn fetch(call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
    let stored = call.memory.store.get(id);
    let stored = stored.ok_or_else(|| Refusal::no_such_response(id))?;
    let fields = Provider::OpenAi.fields(Seed::of_text(id));
    let figures = Figures {
        stream: false,
        ..stored.figures
    };
    Ok(Answer::of_part(StatusCode::OK, fields, stored.document).with_figures(figures))
}

fn response_id(seed: Seed) -> String {
    seed.id("resp_", HEX, 50)
}

fn usage(prompt: &Prompt, cached: u32, turn: &Turn) -> Usage {
    let input_tokens = prompt.tokens();
    let output_tokens = turn.tokens();
    Usage {
        input_tokens,
        input_tokens_details: InputDetails {
            cached_tokens: cached,
        },
        output_tokens,
        output_tokens_details: OutputDetails {
            reasoning_tokens: turn.reasoning.tokens(),
        },
        total_tokens: input_tokens + output_tokens,
    }
}

/// What one answer is told with.
struct Telling<'request> {
    body: &'request Value,
    model: &'request str,
    seed: Seed,
    usage: Option<Usage>,
}

impl Telling<'_> {
    fn told(&self) -> UsageTold {
        if self.usage.is_some() {
            UsageTold::Complete
        } else {
            UsageTold::No
        }
    }

    /// The response object in a state; only a finished one has usage.
    fn response<'a>(&'a self, status: Status, output: &'a [Item]) -> Response<'a> {
        let body = self.body;
        let incomplete = status == Status::Incomplete;
        Response {
            id: response_id(self.seed),
            object: "response",
            created_at: self.seed.created(),
            status,
            background: false,
            error: (),
            incomplete_details: incomplete.then(|| json!({"reason": "max_output_tokens"})),
            instructions: &body["instructions"],
            max_output_tokens: &body["max_output_tokens"],
            model: self.model,
            output,
            parallel_tool_calls: true,
            previous_response_id: &body["previous_response_id"],
            reasoning: json!({"effort": body["reasoning"]["effort"], "summary": null}),
            service_tier: service_tier(body),
            store: body["store"] != false,
            temperature: 1.0,
            text: json!({"format": {"type": "text"}}),
            tool_choice: or(&body["tool_choice"], json!("auto")),
            tools: or(&body["tools"], json!([])),
            top_p: 1.0,
            truncation: "disabled",
            usage: match status {
                Status::InProgress => None,
                Status::Completed | Status::Incomplete => self.usage,
            },
            user: &body["user"],
            metadata: or(&body["metadata"], json!({})),
        }
    }

    /// The finished items of the output.
    fn items(&self, turn: &Turn) -> Vec<Item> {
        let mut items = Vec::new();
        if turn.reasoning.tokens() > 0 {
            items.push(Item::Reasoning {
                id: self.seed.id("rs_", HEX, 50),
                summary: [],
            });
        }
        items.push(match &turn.said {
            Said::Text(text) => Item::Message {
                id: self.seed.id("msg_", HEX, 50),
                status: match turn.stop {
                    Stop::Budget => Status::Incomplete,
                    Stop::Natural | Stop::Tool => Status::Completed,
                },
                content: vec![Part::text(text.text())],
                role: "assistant",
            },
            Said::Call(call) => Item::FunctionCall {
                id: self.seed.id("fc_", HEX, 50),
                status: Status::Completed,
                arguments: call.arguments.clone(),
                call_id: self.seed.id("call_", ALPHANUMERIC, 24),
                name: call.name.clone(),
            },
        });
        items
    }

    /// The answer as a stream.
    fn events(&self, turn: &Turn, status: Status, items: &[Item]) -> Vec<Event> {
        let mut script = Script {
            events: Vec::new(),
            obfuscation: self.seed.draws("obfuscation"),
            obfuscated: self.body["stream_options"]["include_obfuscation"] != false,
        };
        let begun = self.response(Status::InProgress, &[]);
        script.say("response.created", &Whole { response: &begun });
        script.say("response.in_progress", &Whole { response: &begun });
        for (item, index) in items.iter().zip(0_u32..) {
            let begun = item.begun();
            script.say(
                "response.output_item.added",
                &Placed {
                    output_index: index,
                    item: &begun,
                },
            );
            match item {
                Item::Reasoning { .. } => script.reasoned(turn.reasoning.tokens()),
                Item::Message { id, content, .. } => script.message(turn, index, id, content),
                Item::FunctionCall { id, arguments, .. } => {
                    script.function_call(turn, index, id, arguments);
                }
            }
            script.say(
                "response.output_item.done",
                &Placed {
                    output_index: index,
                    item,
                },
            );
        }
        let name = match status {
            Status::Incomplete => "response.incomplete",
            Status::Completed | Status::InProgress => "response.completed",
        };
        let done = self.response(status, items);
        script.say(name, &Whole { response: &done });
        let last = script.events.pop().map(|event| event.telling(self.told()));
        script.events.extend(last);
        script.events
    }
}

/// The events of a stream, numbered as they are added.
struct Script {
    events: Vec<Event>,
    obfuscation: Draws,
    obfuscated: bool,
}

impl Script {
    /// Adds an event; `type` and `sequence_number` come first.
    fn say(&mut self, name: &str, members: &impl Serialize) {
        self.say_tokens(name, members, 0);
    }

    /// Adds an event that carries tokens.
    fn say_tokens(&mut self, name: &str, members: &impl Serialize, tokens: u32) {
        let members = json(members);
        let payload = format!(
            "{{\"type\":\"{name}\",\"sequence_number\":{},{}",
            self.events.len(),
            &members[1..]
        );
        let event = Event::bare(format!("event: {name}\ndata: {payload}\n\n"));
        self.events.push(event.carrying(tokens));
    }

    /// Counts hidden reasoning with the event that was said last.
    fn reasoned(&mut self, tokens: u32) {
        let last = self.events.pop().map(|event| event.reasoned(tokens));
        self.events.extend(last);
    }

    fn message(&mut self, turn: &Turn, index: u32, item: &str, content: &[Part]) {
        let Said::Text(text) = &turn.said else { return };
        let at = |members: Value| with_position(members, index, item, Some(0));
        let empty = Part::text(String::new());
        self.say("response.content_part.added", &at(json!({"part": empty})));
        for piece in text.pieces() {
            let mut delta = json!({"delta": piece.text, "logprobs": []});
            self.obfuscate(&mut delta);
            self.say_tokens("response.output_text.delta", &at(delta), piece.tokens);
        }
        let done = json!({"text": text.text(), "logprobs": []});
        self.say("response.output_text.done", &at(done));
        self.say(
            "response.content_part.done",
            &at(json!({"part": content[0]})),
        );
    }

    fn function_call(&mut self, turn: &Turn, index: u32, item: &str, arguments: &str) {
        let Said::Call(call) = &turn.said else { return };
        let last = self
            .events
            .pop()
            .map(|event| event.carrying(call.name_tokens()));
        self.events.extend(last);
        let at = |members: Value| with_position(members, index, item, None);
        for fragment in call.fragments() {
            let mut delta = json!({"delta": fragment.text});
            self.obfuscate(&mut delta);
            let name = "response.function_call_arguments.delta";
            self.say_tokens(name, &at(delta), fragment.tokens);
        }
        let done = at(json!({"arguments": arguments}));
        self.say("response.function_call_arguments.done", &done);
    }

    fn obfuscate(&mut self, delta: &mut Value) {
        let length = self.obfuscation.between(0, OBFUSCATION_MAX) as usize;
        if self.obfuscated {
            delta["obfuscation"] = json!(self.obfuscation.text(ALPHANUMERIC, length));
        }
    }
}

/// Adds where in the output an event belongs.
fn with_position(mut members: Value, index: u32, item: &str, part: Option<u32>) -> Value {
    members["output_index"] = json!(index);
    members["item_id"] = json!(item);
    if let Some(part) = part {
        members["content_index"] = json!(part);
    }
    members
}

/// `value`, or `default` in place of `null`.
fn or(value: &Value, default: Value) -> Value {
    if value.is_null() {
        default
    } else {
        value.clone()
    }
}
