//! OpenAI's Realtime API, at OpenAI, Azure, xAI and whoever speaks it.
//!
//! Each response is a turn, from when upstream begins it: who asked, the
//! application or the silence after somebody spoke, makes no difference. What
//! was said to the model may be transcribed for the application by another
//! model, at a price of its own: each transcription is a turn as well. The
//! prompt is the conversation, which upstream keeps, so input is never
//! estimated.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Event;
use super::documents::{Documents, Step};
use super::turns::{Call, Opening, Turn, Turns};
use crate::llm::json::{Interest, Path, Table, Want};
use crate::llm::observation::Observation;
use crate::llm::openai_usage;
use crate::llm::reading::{Draft, Reading, Slot, label};
use crate::llm::request::RequestFacts;
use crate::llm::tokens::Tally;
use crate::llm::websocket::Compression;

/// What is read of an event, whoever sends it.
#[derive(Debug, Clone, Copy)]
enum Told {
    Kind,
    SessionModel,
    TranscriptionModel,
    /// What is transcribed.
    Item,
    Response(Slot),
}

const fn told(path: Path, want: Want, slot: Told) -> Interest<Told> {
    Interest { path, want, slot }
}

const fn response(path: Path, want: Want, slot: Slot) -> Interest<Told> {
    told(path, want, Told::Response(slot))
}

const SESSION: [Interest<Told>; 4] = [
    told(&["type"], Want::Scalar, Told::Kind),
    told(&["session", "model"], Want::Scalar, Told::SessionModel),
    told(
        &["session", "audio", "input", "transcription", "model"],
        Want::Scalar,
        Told::TranscriptionModel,
    ),
    // Before the API was generally available.
    told(
        &["session", "input_audio_transcription", "model"],
        Want::Scalar,
        Told::TranscriptionModel,
    ),
];

/// What is read of an event of the application.
static SENT: Table<Told> = Table::new(&SESSION);

/// What is read of an event of upstream.
static RECEIVED: Table<Told> = Table::new(&[
    SESSION[0],
    SESSION[1],
    SESSION[2],
    SESSION[3],
    told(&["item_id"], Want::Scalar, Told::Item),
    response(&["response_id"], Want::Scalar, Slot::Id),
    response(&["response", "id"], Want::Scalar, Slot::Id),
    response(&["response", "model"], Want::Scalar, Slot::Model),
    response(&["response", "status"], Want::Scalar, Slot::Status),
    response(
        &["response", "status_details", "reason"],
        Want::Scalar,
        Slot::Incomplete,
    ),
    response(
        &["response", "status_details", "error"],
        Want::Mark,
        Slot::Error,
    ),
    response(
        &["response", "status_details", "error", "code"],
        Want::Scalar,
        Slot::ErrorCode,
    ),
    response(
        &["response", "status_details", "error", "type"],
        Want::Scalar,
        Slot::ErrorType,
    ),
    response(&["response", "usage"], Want::Value, Slot::Usage),
    response(&["usage"], Want::Value, Slot::Usage),
    response(&["delta"], Want::Text, Slot::Text),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
]);

/// An event of upstream.
#[derive(Debug, Default)]
struct Said {
    kind: String,
    item: Option<String>,
    draft: Draft,
}

impl Said {
    /// Whether its delta is sound, as far as its kind is known.
    fn is_sound(&self) -> bool {
        self.kind.contains("audio.delta")
    }
}

/// The models of a session.
#[derive(Debug, Default)]
struct Models {
    /// That of the address.
    asked: Option<String>,
    /// That which upstream says it is.
    answering: Option<String>,
    transcribing: Option<String>,
}

impl Models {
    /// Takes what a session is said to be; an event that does not speak of the
    /// session has none of these members.
    fn take(&mut self, slot: Told, raw: Option<&[u8]>, by_upstream: bool) {
        let named = raw.and_then(label);
        let model = match slot {
            Told::SessionModel if by_upstream => &mut self.answering,
            Told::SessionModel => &mut self.asked,
            Told::TranscriptionModel => &mut self.transcribing,
            Told::Kind | Told::Item | Told::Response(_) => return,
        };
        *model = named.or(model.take());
    }
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Realtime {
    sent: Documents<Told>,
    received: Documents<Told>,
    said: Said,
    models: Models,
    unknown: Reading,
}

impl Realtime {
    /// `model` is what the address names.
    pub(super) fn new(model: Option<String>, compression: Compression) -> Self {
        Self {
            sent: Documents::new(&SENT, compression),
            received: Documents::new(&RECEIVED, compression),
            said: Said::default(),
            models: Models {
                asked: model,
                ..Models::default()
            },
            unknown: Reading::default(),
        }
    }

    pub(super) fn is_within_message(&self) -> bool {
        self.sent.is_within_message() || self.received.is_within_message()
    }

    /// Reads what the application sent; returns whether it closes.
    pub(super) fn sent(&mut self, wire_bytes: &[u8], turns: &mut Turns) -> bool {
        let Self { sent, models, .. } = self;
        sent.push(wire_bytes, turns, |step, _| {
            if let Step::Found(found) = step {
                models.take(found.slot(), found.raw(), false);
            }
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
            models,
            unknown,
            ..
        } = self;
        received.push(wire_bytes, turns, |step, turns| match step {
            Step::Found(found) => match found.slot() {
                Told::Kind => {
                    said.kind = found.raw().and_then(label).unwrap_or_default();
                }
                Told::Item => said.item = found.raw().and_then(label),
                slot @ (Told::SessionModel | Told::TranscriptionModel) => {
                    models.take(slot, found.raw(), true);
                }
                // Megabytes of base64, which are not worth counting.
                Told::Response(Slot::Text) if said.is_sound() => {}
                Told::Response(slot) => {
                    said.draft
                        .take(found.under(slot), unknown, openai_usage::parse);
                }
            },
            Step::Whole => hear(std::mem::take(said), models, turns, out),
            Step::Broken => *said = Said::default(),
        })
    }

    /// What is known of the session as a whole.
    pub(super) fn finish(self) -> Observation {
        Observation {
            request_model: self.models.asked,
            response_model: self.models.answering,
            ..Observation::default()
        }
    }
}

/// Takes an event of upstream to the turn that it belongs to.
fn hear(mut said: Said, models: &Models, turns: &mut Turns, out: &mut dyn FnMut(Event)) {
    if said.kind == "error" {
        // It may be about anything that was sent, and ends nothing.
        turns.error = said.draft.error().or(turns.error.take());
        return;
    }
    let transcribed = said
        .kind
        .strip_prefix("conversation.item.input_audio_transcription.");
    let (turn, is_last) = if let Some(word) = transcribed {
        let turn = said.item.take().and_then(|item| {
            let key = format!("transcription of {item}");
            turn(Call::Transcription, key, models, turns, out)
        });
        (turn, matches!(word, "completed" | "failed"))
    } else if said.kind.starts_with("response.") {
        let key = said.draft.id.clone();
        let turn = key.and_then(|key| turn(Call::Realtime, key, models, turns, out));
        (turn, said.kind == "response.done")
    } else {
        return;
    };
    let Some(turn) = turn else { return };
    if said.is_sound() {
        turn.has_sound = true;
        // It may have come ahead of what it is.
        said.draft.text = Tally::default();
    }
    let status = said.draft.status.take();
    if is_last {
        said.draft.finish_reason = said.draft.incomplete.take().or(status);
    }
    turn.reading.commit(said.draft);
    turn.reading.has_ended |= is_last;
    turn.hear(out);
    let turn = turn.id();
    if is_last {
        turns.end(turn, out);
    }
}

/// The turn of that name, begun if it is not known.
fn turn<'a>(
    call: Call,
    key: String,
    models: &Models,
    turns: &'a mut Turns,
    out: &mut dyn FnMut(Event),
) -> Option<&'a mut Turn> {
    if turns.has_ended(&key) {
        return None;
    }
    if turns.named(&key).is_none() {
        let (asked, answering) = match call {
            Call::Transcription => (&models.transcribing, &models.transcribing),
            Call::Realtime | Call::Response | Call::Gemini => (&models.asked, &models.answering),
        };
        let opening = Opening {
            call,
            lane: None,
            key: Some(key.clone()),
            is_silent: false,
            facts: RequestFacts {
                model: asked.clone(),
                is_stateful: true,
                ..RequestFacts::default()
            },
        };
        turns
            .begin(opening, out)
            .reading
            .model
            .clone_from(answering);
    }
    turns.named(&key)
}
