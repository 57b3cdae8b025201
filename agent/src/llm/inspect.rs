//! Follows one exchange from a copy of its bytes, and says what it used.
//!
//! An [`Inspector`] holds no body: content codings are taken off as they stream
//! by, documents are scanned for a few values, events are read as they come. No
//! method can fail; what goes wrong ends in [`Observation::problems`].
//!
//! Where the provider states no usage, a response that succeeded is estimated
//! from its text, by [`tokens`](super::tokens); one that failed is not.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod framing;
mod parts;
mod request;
mod response;
mod settle;

use super::classify::{Api, Target};
use super::decode::Decoder;
use super::grpc::GrpcError;
use super::headers::Headers;
use super::json::JsonError;
use super::observation::{Ending, Observation, Problem, Rpc, RpcOutcome};
use super::request::RequestFacts;
use super::rpc_session::{News, Part, RpcSession};
use request::Request;
use response::Response;
use settle::{Settled, settle};

/// Follows one exchange.
#[derive(Debug)]
pub struct Inspector {
    api: Api,
    /// What the path identifies.
    id: Option<String>,
    /// The session that it is part of, by its head or by the first event.
    session: Option<RpcSession>,
    ends_session: bool,
    request: Request,
    /// Boxed, as there is none for long, and it is moved at the end.
    response: Option<Box<Response>>,
    problems: Problems,
}

impl Inspector {
    /// Begins to follow an exchange with the head of its request.
    #[must_use]
    pub fn new(target: Target, headers: &Headers) -> Self {
        let mut problems = Problems::default();
        let (api, id) = (target.api, target.id.clone());
        let (session, ends_session) = (target.session.clone(), target.ends_session);
        let request = Request::new(target, headers, &mut problems);
        Self {
            api,
            id,
            session,
            ends_session,
            request,
            response: None,
            problems,
        }
    }

    /// Reads bytes of the request body, as sent.
    pub fn request_body(&mut self, wire_bytes: &[u8]) {
        self.request.push(wire_bytes, &mut self.problems);
    }

    /// Notes that the request body has ended.
    pub fn request_end(&mut self) {
        self.request.end(&mut self.problems);
    }

    /// Reads the final head of the response.
    pub fn response_head(&mut self, status: u16, headers: &Headers) {
        let mut response = Response::new(
            self.api,
            self.request.facts.stream,
            status,
            headers,
            &mut self.problems,
        );
        response.reading.vocabulary = self.request.facts.vocabulary();
        self.response = Some(Box::new(response));
    }

    /// Reads bytes of the response body, as received.
    pub fn response_body(&mut self, wire_bytes: &[u8]) {
        if let Some(response) = &mut self.response {
            response.push(wire_bytes, &mut self.problems);
        }
    }

    /// Reads the trailers that follow the response body.
    pub fn response_trailers(&mut self, headers: &Headers) {
        if let Some(response) = &mut self.response {
            response.trailers(headers);
        }
    }

    /// What a stream has brought that concerns other exchanges, once.
    pub fn take_news(&mut self) -> News {
        let Some(response) = &mut self.response else {
            return News::default();
        };
        let news = std::mem::take(&mut response.reading.news);
        // A call is answered by its own response, and by nothing else in it.
        if self.request.facts.rpc_method.is_some() {
            return News::default();
        }
        if news.begun.is_some() {
            self.session.clone_from(&news.begun);
        }
        news
    }

    /// The session that the exchange is part of, as far as is known.
    #[must_use]
    pub fn session(&self) -> Option<&RpcSession> {
        self.session.as_ref()
    }

    /// Whether the response has begun to say something: data of an event, or a
    /// document. Comments that keep a connection alive say nothing.
    #[must_use]
    pub fn has_seen_content(&self) -> bool {
        self.response
            .as_ref()
            .is_some_and(|response| response.has_content)
    }

    /// Whether the response has said its last word: the event that ends a
    /// stream. Clients may leave then without waiting for the end of the body.
    #[must_use]
    pub fn has_seen_end(&self) -> bool {
        self.response
            .as_ref()
            .is_some_and(|response| response.reading.has_ended)
    }

    /// What was seen.
    #[must_use]
    pub fn finish(mut self, ending: Ending) -> Observation {
        let facts = self.request.facts;
        let rpc = matches!(self.api, Api::Mcp | Api::A2a | Api::A2aGrpc).then(|| Rpc {
            method: facts.rpc_method.clone(),
            tool: facts.tool(),
            outcome: None,
        });
        let Some(mut response) = self.response else {
            return Observation {
                request_model: facts.model,
                stream: facts.stream,
                rpc,
                problems: self.problems.0,
                ..Observation::default()
            };
        };
        response.end(&mut self.problems);
        let part = self.session.and_then(|session| {
            let part = part(&session, self.ends_session, &facts, &response, ending)?;
            Some((session, part))
        });
        let Settled {
            usage,
            split,
            provenance,
            method,
            claim,
            is_cost_final,
        } = settle(self.api.counting(), &response, &facts, ending);
        let stream = if self.api == Api::AnthropicBatchResults {
            // A file of lines, all of which are there.
            Some(false)
        } else if response.is_success {
            response.framing.is_stream()
        } else {
            None
        };
        let is_failure = !response.is_success;
        let mut reading = response.reading;
        if rpc.as_ref().is_some_and(|rpc| rpc.method.is_none()) && self.api == Api::Mcp {
            // As the outcome below.
            reading.error = None;
        }
        let rpc = rpc.map(|rpc| Rpc {
            outcome: reading
                .rpc_outcome
                .or(is_failure.then_some(RpcOutcome::Error))
                // What a stream carries may answer other exchanges.
                .filter(|_| rpc.method.is_some()),
            ..rpc
        });
        Observation {
            request_model: facts.model,
            response_model: reading.counts.answered_by.or(reading.model),
            response_id: reading.id.or(self.id),
            stream: stream.or(facts.stream),
            finish_reason: reading.finish_reason,
            service_tier: reading.service_tier.or(reading.counts.service_tier),
            speed: reading.counts.speed,
            inference_geo: reading.counts.inference_geo,
            usage,
            split,
            provenance,
            method,
            provider_error: reading.error,
            stated_cost: reading.counts.stated_cost.filter(|_| is_cost_final),
            claim,
            is_charged_otherwise: reading.counts.is_charged_otherwise || facts.is_annotated,
            rpc,
            part,
            problems: self.problems.0,
        }
    }
}

/// What an exchange that has ended means for the calls of its session.
fn part(
    session: &RpcSession,
    ends_session: bool,
    facts: &RequestFacts,
    response: &Response,
    ending: Ending,
) -> Option<Part> {
    let is_stream = response.framing.is_stream() == Some(true);
    if facts.rpc_method.is_none() {
        let is_over = match session {
            RpcSession::OfStream(_) | RpcSession::OfAddress(_) => is_stream,
            // One stream may follow another.
            RpcSession::OfHeader(_) => ends_session,
        };
        return is_over.then_some(Part::End);
    }
    if let Some(id) = &facts.rpc_cancelled {
        return Some(Part::Cancel(id.clone()));
    }
    let id = facts.rpc_id.as_ref()?;
    let is_elsewhere = match session {
        RpcSession::OfStream(_) | RpcSession::OfAddress(_) => true,
        // It was to come here, and may go on elsewhere.
        RpcSession::OfHeader(_) => is_stream,
    };
    let is_answered = response.reading.rpc_outcome.is_some() || !response.is_success;
    (ending == Ending::Complete && is_elsewhere && !is_answered).then(|| Part::Call(id.clone()))
}

/// Problems met, each kind once, in order.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn note(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn list(&self) -> &[Problem] {
        &self.0
    }

    pub(super) fn note_json(&mut self, error: JsonError) {
        match error {
            JsonError::Empty => {}
            JsonError::Truncated => self.note(Problem::Truncated),
            JsonError::Malformed => self.note(Problem::BadJson),
            JsonError::TooDeep => self.note(Problem::TooDeep),
        }
    }

    fn note_grpc(&mut self, error: GrpcError) {
        self.note(match error {
            GrpcError::Coding(error) => error.into(),
            GrpcError::Flag | GrpcError::CodingCut => Problem::BadFraming,
        });
    }

    /// A decoder, unless the coding is one that is not known.
    fn decoder(&mut self, encoding: Option<&str>) -> Option<Decoder> {
        Decoder::new(encoding)
            .map_err(|error| self.note(error.into()))
            .ok()
    }
}

#[cfg(test)]
mod tests;
