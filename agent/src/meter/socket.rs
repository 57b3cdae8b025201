//! A WebSocket, and the calls that it carries.
//!
//! The connection is one exchange, with a record of its own when it ends: the
//! operation `session`, the bytes of both directions, and what was used by it
//! and not by a call, such as seconds of sound. Each call on it is an exchange
//! as well, with `websocket` for its protocol, a record when it is over, and no
//! bytes, which are the connection's. It has no HTTP status, unless upstream
//! gives it one, as it does to errors.
//!
//! A call that the end of the connection ends is recorded with what was seen of
//! it, and with the outcome of the connection; if that closed in order, then
//! whoever closed it left before the call was over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::exchange::{Exchange, Outcome};
use crate::llm::headers::Headers;
use crate::llm::observation::{Ending, Observation, Problem};
use crate::llm::session::{Event, Session, Side, TurnId};
use crate::llm::websocket::Compression;

/// One connection.
pub struct Socket {
    /// Absent once it is finished.
    connection: Option<Exchange>,
    /// Absent if its messages are not read.
    session: Option<Session>,
    turns: Vec<(TurnId, Exchange)>,
    /// The side that stopped sending first.
    ended_by: Option<Side>,
}

impl Socket {
    /// Goes on after the handshake, which `connection` began with. `headers` are
    /// those of upstream's answer.
    #[must_use]
    pub fn begin(mut connection: Exchange, headers: &Headers) -> Self {
        let session = connection
            .target()
            .filter(|_| headers.names("upgrade", "websocket"))
            .and_then(|target| {
                let extensions = headers.get("sec-websocket-extensions");
                Session::begin(target, Compression::agreed(extensions))
            });
        if session.is_some() {
            connection.becomes_session();
        }
        Self {
            connection: Some(connection),
            session,
            turns: Vec::new(),
            ended_by: None,
        }
    }

    /// Bytes that `side` sent and the other has got.
    pub fn passed(&mut self, side: Side, wire_bytes: &[u8]) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let count = wire_bytes.len() as u64;
        match side {
            Side::Client => connection.spliced(count, 0),
            Side::Server => connection.spliced(0, count),
        }
        let Some(session) = &mut self.session else {
            return;
        };
        let turns = &mut self.turns;
        let read = catch_unwind(AssertUnwindSafe(|| {
            session.push(side, wire_bytes, &mut |event| {
                note(event, connection, turns, None);
            });
        }));
        if read.is_err() {
            self.fail();
        }
    }

    /// `side` will send nothing any more.
    pub fn ended(&mut self, side: Side) {
        self.ended_by.get_or_insert(side);
    }

    /// Ends the connection and the calls that are open, and hands their records
    /// to the sink.
    pub fn finish(mut self, outcome: Outcome) {
        let left = self
            .session
            .as_ref()
            .and_then(Session::closed_by)
            .or(self.ended_by);
        let of_turns = match (&outcome, left) {
            (Outcome::Complete, Some(Side::Server)) => {
                Outcome::UpstreamGone("upstream: closed the connection".into())
            }
            (Outcome::Complete, Some(Side::Client) | None) => Outcome::ClientGone,
            (
                Outcome::ClientGone | Outcome::UpstreamGone(_) | Outcome::Refused { .. },
                Some(_) | None,
            ) => outcome.clone(),
        };
        self.close(Some(&of_turns));
        if let Some(connection) = self.connection.take() {
            connection.finish(outcome);
        }
    }

    /// Ends the calls that are open; without an outcome they are aborted.
    fn close(&mut self, outcome: Option<&Outcome>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let turns = &mut self.turns;
        if let Some(session) = self.session.take() {
            let seen = catch_unwind(AssertUnwindSafe(|| {
                session.finish(&mut |event| note(event, connection, turns, outcome))
            }));
            match seen {
                Ok(seen) => connection.observed(seen),
                Err(_) => self.fail(),
            }
        }
        // Those of which nothing more is known.
        for (_, exchange) in self.turns.drain(..) {
            end(exchange, outcome);
        }
    }

    /// Goes on without reading, should that panic.
    fn fail(&mut self) {
        self.session = None;
        let failed = || Observation {
            problems: vec![Problem::Panicked],
            ..Observation::default()
        };
        let turns = self.turns.iter_mut().map(|(_, exchange)| exchange);
        for exchange in self.connection.iter_mut().chain(turns) {
            exchange.observed(failed());
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close(None);
    }
}

/// Takes what happened in the session to the exchanges of its calls.
fn note(
    event: Event,
    connection: &Exchange,
    turns: &mut Vec<(TurnId, Exchange)>,
    cut: Option<&Outcome>,
) {
    let of = |turns: &[(TurnId, Exchange)], turn| turns.iter().position(|(id, _)| *id == turn);
    match event {
        Event::Begun { turn, api } => turns.push((turn, connection.call(api))),
        Event::Heard(turn) => {
            if let Some((_, exchange)) = of(turns, turn).and_then(|at| turns.get_mut(at)) {
                exchange.heard();
            }
        }
        Event::Ended(ended) => {
            let Some(at) = of(turns, ended.turn) else {
                return;
            };
            let (_, mut exchange) = turns.remove(at);
            if let Some(status) = ended.status {
                exchange.answered(status);
            }
            exchange.observed(ended.observation);
            match ended.ending {
                Ending::Complete => exchange.finish(Outcome::Complete),
                Ending::Cut => end(exchange, cut),
            }
        }
    }
}

/// Ends a call; without an outcome it is aborted, which dropping it records.
fn end(exchange: Exchange, outcome: Option<&Outcome>) {
    if let Some(outcome) = outcome {
        exchange.finish(outcome.clone());
    }
}

#[cfg(test)]
mod tests;
