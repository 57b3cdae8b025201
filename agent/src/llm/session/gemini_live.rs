//! Gemini's Live API, at Google AI and at Vertex: `BidiGenerateContent`.
//!
//! A turn begins when the application ends what it says, or when the model
//! begins to answer, whichever comes first, and ends with `turnComplete`. Its
//! usage is the last that was stated in it. Two things are not documented and
//! decided here:
//!
//! * Usage may come in a message of its own after `turnComplete`, so a turn
//!   without any stays open until its usage or the next turn comes.
//! * A model that calls a tool ends its turn only after the tool answered. If
//!   usage was stated by then it is that of a generation that is over, so the
//!   answer of the tool begins a turn, as it would be a request of its own over
//!   HTTP.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Event;
use super::documents::{Documents, Step};
use super::turns::{Call, Opening, Turn, Turns};
use crate::llm::gemini;
use crate::llm::json::{EACH, Interest, Path, Table, Want};
use crate::llm::observation::Observation;
use crate::llm::reading::{Draft, Reading, Slot, label};
use crate::llm::request::RequestFacts;
use crate::llm::websocket::Compression;

/// What is read of a message of the application, in either spelling.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Model,
    Complete,
    ToolResponse,
}

/// What is read of a message of upstream.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// The model said something, or called a tool.
    Content,
    Sound,
    Interrupted,
    Complete,
    Response(Slot),
}

const fn asked(path: Path, want: Want, slot: Asked) -> Interest<Asked> {
    Interest { path, want, slot }
}

const fn told(path: Path, want: Want, slot: Told) -> Interest<Told> {
    Interest { path, want, slot }
}

const fn response(path: Path, want: Want, slot: Slot) -> Interest<Told> {
    told(path, want, Told::Response(slot))
}

static ASKED: Table<Asked> = Table::new(&[
    asked(&["setup", "model"], Want::Scalar, Asked::Model),
    asked(
        &["clientContent", "turnComplete"],
        Want::Scalar,
        Asked::Complete,
    ),
    asked(
        &["client_content", "turn_complete"],
        Want::Scalar,
        Asked::Complete,
    ),
    asked(
        &["client_content", "turnComplete"],
        Want::Scalar,
        Asked::Complete,
    ),
    asked(&["toolResponse"], Want::Mark, Asked::ToolResponse),
    asked(&["tool_response"], Want::Mark, Asked::ToolResponse),
]);

static TOLD: Table<Told> = Table::new(&[
    told(&["serverContent", "modelTurn"], Want::Mark, Told::Content),
    told(&["toolCall"], Want::Mark, Told::Content),
    told(
        &["serverContent", "outputTranscription"],
        Want::Mark,
        Told::Content,
    ),
    told(
        &["serverContent", "modelTurn", "parts", EACH, "inlineData"],
        Want::Mark,
        Told::Sound,
    ),
    told(
        &["serverContent", "interrupted"],
        Want::Scalar,
        Told::Interrupted,
    ),
    told(
        &["serverContent", "turnComplete"],
        Want::Scalar,
        Told::Complete,
    ),
    response(
        &["serverContent", "turnCompleteReason"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["serverContent", "modelTurn", "parts", EACH, "text"],
        Want::Text,
        Slot::Text,
    ),
    response(
        &["toolCall", "functionCalls", EACH, "args"],
        Want::Source,
        Slot::Text,
    ),
    response(&["usageMetadata"], Want::Value, Slot::Usage),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "status"], Want::Scalar, Slot::ErrorType),
]);

/// A message of the application.
#[derive(Debug, Default)]
struct Request {
    completes: bool,
    has_tool_response: bool,
}

/// A message of upstream.
#[derive(Debug, Default)]
struct Said {
    has_content: bool,
    has_sound: bool,
    is_interrupted: bool,
    completes: bool,
    draft: Draft,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct GeminiLive {
    sent: Documents<Asked>,
    received: Documents<Told>,
    request: Request,
    said: Said,
    state: State,
    unknown: Reading,
}

/// What goes on from message to message. There is at most one turn.
#[derive(Debug, Default)]
struct State {
    model: Option<String>,
    /// The turn is complete, and its usage was not stated yet.
    awaits_usage: bool,
    is_interrupted: bool,
}

impl GeminiLive {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            sent: Documents::new(&ASKED, compression),
            received: Documents::new(&TOLD, compression),
            request: Request::default(),
            said: Said::default(),
            state: State::default(),
            unknown: Reading::default(),
        }
    }

    pub(super) fn is_within_message(&self) -> bool {
        self.sent.is_within_message() || self.received.is_within_message()
    }

    /// Reads what the application sent; returns whether it closes.
    pub(super) fn sent(
        &mut self,
        wire_bytes: &[u8],
        turns: &mut Turns,
        out: &mut dyn FnMut(Event),
    ) -> bool {
        let Self {
            sent,
            request,
            state,
            ..
        } = self;
        sent.push(wire_bytes, turns, |step, turns| match step {
            Step::Found(found) => match found.slot() {
                Asked::Model => {
                    let model = found.raw().and_then(label);
                    // A resource name, of which the last part is the model's.
                    let name = model.as_deref().and_then(|name| name.rsplit('/').next());
                    state.model = name.map(str::to_owned);
                }
                Asked::Complete => request.completes = found.raw() == Some(b"true"),
                Asked::ToolResponse => request.has_tool_response = true,
            },
            Step::Whole => {
                let request = std::mem::take(request);
                state.ask(&request, turns, out);
            }
            Step::Broken => *request = Request::default(),
        })
    }

    /// Reads what upstream sent; returns whether it closes.
    pub(super) fn received(
        &mut self,
        wire_bytes: &[u8],
        turns: &mut Turns,
        out: &mut dyn FnMut(Event),
    ) -> bool {
        let Self {
            received,
            said,
            state,
            unknown,
            ..
        } = self;
        received.push(wire_bytes, turns, |step, turns| match step {
            Step::Found(found) => match found.slot() {
                Told::Content => said.has_content = true,
                Told::Sound => said.has_sound = true,
                Told::Interrupted => said.is_interrupted = found.raw() == Some(b"true"),
                Told::Complete => said.completes = found.raw() == Some(b"true"),
                Told::Response(slot) => said.draft.take(found.under(slot), unknown, gemini::parse),
            },
            Step::Whole => state.hear(std::mem::take(said), turns, out),
            Step::Broken => *said = Said::default(),
        })
    }

    /// What is known of the session as a whole.
    pub(super) fn finish(self) -> Observation {
        Observation {
            request_model: self.state.model,
            ..Observation::default()
        }
    }
}

impl State {
    /// Begins a turn, or ends the generation before a tool's answer.
    fn ask(&mut self, request: &Request, turns: &mut Turns, out: &mut dyn FnMut(Event)) {
        let has_usage = turns
            .current(None)
            .is_some_and(|turn| !turn.reading.counts.is_empty());
        if self.awaits_usage || (request.has_tool_response && has_usage) {
            self.end(turns, out);
        }
        if (request.completes || request.has_tool_response) && turns.current(None).is_none() {
            self.begin(turns, out);
        }
    }

    fn begin<'a>(&self, turns: &'a mut Turns, out: &mut dyn FnMut(Event)) -> &'a mut Turn {
        let opening = Opening {
            call: Call::Gemini,
            lane: None,
            // There is one at a time, and upstream has no name for it.
            key: Some(String::new()),
            is_silent: false,
            facts: RequestFacts {
                model: self.model.clone(),
                is_stateful: true,
                ..RequestFacts::default()
            },
        };
        turns.begin(opening, out)
    }

    /// Takes a message of upstream.
    fn hear(&mut self, mut said: Said, turns: &mut Turns, out: &mut dyn FnMut(Event)) {
        if self.awaits_usage && said.has_content {
            self.end(turns, out);
        }
        let has_usage = said.draft.counts.is_some();
        if turns.current(None).is_none() {
            // A turn that is interrupted before it began says only that.
            if !said.has_content && !has_usage {
                if said.draft.has_error {
                    turns.error = said.draft.error();
                }
                return;
            }
            self.begin(turns, out);
        }
        let Some(turn) = turns.current(None) else {
            return;
        };
        turn.has_sound |= said.has_sound;
        self.is_interrupted |= said.is_interrupted;
        if said.completes {
            let reason = if self.is_interrupted {
                "interrupted"
            } else {
                "turn_complete"
            };
            said.draft
                .finish_reason
                .get_or_insert_with(|| reason.to_owned());
        }
        turn.reading.commit(said.draft);
        turn.hear(out);
        let is_counted = !turn.reading.counts.is_empty();
        let is_complete = said.completes || self.awaits_usage;
        if is_complete && is_counted {
            self.end(turns, out);
        } else {
            self.awaits_usage = is_complete;
        }
    }

    fn end(&mut self, turns: &mut Turns, out: &mut dyn FnMut(Event)) {
        self.awaits_usage = false;
        self.is_interrupted = false;
        if let Some(turn) = turns.current(None) {
            turn.reading.has_ended = true;
            let turn = turn.id();
            turns.end(turn, out);
        }
    }
}
