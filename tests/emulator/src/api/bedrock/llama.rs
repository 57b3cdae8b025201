//! Meta's Llama models: a prompt, and a text with its counts beside it.

use serde_json::{Value, json};

use super::super::turn::{Reasoning, Said, Stop, Turn};
use super::super::{Call, Refusal, optional_count, required_text};
use super::Delivered;
use super::invoke::{Content, Native};
use crate::answer::{Event, Figures};
use crate::api::cache::{CacheUse, Tokens};
use crate::ledger::UsageTold;
use crate::tokens;

/// Answers a request.
pub(super) fn answer(
    call: &Call<'_>,
    body: &Value,
    delivered: Delivered,
) -> Result<Native, Refusal> {
    let input = tokens::count(required_text(body, "prompt")?);
    let budget = optional_count(body, "max_gen_len")?;
    let seed = call.seed(body);
    let turn = Turn::new(seed, 0, call.controls, budget, Reasoning::Off, None);
    let Said::Text(text) = &turn.said else {
        unreachable!("no tool was given");
    };
    let stop = if turn.stop == Stop::Budget {
        "length"
    } else {
        "stop"
    };
    let withheld = call.withholds_usage();
    let told = if withheld {
        UsageTold::No
    } else {
        UsageTold::Complete
    };
    let count = |tokens: u32| (!withheld).then_some(tokens);
    let content = match delivered {
        Delivered::Whole => {
            let document = json!({
                "generation": text.text(),
                "prompt_token_count": count(input),
                "generation_token_count": count(text.tokens()),
                "stop_reason": stop,
            });
            let document = Event::bare(document.to_string()).carrying(text.tokens());
            Content::Whole(document.telling(told))
        }
        Delivered::Streamed => {
            // The prompt is counted in the first chunk; what was generated, in each.
            let mut said = 0;
            let mut chunks: Vec<Event> = text
                .pieces()
                .iter()
                .map(|piece| {
                    let is_first = said == 0;
                    said += piece.tokens;
                    let chunk = json!({
                        "generation": piece.text,
                        "prompt_token_count": count(input).filter(|_| is_first),
                        "generation_token_count": count(said),
                        "stop_reason": null,
                    });
                    Event::bare(chunk.to_string()).carrying(piece.tokens)
                })
                .collect();
            let last = json!({
                "generation": "",
                "prompt_token_count": null,
                "generation_token_count": count(said),
                "stop_reason": stop,
            });
            chunks.push(Event::bare(last.to_string()).telling(told));
            Content::Chunks(chunks)
        }
    };
    Ok(Native {
        seed,
        figures: Figures {
            input_tokens: input,
            ..Figures::default()
        },
        tokens: (!withheld).then(|| Tokens {
            input,
            output: text.tokens(),
            cache: CacheUse::default(),
        }),
        content,
    })
}
