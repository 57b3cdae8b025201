//! Records of calls whose answers other exchanges bring.
//!
//! The record of such a call is whole but for its outcome when its own exchange
//! ends. It is kept back until the answer has come, and lasts until then; or
//! until nothing can bring the answer any more, which is its outcome then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::payload::{Payload, PayloadSink};
use super::record::{OutcomeKind, Record, RecordSink};
use crate::bounds::Bound;
use crate::llm::classify::{Api, Target};
use crate::llm::rpc_session::{Answer, News, Part, RpcSession};
use crate::llm::unanswered::{Over, Released, Unanswered};

/// What a client did that wants no answer any more.
const CANCELLED: &str = "client cancelled the call";
const ENDED: &str = "client ended the session";

/// A record on its way to the sink.
pub(super) struct Held {
    /// Boxed, as those that wait are looked through.
    pub(super) record: Box<Record>,
    pub(super) payload: Option<(Box<Payload>, Arc<dyn PayloadSink>)>,
    pub(super) since: Instant,
}

/// Calls that have no answer yet. What is left when it is dropped is recorded
/// as aborted.
pub(super) struct Awaiting {
    calls: Mutex<Unanswered<Held>>,
    sink: Arc<dyn RecordSink>,
    clock: fn() -> Instant,
}

impl Awaiting {
    pub(super) fn new(sink: Arc<dyn RecordSink>, clock: fn() -> Instant) -> Self {
        Self {
            calls: Mutex::default(),
            sink,
            clock,
        }
    }

    /// Takes what goes to an address that a stream has named for a call.
    pub(super) fn address(&self, host: &str, target: &mut Target) {
        if let Some(address) = target.address.take()
            && self.lock().is_open(host, &address)
        {
            target.api = Api::Mcp;
            target.session = Some(address);
        }
    }

    /// A stream of `session` has brought something.
    pub(super) fn bring(&self, host: &str, session: Option<&RpcSession>, news: News) {
        let now = (self.clock)();
        let mut released = Released::new();
        let mut displaced = news.lost;
        {
            let mut calls = self.lock();
            if let Some(begun) = &news.begun {
                released.append(&mut calls.open(host, begun));
            }
            for answer in news.answers {
                if let Some(session) = session {
                    released.append(&mut calls.answer(host, session, answer, now));
                }
            }
            displaced = displaced.saturating_add(calls.take_displaced());
        }
        if displaced > 0 {
            Bound::UnansweredCalls.hit_times(displaced);
        }
        self.release(released, now);
    }

    /// An exchange with `host` has ended as `ended`, which means `part` for the
    /// calls of its session.
    pub(super) fn ended(
        &self,
        host: &str,
        part: Option<(RpcSession, Part)>,
        held: Held,
        ended: OutcomeKind,
    ) {
        let Some((session, part)) = part else {
            return held.hand_in(&*self.sink);
        };
        let now = (self.clock)();
        match part {
            Part::Call(id) => {
                let since = held.since;
                let (released, displaced) = {
                    let mut calls = self.lock();
                    let released = calls.wait(host, (&session, &id), since, held, now);
                    (released, calls.take_displaced())
                };
                if displaced > 0 {
                    Bound::UnansweredCalls.hit_times(displaced);
                }
                self.release(released, now);
            }
            Part::Cancel(id) => {
                held.hand_in(&*self.sink);
                let cancelled = self.lock().cancel(host, &session, &id, now);
                if let Some(call) = cancelled {
                    self.leave(call, OutcomeKind::ClientGone, CANCELLED, now);
                }
            }
            Part::End => {
                held.hand_in(&*self.sink);
                let over = self.lock().close(host, &session);
                let (outcome, error) = match (session, ended) {
                    (RpcSession::OfHeader(_), _) => (OutcomeKind::ClientGone, ENDED),
                    (_, OutcomeKind::ClientGone) => {
                        (OutcomeKind::ClientGone, "client disconnected")
                    }
                    (
                        RpcSession::OfStream(_) | RpcSession::OfAddress(_),
                        OutcomeKind::Complete | OutcomeKind::UpstreamGone,
                    ) => (
                        OutcomeKind::UpstreamGone,
                        "upstream: the stream ended before the answer",
                    ),
                    (
                        RpcSession::OfStream(_) | RpcSession::OfAddress(_),
                        OutcomeKind::Refused | OutcomeKind::Aborted,
                    ) => (OutcomeKind::Aborted, "aborted"),
                };
                for call in over {
                    self.leave(call, outcome, error, now);
                }
            }
        }
    }

    fn release(&self, released: Released<Held>, now: Instant) {
        for (mut held, over) in released {
            match over {
                Over::Answered(Answer { outcome, error, .. }) => {
                    if let Some(rpc) = &mut held.record.rpc {
                        rpc.outcome = Some(outcome);
                    }
                    held.record.error = error;
                    held.end(&*self.sink, now);
                }
                // What is known of it is what its own exchange says.
                Over::Unfollowed => held.hand_in(&*self.sink),
                Over::Cancelled => self.leave(held, OutcomeKind::ClientGone, CANCELLED, now),
                Over::Ended => self.leave(held, OutcomeKind::ClientGone, ENDED, now),
                Over::GivenUp => {
                    Bound::UnansweredCalls.hit();
                    self.leave(held, OutcomeKind::Aborted, "no answer was seen", now);
                }
            }
        }
    }

    /// Ends a call without an answer.
    fn leave(&self, mut held: Held, outcome: OutcomeKind, error: &str, now: Instant) {
        held.record.outcome = outcome;
        held.record.error = Some(error.to_owned());
        held.end(&*self.sink, now);
    }

    fn lock(&self) -> MutexGuard<'_, Unanswered<Held>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        let now = (self.clock)();
        let left = self.lock().close_all();
        for call in left {
            self.leave(call, OutcomeKind::Aborted, "aborted", now);
        }
    }
}

impl Held {
    /// Hands it in as lasting until now.
    fn end(mut self, sink: &dyn RecordSink, now: Instant) {
        self.record.duration_ms = now.saturating_duration_since(self.since).into();
        self.hand_in(sink);
    }

    fn hand_in(self, sink: &dyn RecordSink) {
        if let Some((payload, payloads)) = self.payload {
            payloads.take(*payload, &self.record);
        }
        sink.record(*self.record);
    }
}

#[cfg(test)]
mod tests;
