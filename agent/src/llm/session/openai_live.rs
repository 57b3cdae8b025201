//! OpenAI's Live API: a session that is billed by the second, and responses that
//! it has others make.
//!
//! The seconds are a running total of the session, and so the connection's. Each
//! response that is delegated is a turn: its events come wrapped, one in each of
//! the session's.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Event;
use super::documents::{Documents, Step};
use super::turns::{Call, Opening, Turns};
use crate::llm::format::Format;
use crate::llm::json::{Interest, Path, Table, Want};
use crate::llm::observation::Observation;
use crate::llm::reading::{Draft, Reading, Slot, label, seconds};
use crate::llm::request::RequestFacts;
use crate::llm::usage::{Provenance, Usage};
use crate::llm::websocket::Compression;

/// What is read of an event of upstream.
#[derive(Debug, Clone, Copy)]
enum Told {
    Kind,
    SessionModel,
    Seconds,
    Delegation,
    Response(Slot),
}

const fn told(path: Path, want: Want, slot: Told) -> Interest<Told> {
    Interest { path, want, slot }
}

const fn response(path: Path, want: Want, slot: Slot) -> Interest<Told> {
    told(path, want, Told::Response(slot))
}

/// Nothing is read of what the application says but that it closes.
static ASKED: Table<Told> = Table::new(&[]);

static TOLD: Table<Told> = Table::new(&[
    told(&["type"], Want::Scalar, Told::Kind),
    told(&["session", "model"], Want::Scalar, Told::SessionModel),
    told(&["usage", "seconds"], Want::Scalar, Told::Seconds),
    told(&["delegation_id"], Want::Scalar, Told::Delegation),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorCode),
    response(&["error", "type"], Want::Scalar, Slot::ErrorType),
    response(&["event", "type"], Want::Scalar, Slot::Kind),
    response(&["event", "response", "id"], Want::Scalar, Slot::Id),
    response(&["event", "response", "model"], Want::Scalar, Slot::Model),
    response(&["event", "response", "status"], Want::Scalar, Slot::Status),
    response(
        &["event", "response", "incomplete_details", "reason"],
        Want::Scalar,
        Slot::Incomplete,
    ),
    response(
        &["event", "response", "service_tier"],
        Want::Scalar,
        Slot::ServiceTier,
    ),
    response(&["event", "response", "usage"], Want::Value, Slot::Usage),
    response(
        &["event", "response", "tool_usage", "image_gen"],
        Want::Value,
        Slot::Beside,
    ),
    response(&["event", "response", "error"], Want::Mark, Slot::Error),
    response(
        &["event", "response", "error", "code"],
        Want::Scalar,
        Slot::ErrorCode,
    ),
    response(&["event", "delta"], Want::Text, Slot::Text),
]);

/// An event of upstream.
#[derive(Debug, Default)]
struct Said {
    kind: String,
    delegation: Option<String>,
    draft: Draft,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct OpenAiLive {
    sent: Documents<Told>,
    received: Documents<Told>,
    said: Said,
    model: Option<String>,
    usage: Usage,
    unknown: Reading,
}

impl OpenAiLive {
    /// `model` is what the address names.
    pub(super) fn new(model: Option<String>, compression: Compression) -> Self {
        Self {
            sent: Documents::new(&ASKED, compression),
            received: Documents::new(&TOLD, compression),
            said: Said::default(),
            model,
            usage: Usage::default(),
            unknown: Reading::default(),
        }
    }

    pub(super) fn is_within_message(&self) -> bool {
        self.sent.is_within_message() || self.received.is_within_message()
    }

    /// Reads what the application sent; returns whether it closes.
    pub(super) fn sent(&mut self, wire_bytes: &[u8], turns: &mut Turns) -> bool {
        self.sent.push(wire_bytes, turns, |_, _| {})
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
            model,
            usage,
            unknown,
            ..
        } = self;
        let parse = Format::OpenAiResponses.parse_usage();
        received.push(wire_bytes, turns, |step, turns| match step {
            Step::Found(found) => match found.slot() {
                Told::Kind => said.kind = found.raw().and_then(label).unwrap_or_default(),
                Told::SessionModel => *model = found.raw().and_then(label).or(model.take()),
                // Of the whole session so far: the last one counts.
                Told::Seconds => usage.seconds = found.raw().and_then(seconds).or(usage.seconds),
                Told::Delegation => said.delegation = found.raw().and_then(label),
                Told::Response(slot) => said.draft.take(found.under(slot), unknown, parse),
            },
            Step::Whole => hear(std::mem::take(said), turns, out),
            Step::Broken => *said = Said::default(),
        })
    }

    /// What the session itself used.
    pub(super) fn finish(self) -> Observation {
        let provenance = if self.usage.is_empty() {
            Provenance::Unknown
        } else {
            Provenance::Measured
        };
        Observation {
            response_model: self.model.clone(),
            request_model: self.model,
            usage: self.usage,
            provenance,
            ..Observation::default()
        }
    }
}

/// Takes an event of a delegated response to its turn.
fn hear(mut said: Said, turns: &mut Turns, out: &mut dyn FnMut(Event)) {
    match said.kind.as_str() {
        "response.event" => {}
        "error" => {
            turns.error = said.draft.error().or(turns.error.take());
            return;
        }
        _ => return,
    }
    let lane = said.delegation;
    let turn = match said.draft.id.clone() {
        None => turns.current(lane.as_deref()),
        Some(key) if turns.has_ended(&key) => None,
        Some(key) => {
            if turns.named(&key).is_none() {
                let opening = Opening {
                    call: Call::Response,
                    lane,
                    key: Some(key.clone()),
                    is_silent: false,
                    facts: RequestFacts {
                        is_stateful: true,
                        ..RequestFacts::default()
                    },
                };
                turns.begin(opening, out);
            }
            turns.named(&key)
        }
    };
    let Some(turn) = turn else { return };
    Format::OpenAiResponses.commit_event(said.draft, &mut turn.reading);
    turn.hear(out);
    let (turn, has_ended) = (turn.id(), turn.reading.has_ended);
    if has_ended {
        turns.end(turn, out);
    }
}
