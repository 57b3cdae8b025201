//! Amazon's Titan embeddings: a text, and a vector that stands for it.

use serde_json::{Value, json};

use super::super::{Call, Refusal, optional_count, required_text};
use super::Delivered;
use super::invoke::{Content, Native};
use crate::answer::{Event, Figures};
use crate::api::cache::{CacheUse, Tokens};
use crate::ledger::UsageTold;
use crate::tokens;

/// Elements of a vector unless the request says otherwise.
const DIMENSIONS: u32 = 1024;

/// Most elements of a vector.
const DIMENSIONS_MAX: u32 = 1024;

/// Answers a request.
pub(super) fn answer(
    call: &Call<'_>,
    body: &Value,
    delivered: Delivered,
) -> Result<Native, Refusal> {
    if delivered == Delivered::Streamed {
        let message = "The model is unsupported for streaming.";
        return Err(Refusal::invalid(message, None));
    }
    let input = tokens::count(required_text(body, "inputText")?);
    let dimensions = optional_count(body, "dimensions")?.unwrap_or(DIMENSIONS);
    let seed = call.seed(body);
    let mut draws = seed.draws("vector");
    let vector: Vec<f64> = (0..dimensions.min(DIMENSIONS_MAX))
        .map(|_| f64::from(draws.between(0, 2000)) / 1000.0 - 1.0)
        .collect();
    let mut document = json!({"embedding": vector});
    let mut told = UsageTold::No;
    if !call.withholds_usage() {
        document["inputTextTokenCount"] = json!(input);
        told = UsageTold::Complete;
    }
    Ok(Native {
        seed,
        figures: Figures {
            input_tokens: input,
            ..Figures::default()
        },
        tokens: (!call.withholds_usage()).then(|| Tokens {
            input,
            output: 0,
            cache: CacheUse::default(),
        }),
        content: Content::Whole(Event::bare(document.to_string()).telling(told)),
    })
}
