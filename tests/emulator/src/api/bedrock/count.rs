//! `POST /model/{id}/count-tokens`: how long a prompt would be.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::Refusal;
use super::super::prompt::Prompt;
use super::model::Model;
use super::{Told, deliver};
use crate::answer::{Answer, Event, Figures};
use crate::seed::Seed;
use crate::wire::fields::Fields;

/// Answers a request, which has the body of another one in it.
pub(super) fn answer(body: &Value, model: &Model) -> Result<Answer, Refusal> {
    let input = &body["input"];
    let tokens = if let Some(invoked) = input["invokeModel"]["body"].as_str() {
        Prompt::of_messages(&decoded(invoked)?).tokens()
    } else if input.get("converse").is_some() {
        Prompt::of_converse(&input["converse"]).tokens()
    } else {
        let message = "The input must be of invokeModel or of converse.";
        return Err(Refusal::invalid(message, Some("input")));
    };
    let document = json!({"inputTokens": tokens}).to_string();
    let seed = Seed::of_text(&document);
    let figures = Figures {
        model: Some(model.id().to_owned()),
        input_tokens: tokens,
        ..Figures::default()
    };
    let content = Told::Whole(Event::bare(document));
    let mut answer = deliver(seed, Fields::new(), figures, content);
    // A count is no response.
    answer.figures.response_id = None;
    Ok(answer)
}

fn decoded(body: &str) -> Result<Value, Refusal> {
    STANDARD
        .decode(body)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Refusal::invalid("The body is no JSON in base64.", Some("body")))
}
