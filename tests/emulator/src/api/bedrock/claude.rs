//! Anthropic's models: the Messages API, without the model in the body, with a
//! version in it.

use serde_json::Value;

use super::super::messages::Telling;
use super::super::{Call, Refusal};
use super::Delivered;
use super::invoke::{Content, Native};
use super::model::Model;
use crate::answer::{Event, Figures};

/// Answers a request.
pub(super) fn answer(
    call: &Call<'_>,
    body: &Value,
    model: &Model,
    delivered: Delivered,
) -> Result<Native, Refusal> {
    for name in ["model", "stream"] {
        if body.get(name).is_some() {
            let message = format!("{name}: Extra inputs are not permitted");
            return Err(Refusal::invalid(message, None));
        }
    }
    let telling = Telling::of(call, body, model.own_name())?;
    let content = match delivered {
        Delivered::Whole => Content::Whole(telling.document()),
        Delivered::Streamed => {
            Content::Chunks(telling.events(|_name, json| Event::bare(json.to_owned())))
        }
    };
    Ok(Native {
        seed: telling.seed,
        figures: Figures {
            model: Some(model.own_name().to_owned()),
            ..telling.figures.clone()
        },
        tokens: telling.tokens(),
        content,
    })
}
