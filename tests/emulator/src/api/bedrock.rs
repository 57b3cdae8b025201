//! Amazon Bedrock's runtime: `POST /model/{id}/…`
//!
//! The same model answers behind two surfaces: `converse` in Bedrock's own
//! format, `invoke` in that of the model's family, each also as a stream. What
//! a request asks for is told by its path; a request counts only if its
//! signature holds.

mod claude;
mod converse;
mod count;
mod embedding;
mod invoke;
mod llama;
mod message;
mod model;
mod nova;
mod prompt;
mod reply;
pub(super) mod signature;

use bytes::Bytes;
use http::StatusCode;

use super::provider::{Provider, Refusal};
use super::{Call, json_body};
use crate::answer::{Answer, Event, Figures};
use crate::ledger::Api;
use crate::seed::{HEX, Seed};
use crate::wire::fields::Fields;
use message::Message;
use model::Model;

/// What is asked of a model, and how the answer is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Converse(Delivered),
    Invoke(Delivered),
    CountTokens,
}

/// Whether an answer comes as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    Whole,
    Streamed,
}

/// The operation that a path names, and the model as the path has it.
fn operation(path: &str) -> Option<(Operation, &str)> {
    let (model, name) = path.strip_prefix("/model/")?.split_once('/')?;
    let operation = match name {
        "converse" => Operation::Converse(Delivered::Whole),
        "converse-stream" => Operation::Converse(Delivered::Streamed),
        "invoke" => Operation::Invoke(Delivered::Whole),
        "invoke-with-response-stream" => Operation::Invoke(Delivered::Streamed),
        "count-tokens" => Operation::CountTokens,
        _ => return None,
    };
    (!model.is_empty()).then_some((operation, model))
}

/// The surface that a path belongs to, if it is one of Bedrock's.
pub(super) fn surface(path: &str) -> Option<Api> {
    Some(match operation(path)?.0 {
        Operation::Converse(_) => Api::Converse,
        Operation::Invoke(_) => Api::InvokeModel,
        Operation::CountTokens => Api::BedrockCountTokens,
    })
}

/// Answers a request whose signature holds.
pub(super) fn answer(call: &Call<'_>, body: Bytes) -> Result<Answer, Refusal> {
    let path = call.request.path();
    let Some((operation, raw)) = operation(path) else {
        return Err(Refusal::not_found(call.request));
    };
    let model = Model::of_path(raw)?;
    let body = json_body(call.request, body)?;
    if operation.is_streamed() {
        if call.controls.stamp {
            let message = "x-emulator-stamp: only for server-sent events";
            return Err(Refusal::invalid(message, None));
        }
    } else {
        call.fail_if_asked()?;
    }
    match operation {
        Operation::Converse(delivered) => converse::answer(call, &body, &model, delivered),
        Operation::Invoke(delivered) => invoke::answer(call, &body, &model, delivered),
        Operation::CountTokens => count::answer(&body, &model),
    }
}

impl Operation {
    fn is_streamed(self) -> bool {
        matches!(
            self,
            Self::Converse(Delivered::Streamed) | Self::Invoke(Delivered::Streamed)
        )
    }
}

/// The id by which AWS logs a call. It is a header: no body has one.
pub(super) fn request_id(seed: Seed) -> String {
    let digits = seed.id("", HEX, 32);
    [0..8, 8..12, 12..16, 16..20, 20..32]
        .map(|group| &digits[group])
        .join("-")
}

/// Puts an answer together from its whole or its messages.
fn deliver(seed: Seed, fields: Fields, figures: Figures, content: Told) -> Answer {
    let mut head = Provider::Bedrock.fields(seed);
    head.extend(fields);
    let figures = Figures {
        response_id: Some(request_id(seed)),
        stream: matches!(content, Told::Streamed(_)),
        ..figures
    };
    let answer = match content {
        Told::Whole(document) => Answer::of_part(StatusCode::OK, head, document),
        Told::Streamed(events) => {
            let message = r#"{"message":"Too many requests, please wait before trying again."}"#;
            let failure = Message::exception("throttlingException", message);
            Answer::event_stream(head, events, Event::bare(failure.encode()))
        }
    };
    answer.with_figures(figures)
}

/// The content of an answer.
enum Told {
    /// A document.
    Whole(Event),
    /// Messages, encoded.
    Streamed(Vec<Event>),
}
