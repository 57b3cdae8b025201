//! OpenAI's Responses over a WebSocket: the application asks with
//! `response.create`, and upstream answers with the events of a stream.
//!
//! Each response is a turn. Many may be under way at once: those of one lane
//! (`stream_id`) are answered in the order they were asked for, and are told
//! apart by their identifier from then on. A response that upstream begins on
//! its own account, as after a `response.steer`, is a turn as well.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Event;
use super::documents::{Documents, Step};
use super::turns::{Call, Opening, Turn, Turns};
use crate::llm::format::Format;
use crate::llm::json::{Interest, Path, Table, Want};
use crate::llm::openai_responses;
use crate::llm::reading::{Draft, Reading, Slot, code, count, label};
use crate::llm::request::{RequestFacts, RequestSlot};
use crate::llm::websocket::Compression;

/// What is read of an event of the application.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Kind,
    Lane,
    /// Nothing is to be generated, if this is the value.
    Silence(&'static str),
    Request(RequestSlot),
}

/// What is read of an event of upstream.
#[derive(Debug, Clone, Copy)]
enum Told {
    Lane,
    /// Of an error that would have been a response of its own over HTTP.
    HttpStatus,
    Response(Slot),
}

const fn scalar<S>(path: Path, slot: S) -> Interest<S> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

static ASKED: Table<Asked> = Table::new(ASKED_ROWS);

/// A request as over HTTP, and what it says of its place on the socket.
#[expect(
    clippy::indexing_slicing,
    reason = "in a constant: out of bounds does not compile"
)]
const ASKED_ROWS: &[Interest<Asked>] = &{
    const REQUEST: &[Interest<RequestSlot>] = openai_responses::REQUEST_ROWS;
    let mut table = [scalar(&["type"], Asked::Kind); REQUEST.len() + 4];
    table[1] = scalar(&["stream_id"], Asked::Lane);
    table[2] = scalar(&["generate"], Asked::Silence("false"));
    table[3] = Interest {
        path: &["prompt_cache_options", "prewarm"],
        want: Want::Scalar,
        slot: Asked::Silence("true"),
    };
    let mut at = 0;
    while at < REQUEST.len() {
        table[at + 4] = Interest {
            path: REQUEST[at].path,
            want: REQUEST[at].want,
            slot: Asked::Request(REQUEST[at].slot),
        };
        at += 1;
    }
    table
};

static TOLD: Table<Told> = Table::new(TOLD_ROWS);

/// An event as over HTTP, and what it says of its place on the socket.
#[expect(
    clippy::indexing_slicing,
    reason = "in a constant: out of bounds does not compile"
)]
const TOLD_ROWS: &[Interest<Told>] = &{
    const EVENT: &[Interest<Slot>] = openai_responses::EVENT_ROWS;
    let mut table = [scalar(&["stream_id"], Told::Lane); EVENT.len() + 2];
    table[1] = scalar(&["status"], Told::HttpStatus);
    let mut at = 0;
    while at < EVENT.len() {
        table[at + 2] = Interest {
            path: EVENT[at].path,
            want: EVENT[at].want,
            slot: Told::Response(EVENT[at].slot),
        };
        at += 1;
    }
    table
};

/// An event of the application.
#[derive(Debug, Default)]
struct Request {
    kind: Option<String>,
    lane: Option<String>,
    /// Nothing is to be generated, and perhaps nothing will be answered.
    is_silent: bool,
    facts: RequestFacts,
}

/// An event of upstream.
#[derive(Debug, Default)]
struct Said {
    lane: Option<String>,
    status: Option<u16>,
    draft: Draft,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Responses {
    sent: Documents<Asked>,
    received: Documents<Told>,
    request: Request,
    said: Said,
    /// Goes on to hold for requests that name none.
    model: Option<String>,
    /// What is known of a response before it is known which.
    unknown: Reading,
}

impl Responses {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            sent: Documents::new(&ASKED, compression),
            received: Documents::new(&TOLD, compression),
            request: Request::default(),
            said: Said::default(),
            model: None,
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
            model,
            ..
        } = self;
        sent.push(wire_bytes, turns, |step, turns| match step {
            Step::Found(found) => match found.slot() {
                Asked::Kind => request.kind = found.raw().and_then(code),
                Asked::Lane => request.lane = found.raw().and_then(label),
                Asked::Silence(word) => {
                    request.is_silent |= found.raw() == Some(word.as_bytes());
                }
                Asked::Request(slot) => request.facts.take(found.under(slot)),
            },
            Step::Whole => {
                let request = std::mem::take(request);
                if request.kind.as_deref() == Some("response.create") {
                    ask(request, model, turns, out);
                }
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
            model,
            unknown,
            ..
        } = self;
        let parse = Format::OpenAiResponses.parse_usage();
        received.push(wire_bytes, turns, |step, turns| match step {
            Step::Found(found) => match found.slot() {
                Told::Lane => said.lane = found.raw().and_then(label),
                Told::HttpStatus => said.status = found.raw().and_then(status),
                Told::Response(slot) => said.draft.take(found.under(slot), unknown, parse),
            },
            Step::Whole => hear(std::mem::take(said), model.as_deref(), turns, out),
            Step::Broken => *said = Said::default(),
        })
    }
}

/// An HTTP status.
fn status(raw: &[u8]) -> Option<u16> {
    count(raw).and_then(|number| u16::try_from(number).ok())
}

/// Begins what the application asks for.
fn ask(
    mut request: Request,
    model: &mut Option<String>,
    turns: &mut Turns,
    out: &mut dyn FnMut(Event),
) {
    let facts = &mut request.facts;
    *model = facts.model.clone().or(model.take());
    facts.model.clone_from(model);
    turns.begin(
        Opening {
            call: Call::Response,
            lane: request.lane,
            key: None,
            is_silent: request.is_silent,
            facts: request.facts,
        },
        out,
    );
}

/// Takes an event of upstream to the turn that it belongs to.
fn hear(mut said: Said, model: Option<&str>, turns: &mut Turns, out: &mut dyn FnMut(Event)) {
    let kind = said.draft.kind.clone().unwrap_or_default();
    let lane = said.lane.as_deref();
    let key = said.draft.id.clone();
    let turn = if kind == "error" {
        match turns.unanswered(lane) {
            // It stands in the place of a response.
            Some(turn) => {
                turn.status = said.status;
                turn.reading.has_ended = true;
                Some(turn)
            }
            None => turns.current(lane),
        }
    } else if let Some(key) = key {
        named(key, lane, model, turns, out)
    } else {
        turns.current(lane)
    };
    let Some(turn) = turn else {
        if kind == "error" {
            turns.error = said.draft.error();
        }
        return;
    };
    said.draft.has_error |= kind == "error";
    Format::OpenAiResponses.commit_event(said.draft, &mut turn.reading);
    turn.hear(out);
    let (turn, has_ended) = (turn.id(), turn.reading.has_ended);
    if has_ended {
        turns.end(turn, out);
    }
}

/// The turn of a response that upstream names: one that is under way, the oldest
/// of its lane that waits for an answer, or one that nobody asked for.
fn named<'a>(
    key: String,
    lane: Option<&str>,
    model: Option<&str>,
    turns: &'a mut Turns,
    out: &mut dyn FnMut(Event),
) -> Option<&'a mut Turn> {
    if turns.has_ended(&key) {
        return None;
    }
    if turns.named(&key).is_none() {
        if turns.unanswered(lane).is_none() {
            turns.begin(
                Opening {
                    call: Call::Response,
                    lane: lane.map(str::to_owned),
                    key: None,
                    is_silent: true,
                    facts: RequestFacts {
                        model: model.map(str::to_owned),
                        is_stateful: true,
                        ..RequestFacts::default()
                    },
                },
                out,
            );
        }
        turns.unanswered(lane)?.answer(key.clone(), out);
    }
    turns.named(&key)
}
