//! Follows a WebSocket that carries many calls to a model, from a copy of its
//! bytes, and says what each of them used.
//!
//! A call is here called a turn: one response of OpenAI's Responses or Realtime
//! API, one transcription beside it, one turn of Gemini's Live API. What begins
//! and ends one is the business of its wire format (`responses`, `realtime`,
//! `openai_live`, `gemini_live`); `turns` keeps those that are open. Each turn
//! that was announced with [`Event::Begun`] ends with one [`Event::Ended`], also
//! if the connection does first. The connection itself is an exchange like any
//! other, and what was used by it and not by a turn is what
//! [`Session::finish`] returns.
//!
//! Messages are read as they come, both ways, and none is held.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod documents;
mod gemini_live;
mod openai_live;
mod realtime;
mod responses;
#[cfg(test)]
mod tests;
mod turns;

use gemini_live::GeminiLive;
use openai_live::OpenAiLive;
use realtime::Realtime;
use responses::Responses;
use turns::Turns;

use super::classify::{Api, Target};
use super::observation::{Ending, Observation};
use super::websocket::Compression;

/// A turn of a session. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(u64);

/// What happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A turn has begun.
    Begun {
        /// It.
        turn: TurnId,
        /// What it is a call of.
        api: Api,
    },
    /// Upstream said something in a turn.
    Heard(TurnId),
    /// A turn has ended.
    Ended(Box<Ended>),
}

/// A turn that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub turn: TurnId,
    /// Whether upstream ended it, or the end of the session.
    pub ending: Ending,
    /// The HTTP status that upstream gives an error.
    pub status: Option<u16>,
    /// What was seen of it.
    pub observation: Observation,
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The application.
    Client,
    /// Upstream.
    Server,
}

/// Follows one connection.
#[derive(Debug)]
pub struct Session {
    speech: Speech,
    turns: Turns,
    closed_by: Option<Side>,
}

/// What is spoken.
#[derive(Debug)]
enum Speech {
    Responses(Box<Responses>),
    Realtime(Box<Realtime>),
    OpenAiLive(Box<OpenAiLive>),
    GeminiLive(Box<GeminiLive>),
}

impl Session {
    /// Begins after the handshake of a connection to `target`; `None` if it is
    /// not one whose messages are read.
    #[must_use]
    pub fn begin(target: &Target, compression: Compression) -> Option<Self> {
        let model = target.model.clone();
        let api = target.api;
        let speech = if api == Api::OpenAiResponsesSocket {
            Speech::Responses(Box::new(Responses::new(compression)))
        } else if api == Api::OpenAiRealtime {
            Speech::Realtime(Box::new(Realtime::new(model, compression)))
        } else if api == Api::OpenAiLive {
            Speech::OpenAiLive(Box::new(OpenAiLive::new(model, compression)))
        } else if api == Api::GeminiLive {
            Speech::GeminiLive(Box::new(GeminiLive::new(compression)))
        } else {
            return None;
        };
        Some(Self {
            speech,
            turns: Turns::default(),
            closed_by: None,
        })
    }

    /// Reads bytes that one side sent.
    pub fn push(&mut self, side: Side, wire_bytes: &[u8], out: &mut dyn FnMut(Event)) {
        let turns = &mut self.turns;
        let closes = match (&mut self.speech, side) {
            (Speech::Responses(it), Side::Client) => it.sent(wire_bytes, turns, out),
            (Speech::Responses(it), Side::Server) => it.received(wire_bytes, turns, out),
            (Speech::Realtime(it), Side::Client) => it.sent(wire_bytes, turns),
            (Speech::Realtime(it), Side::Server) => it.received(wire_bytes, turns, out),
            (Speech::OpenAiLive(it), Side::Client) => it.sent(wire_bytes, turns),
            (Speech::OpenAiLive(it), Side::Server) => it.received(wire_bytes, turns, out),
            (Speech::GeminiLive(it), Side::Client) => it.sent(wire_bytes, turns, out),
            (Speech::GeminiLive(it), Side::Server) => it.received(wire_bytes, turns, out),
        };
        if closes {
            self.closed_by.get_or_insert(side);
        }
    }

    /// The side that began to close the connection, if it was closed as a
    /// WebSocket is.
    #[must_use]
    pub fn closed_by(&self) -> Option<Side> {
        self.closed_by
    }

    /// Ends the turns that are open, and returns what the connection itself
    /// used.
    #[must_use]
    pub fn finish(mut self, out: &mut dyn FnMut(Event)) -> Observation {
        let within = match &self.speech {
            Speech::Responses(it) => it.is_within_message(),
            Speech::Realtime(it) => it.is_within_message(),
            Speech::OpenAiLive(it) => it.is_within_message(),
            Speech::GeminiLive(it) => it.is_within_message(),
        };
        self.turns.close(within, out);
        let mut seen = match self.speech {
            Speech::Responses(_) => Observation::default(),
            Speech::Realtime(it) => it.finish(),
            Speech::OpenAiLive(it) => it.finish(),
            Speech::GeminiLive(it) => it.finish(),
        };
        seen.stream = Some(true);
        seen.provider_error = self.turns.error.take();
        seen.problems = self.turns.problems.list().to_vec();
        seen
    }
}
