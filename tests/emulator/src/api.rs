//! The providers' surfaces: which request is which, and what each answers.
//!
//! Everything here is a function of the request, its time and two small memories
//! (prompts seen, responses stored); nothing here touches a socket.

mod bedrock;
mod cache;
mod chat;
mod cohere;
mod embeddings;
mod gemini;
mod messages;
mod mistral;
mod models;
mod ollama;
mod prompt;
mod provider;
mod responses;
mod store;
mod tools;
mod turn;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::Value;
use time::OffsetDateTime;

use crate::answer::Answer;
use crate::coding::Codings;
use crate::controls::Controls;
use crate::fault::Fault;
use crate::ledger::Api;
use crate::seed::Seed;
use crate::wire::Request;
pub use bedrock::signature::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
pub(crate) use provider::{Provider, Refusal};

/// The providers' memories.
#[derive(Default)]
pub(crate) struct Memory {
    cache: cache::PromptCache,
    store: store::ResponseStore,
}

/// One call to a provider's API.
pub(crate) struct Call<'exchange> {
    pub(crate) request: &'exchange Request,
    /// When all of it was there.
    pub(crate) received: OffsetDateTime,
    pub(crate) controls: &'exchange Controls,
    /// Has part in the seed; empty where equal content gets equal answers.
    pub(crate) salt: String,
    pub(crate) memory: &'exchange Memory,
}

/// Which surface a request is for.
pub(crate) fn surface(method: &Method, path: &str) -> Api {
    if path.starts_with("/emulator/") {
        return Api::Utility;
    }
    match (method.as_str(), path) {
        ("POST", "/v1/chat/completions") => Api::Chat,
        ("POST", "/v1/responses") => Api::Responses,
        ("POST", "/v1/messages") => Api::Messages,
        ("POST", "/v1/messages/count_tokens") => Api::CountTokens,
        ("POST", "/v1/embeddings") => Api::Embeddings,
        ("POST", "/v2/chat") => Api::CohereChat,
        ("POST", "/v2/embed") => Api::CohereEmbed,
        ("POST", "/v2/rerank") => Api::CohereRerank,
        ("POST", "/api/chat") => Api::OllamaChat,
        ("POST", "/api/generate") => Api::OllamaGenerate,
        ("POST", "/api/embed") => Api::OllamaEmbed,
        ("GET", "/v1/models") => Api::Models,
        ("GET", "/v1/responses") => Api::ResponsesSocket,
        ("GET", "/v1/realtime") => Api::Realtime,
        ("GET", path) if path.ends_with("BidiGenerateContent") => Api::GeminiLive,
        ("GET", path) if stored_id(path).is_some() => Api::ResponsesFetch,
        ("POST", path) => gemini::surface(path)
            .or_else(|| bedrock::surface(path))
            .unwrap_or(Api::Unknown),
        _ => Api::Unknown,
    }
}

/// The id in `/v1/responses/{id}`.
fn stored_id(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/responses/")
        .filter(|id| !id.is_empty() && !id.contains('/'))
}

/// Answers a call whose body has been read.
pub(crate) fn answer(api: Api, call: &Call<'_>, body: Bytes) -> Answer {
    let provider = Provider::of(call.request);
    try_answer(api, call, body).unwrap_or_else(|refusal| refusal.answer(provider))
}

/// Answers what is asked as `POST /v1/responses` is, by a client that is known.
pub(crate) fn respond(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    responses::answer(call, body)
}

fn try_answer(api: Api, call: &Call<'_>, body: Bytes) -> Result<Answer, Refusal> {
    let provider = Provider::of(call.request);
    provider.authenticate(call.request, &body, call.received)?;
    if let Some(refusal) = call.controls.fault.and_then(refusal_of) {
        return Err(refusal);
    }
    match api {
        Api::Chat if provider == Provider::Mistral => mistral::chat(call, &call.parse(body)?),
        Api::Embeddings if provider == Provider::Mistral => {
            mistral::embed(call, &call.parse(body)?)
        }
        Api::Chat => chat::answer(call, &call.parse(body)?),
        Api::Embeddings => embeddings::answer(call, &call.parse(body)?),
        Api::Responses => responses::answer(call, &call.parse(body)?),
        Api::Messages => messages::answer(call, &call.parse(body)?),
        Api::CountTokens => messages::count_tokens(&call.parse(body)?),
        Api::Converse | Api::InvokeModel | Api::BedrockCountTokens => bedrock::answer(call, body),
        Api::ResponsesFetch => responses::fetch(call, stored_id(call.request.path()).unwrap_or("")),
        Api::GeminiGenerate => gemini::generate(call, &call.parse(body)?),
        Api::GeminiEmbed => gemini::embed(call, &call.parse(body)?),
        Api::GeminiCountTokens => gemini::count_tokens(call, &call.parse(body)?),
        Api::CohereChat => cohere::chat(call, &call.parse(body)?),
        Api::CohereEmbed => cohere::embed(call, &call.parse(body)?),
        Api::CohereRerank => cohere::rerank(call, &call.parse(body)?),
        Api::OllamaChat => ollama::chat(call, &call.parse(body)?),
        Api::OllamaGenerate => ollama::generate(call, &call.parse(body)?),
        Api::OllamaEmbed => ollama::embed(call, &call.parse(body)?),
        Api::Models => Ok(models::answer(provider)),
        Api::ResponsesSocket | Api::Realtime | Api::GeminiLive | Api::Utility | Api::Unknown => {
            Err(Refusal::not_found(call.request))
        }
    }
}

/// The refusal that a fault stands for, if it is one.
fn refusal_of(fault: Fault) -> Option<Refusal> {
    match fault {
        Fault::RateLimited => Some(Refusal::rate_limited()),
        Fault::Overloaded => Some(Refusal::overloaded()),
        Fault::HtmlError => Some(Refusal::html()),
        Fault::ExpectRefuse => Some(Refusal::expectation()),
        Fault::ResetMidStream
        | Fault::ErrorEvent
        | Fault::CloseEarly
        | Fault::NoUsage
        | Fault::SlowHeaders
        | Fault::EarlyHints => None,
    }
}

/// The request's JSON object, decoded.
fn json_body(request: &Request, body: Bytes) -> Result<Value, Refusal> {
    let codings: Codings = request
        .header(header::CONTENT_ENCODING.as_str())
        .unwrap_or("identity")
        .parse()
        .map_err(|_unknown| {
            Refusal::invalid(
                "The content encoding of the request is not supported.",
                None,
            )
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        })?;
    let body = codings
        .decode(body)
        .map_err(|error| Refusal::invalid(format!("Could not decode the body: {error}"), None))?;
    serde_json::from_slice(&body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Refusal::invalid(
                "We could not parse the JSON body of your request: expected a JSON object.",
                None,
            )
        })
}

impl Call<'_> {
    /// The request's JSON object, unless the call is to fail.
    fn parse(&self, body: Bytes) -> Result<Value, Refusal> {
        let body = json_body(self.request, body)?;
        if !self.is_streamed(&body) {
            self.fail_if_asked()?;
        }
        Ok(body)
    }

    /// A failure where a stream would break off with one.
    fn fail_if_asked(&self) -> Result<(), Refusal> {
        if self.controls.fault == Some(Fault::ErrorEvent) {
            return Err(Refusal::failed());
        }
        Ok(())
    }

    /// Whether the answer is to be a stream.
    fn is_streamed(&self, body: &Value) -> bool {
        let path = self.request.path();
        body["stream"] == true || gemini::is_streamed(path) || ollama::is_streamed(path, body)
    }

    /// The seed of this call's answer.
    fn seed(&self, body: &Value) -> Seed {
        let salt = format!(
            "{}\n{}\n{}",
            self.request.path(),
            self.salt,
            self.controls.nonce
        );
        Seed::of_request(body, &salt)
    }

    /// Whether usage figures are to be held back.
    fn withholds_usage(&self) -> bool {
        self.controls.fault == Some(Fault::NoUsage)
    }
}

/// A member that must be a string.
fn required_text<'a>(body: &'a Value, name: &'static str) -> Result<&'a str, Refusal> {
    body[name].as_str().ok_or_else(|| {
        Refusal::invalid(format!("Missing required parameter: '{name}'."), Some(name))
    })
}

/// A member that is a count, if it is there.
fn optional_count(body: &Value, name: &'static str) -> Result<Option<u32>, Refusal> {
    let value = &body[name];
    if value.is_null() {
        return Ok(None);
    }
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
    count.map(Some).ok_or_else(|| {
        Refusal::invalid(
            format!("Invalid value for '{name}': expected a non-negative integer."),
            Some(name),
        )
    })
}
