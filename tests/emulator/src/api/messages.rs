//! `POST /v1/messages` and `POST /v1/messages/count_tokens`
//!
//! Usage on the input side is told without what the cache read or wrote, as
//! Anthropic does; the ledger's figures include both.

mod shape;

use http::StatusCode;
use serde_json::{Value, json};

use super::cache::Tokens;
use super::prompt::Prompt;
use super::tools;
use super::turn::{Reasoning, Said, Stop, Turn};
use super::{Call, Provider, Refusal, models, optional_count, required_text};
use crate::answer::{Answer, Event, Figures};
use crate::ledger::UsageTold;
use crate::seed::{ALPHANUMERIC, Seed};
use shape::{
    Block, CacheCreation, Delta, FinalDelta, FinalUsage, Message, OutputDetails, StreamEvent, Usage,
};

/// Output tokens told at the beginning of a stream, before there are any.
const PROVISIONAL_TOKENS: u32 = 1;

/// Answers a request.
pub(super) fn answer(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = models::resolve(required_text(body, "model")?);
    let telling = Telling::of(call, body, model)?;
    let stream = body["stream"] == true;
    let figures = Figures {
        response_id: Some(message_id(telling.seed)),
        model: Some(model.to_owned()),
        stream,
        ..telling.figures.clone()
    };
    let fields = Provider::Anthropic.fields(telling.seed);
    let answer = if stream {
        let failure = Event::named(
            "error",
            &json!({
                "type": "error",
                "error": {"type": "overloaded_error", "message": "Overloaded"},
                "request_id": null,
            }),
        );
        Answer::stream(fields, telling.events(Event::named_text), failure)
    } else {
        Answer::of_part(StatusCode::OK, fields, telling.document())
    };
    Ok(answer.with_figures(figures))
}

/// Answers a count.
pub(super) fn count_tokens(body: &Value) -> Result<Answer, Refusal> {
    required_text(body, "model")?;
    require_messages(body)?;
    let tokens = Prompt::of_messages(body).tokens();
    let document = json!({"input_tokens": tokens}).to_string();
    let fields = Provider::Anthropic.fields(Seed::of_text(&document));
    let figures = Figures {
        input_tokens: tokens,
        ..Figures::default()
    };
    Ok(Answer::json(StatusCode::OK, fields, document).with_figures(figures))
}

fn require_messages(body: &Value) -> Result<(), Refusal> {
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return Err(Refusal::invalid(
            "messages: Field required",
            Some("messages"),
        ));
    }
    Ok(())
}

fn message_id(seed: Seed) -> String {
    seed.id("msg_01", ALPHANUMERIC, 22)
}

/// What one answer is told with, whatever carries it.
pub(super) struct Telling<'request> {
    model: &'request str,
    pub(super) seed: Seed,
    turn: Turn,
    tokens: Tokens,
    withheld: bool,
    /// Tokens of the input; the rest is for the carrier to fill in.
    pub(super) figures: Figures,
}

impl<'request> Telling<'request> {
    /// The answer of `model` to a request.
    pub(super) fn of(call: &Call<'_>, body: &Value, model: &'request str) -> Result<Self, Refusal> {
        require_messages(body)?;
        let budget = optional_count(body, "max_tokens")?
            .ok_or_else(|| Refusal::invalid("max_tokens: Field required", Some("max_tokens")))?;
        let reasoning = match body["thinking"]["type"].as_str() {
            None | Some("disabled") => Reasoning::Off,
            Some(_) => Reasoning::On,
        };
        let seed = call.seed(body);
        let prompt = Prompt::of_messages(body);
        let tool = tools::call_for(body, prompt.question.as_deref(), seed).filter(|_| budget > 0);
        let turn = Turn::new(seed, 0, call.controls, Some(budget), reasoning, tool);
        let cache = call.memory.cache.with_breakpoints(model, &prompt);
        Ok(Self {
            model,
            seed,
            tokens: Tokens {
                input: prompt.tokens() - cache.read - cache.written(),
                output: turn.tokens(),
                cache,
            },
            turn,
            withheld: call.withholds_usage(),
            figures: Figures {
                input_tokens: prompt.tokens(),
                cache_read_tokens: cache.read,
                cache_write_tokens: cache.written(),
                ..Figures::default()
            },
        })
    }
}

impl Telling<'_> {
    /// What is told of the tokens, unless that is to be held back.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        (!self.withheld).then_some(self.tokens)
    }

    fn usage(&self) -> Usage {
        let Tokens {
            input,
            output,
            cache,
        } = self.tokens;
        let thinking = self.turn.reasoning.tokens();
        Usage {
            input_tokens: input,
            cache_creation_input_tokens: cache.written(),
            cache_read_input_tokens: cache.read,
            cache_creation: CacheCreation {
                ephemeral_5m_input_tokens: cache.written_5m,
                ephemeral_1h_input_tokens: cache.written_1h,
            },
            output_tokens: output,
            output_tokens_details: (thinking > 0).then_some(OutputDetails {
                thinking_tokens: thinking,
            }),
            service_tier: "standard",
        }
    }

    fn told(&self, usage: UsageTold) -> UsageTold {
        if self.withheld { UsageTold::No } else { usage }
    }

    fn message(&self, content: Vec<Block>, stop: Option<Stop>, usage: Usage) -> Message<'_> {
        Message {
            id: message_id(self.seed),
            kind: "message",
            role: "assistant",
            model: self.model,
            content,
            stop_reason: stop.map(stop_reason),
            stop_sequence: (),
            usage: (!self.withheld).then_some(usage),
        }
    }

    /// The answer as one document.
    pub(super) fn document(&self) -> Event {
        let message = self.message(self.blocks(), Some(self.turn.stop), self.usage());
        let thinking = self.turn.reasoning.tokens();
        Event::bare(crate::answer::json(&message))
            .reasoned(thinking)
            .carrying(self.turn.tokens() - thinking)
            .telling(self.told(UsageTold::Complete))
    }

    /// The finished blocks of the content.
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if self.turn.reasoning.tokens() > 0 {
            blocks.push(Block::Thinking {
                thinking: self.turn.reasoning.text(),
                signature: self.signature(),
            });
        }
        match &self.turn.said {
            Said::Text(text) if text.tokens() == 0 => {}
            Said::Text(text) => blocks.push(Block::Text { text: text.text() }),
            Said::Call(call) => blocks.push(Block::ToolUse {
                id: self.seed.id("toolu_01", ALPHANUMERIC, 22),
                name: call.name.clone(),
                input: serde_json::from_str(&call.arguments)
                    .expect("the arguments were written as JSON"),
            }),
        }
        blocks
    }

    fn signature(&self) -> String {
        self.seed.id("Er", ALPHANUMERIC, 86)
    }

    /// The answer as a stream. `frame` makes a part of it from an event's name
    /// and JSON.
    pub(super) fn events(&self, frame: impl Fn(&str, &str) -> Event) -> Vec<Event> {
        let framed = |event: &StreamEvent<'_>| frame(event.name(), &crate::answer::json(event));
        let usage = self.usage();
        let provisional = Usage {
            output_tokens: PROVISIONAL_TOKENS.min(usage.output_tokens),
            output_tokens_details: None,
            ..usage
        };
        let message = self.message(Vec::new(), None, provisional);
        let begun = framed(&StreamEvent::MessageStart { message });
        let mut events = vec![begun.telling(self.told(UsageTold::Input))];
        for (block, index) in self.blocks().into_iter().zip(0_u32..) {
            let content_block = block.begun();
            events.push(framed(&StreamEvent::ContentBlockStart {
                index,
                content_block,
            }));
            if index == 0 {
                events.push(framed(&StreamEvent::Ping));
            }
            self.add_deltas(&block, index, framed, &mut events);
            events.push(framed(&StreamEvent::ContentBlockStop { index }));
        }
        let last = StreamEvent::MessageDelta {
            delta: FinalDelta {
                stop_reason: stop_reason(self.turn.stop),
                stop_sequence: (),
            },
            usage: (!self.withheld).then(|| FinalUsage::of(&usage)),
        };
        events.push(framed(&last).telling(self.told(UsageTold::Complete)));
        events.push(framed(&StreamEvent::MessageStop));
        events
    }

    fn add_deltas(
        &self,
        block: &Block,
        index: u32,
        framed: impl Fn(&StreamEvent<'_>) -> Event,
        events: &mut Vec<Event>,
    ) {
        let event = |delta: Delta<'_>| framed(&StreamEvent::ContentBlockDelta { index, delta });
        match (block, &self.turn.said) {
            (Block::Thinking { signature, .. }, _) => {
                for piece in self.turn.reasoning.pieces() {
                    let delta = Delta::ThinkingDelta {
                        thinking: piece.text,
                    };
                    events.push(event(delta).reasoned(piece.tokens));
                }
                let signature = signature.clone();
                events.push(event(Delta::SignatureDelta { signature }));
            }
            (_, Said::Text(text)) => {
                for piece in text.pieces() {
                    let delta = Delta::TextDelta { text: piece.text };
                    events.push(event(delta).carrying(piece.tokens));
                }
            }
            (_, Said::Call(call)) => {
                // The name was in the start of the block; an empty delta carries its tokens.
                let empty = Delta::InputJsonDelta { partial_json: "" };
                events.push(event(empty).carrying(call.name_tokens()));
                for part in call.fragments() {
                    let delta = Delta::InputJsonDelta {
                        partial_json: &part.text,
                    };
                    events.push(event(delta).carrying(part.tokens));
                }
            }
        }
    }
}

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Natural => "end_turn",
        Stop::Budget => "max_tokens",
        Stop::Tool => "tool_use",
    }
}
