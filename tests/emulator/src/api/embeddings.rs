//! `POST /v1/embeddings` of OpenAI, and the vectors of all that embed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Provider, Refusal, optional_count, required_text};
use crate::answer::{Answer, Event, Figures, json};
use crate::ledger::UsageTold;
use crate::seed::Seed;
use crate::tokens;

/// Dimensions of a vector unless a request says how many.
const DIMENSIONS: u32 = 16;
/// The most that any model has.
const DIMENSIONS_MAX: u32 = 4096;

/// Answers a request.
pub(super) fn answer(call: &Call<'_>, body: &Value) -> Result<Answer, Refusal> {
    let model = required_text(body, "model")?;
    let inputs = inputs(&body["input"]);
    if inputs.is_empty() {
        let message = "Missing required parameter: 'input'.";
        return Err(Refusal::invalid(message, Some("input")));
    }
    let dimensions = optional_count(body, "dimensions")?;
    let data: Vec<Value> = inputs
        .iter()
        .zip(0..)
        .map(|(input, index)| {
            let vector = vector(input, dimensions);
            let embedding = if body["encoding_format"] == "base64" {
                let bytes: Vec<u8> = vector.iter().flat_map(|it| it.to_le_bytes()).collect();
                json!(STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let counted: u32 = inputs.iter().map(|input| tokens_of(input)).sum();
    let mut document = json!({"object": "list", "data": data, "model": model});
    if !call.withholds_usage() {
        document["usage"] = json!({"prompt_tokens": counted, "total_tokens": counted});
    }
    let fields = Provider::OpenAi.fields(call.seed(body));
    let figures = figures(model, None, counted);
    Ok(embedded(call, fields, &document, figures))
}

/// An answer with vectors, whose usage it tells unless that is held back.
pub(super) fn embedded(
    call: &Call<'_>,
    fields: crate::wire::fields::Fields,
    document: &Value,
    figures: Figures,
) -> Answer {
    let told = if call.withholds_usage() {
        UsageTold::No
    } else {
        UsageTold::Complete
    };
    let part = Event::bare(json(document)).telling(told);
    Answer::of_part(StatusCode::OK, fields, part).with_figures(figures)
}

/// What the ledger is to know of vectors.
pub(super) fn figures(model: &str, response_id: Option<String>, input_tokens: u32) -> Figures {
    Figures {
        response_id,
        model: Some(model.to_owned()),
        input_tokens,
        ..Figures::default()
    }
}

/// What is to be embedded: texts or lists of tokens, one or many.
pub(super) fn inputs(input: &Value) -> Vec<&Value> {
    match input.as_array() {
        Some(inputs) if !inputs.iter().all(Value::is_number) => inputs.iter().collect(),
        Some(_) => vec![input],
        None => input.is_string().then_some(input).into_iter().collect(),
    }
}

/// Tokens of one input: those of a text, or the numbers themselves.
pub(super) fn tokens_of(input: &Value) -> u32 {
    let numbers = input.as_array().map_or(0, Vec::len);
    let numbers = u32::try_from(numbers).unwrap_or(u32::MAX);
    input.as_str().map_or(numbers, tokens::count)
}

/// A vector that follows from what is embedded. Its numbers are exact as floats
/// of any size and in JSON.
pub(super) fn vector(input: &Value, dimensions: Option<u32>) -> Vec<f32> {
    const STEPS: u16 = 1024;
    let mut draws = Seed::of_text(&input.to_string()).draws("vector");
    (0..dimensions.unwrap_or(DIMENSIONS).min(DIMENSIONS_MAX))
        .map(|_| {
            let drawn = draws.between(0, 2 * u32::from(STEPS));
            let drawn = u16::try_from(drawn).unwrap_or(STEPS);
            (f32::from(drawn) - f32::from(STEPS)) / f32::from(STEPS)
        })
        .collect()
}
