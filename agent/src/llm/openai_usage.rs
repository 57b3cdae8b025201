//! The usage object of OpenAI's APIs and of everyone compatible with them.
//!
//! Chat completions and responses name the same things differently, and servers
//! that offer both mix the names: one table reads either.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use rust_decimal::Decimal;

use super::json::{Found, Interest, Path, Table, Want, scan};
use super::reading::{Counts, amount, code, count, seconds};
use super::usage::{Usage, plus};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    CacheWrite30m,
    CacheWrite12h,
    Reasoning,
    InputAudio,
    InputImage,
    CacheReadAudio,
    CacheReadImage,
    OutputAudio,
    OutputImage,
    Searches,
    Pages,
    Seconds,
    ServiceTier,
    Cost,
    /// In units of 1e-10 USD.
    CostTicks,
    OwnKey,
    UpstreamCost,
}

const fn scalar(path: Path, slot: Slot) -> Interest<Slot> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

/// The standard names first; where a provider gives the same number under two
/// names, both say the same.
static TABLE: Table<Slot> = Table::new(&[
    scalar(&["prompt_tokens"], Slot::Input),
    scalar(&["input_tokens"], Slot::Input),
    scalar(&["completion_tokens"], Slot::Output),
    scalar(&["output_tokens"], Slot::Output),
    scalar(&["total_tokens"], Slot::Total),
    scalar(&["prompt_tokens_details", "cached_tokens"], Slot::CacheRead),
    scalar(&["input_tokens_details", "cached_tokens"], Slot::CacheRead),
    scalar(
        &["prompt_tokens_details", "cache_write_tokens"],
        Slot::CacheWrite,
    ),
    scalar(
        &["input_tokens_details", "cache_write_tokens"],
        Slot::CacheWrite,
    ),
    scalar(
        &[
            "input_tokens_details",
            "cache_write_tokens_details",
            "ttl_30m_tokens",
        ],
        Slot::CacheWrite30m,
    ),
    scalar(
        &[
            "input_tokens_details",
            "cache_write_tokens_details",
            "ttl_12h_tokens",
        ],
        Slot::CacheWrite12h,
    ),
    scalar(
        &["completion_tokens_details", "reasoning_tokens"],
        Slot::Reasoning,
    ),
    scalar(
        &["output_tokens_details", "reasoning_tokens"],
        Slot::Reasoning,
    ),
    scalar(&["prompt_tokens_details", "audio_tokens"], Slot::InputAudio),
    scalar(&["prompt_tokens_details", "image_tokens"], Slot::InputImage),
    scalar(
        &["completion_tokens_details", "audio_tokens"],
        Slot::OutputAudio,
    ),
    scalar(&["input_tokens_details", "audio_tokens"], Slot::InputAudio),
    scalar(&["input_tokens_details", "image_tokens"], Slot::InputImage),
    scalar(
        &["output_tokens_details", "audio_tokens"],
        Slot::OutputAudio,
    ),
    scalar(
        &["output_tokens_details", "image_tokens"],
        Slot::OutputImage,
    ),
    // Audio and realtime, in the singular.
    scalar(&["input_token_details", "cached_tokens"], Slot::CacheRead),
    scalar(&["input_token_details", "audio_tokens"], Slot::InputAudio),
    scalar(&["input_token_details", "image_tokens"], Slot::InputImage),
    scalar(&["output_token_details", "audio_tokens"], Slot::OutputAudio),
    scalar(
        &[
            "input_token_details",
            "cached_tokens_details",
            "audio_tokens",
        ],
        Slot::CacheReadAudio,
    ),
    scalar(
        &[
            "input_token_details",
            "cached_tokens_details",
            "image_tokens",
        ],
        Slot::CacheReadImage,
    ),
    // Of the tool that draws.
    scalar(&["cached_tokens"], Slot::CacheRead),
    scalar(
        &["cached_tokens_details", "cached_image_tokens"],
        Slot::CacheReadImage,
    ),
    // Mistral's of documents.
    scalar(&["pages_processed"], Slot::Pages),
    // Transcriptions that are billed by their length.
    scalar(&["seconds"], Slot::Seconds),
    // DeepSeek.
    scalar(&["prompt_cache_hit_tokens"], Slot::CacheRead),
    // vLLM.
    scalar(
        &["prompt_tokens_details", "created_cache_tokens"],
        Slot::CacheWrite,
    ),
    scalar(
        &["prompt_tokens_details", "multimodal_tokens", "image"],
        Slot::InputImage,
    ),
    scalar(
        &["prompt_tokens_details", "multimodal_tokens", "audio"],
        Slot::InputAudio,
    ),
    // SGLang.
    scalar(&["reasoning_tokens"], Slot::Reasoning),
    // Perplexity, in its responses API.
    scalar(
        &["input_tokens_details", "cache_read_input_tokens"],
        Slot::CacheRead,
    ),
    scalar(
        &["input_tokens_details", "cache_creation_input_tokens"],
        Slot::CacheWrite,
    ),
    // Mistral.
    scalar(&["service_tier"], Slot::ServiceTier),
    scalar(&["prompt_audio_seconds"], Slot::Seconds),
    // OpenRouter.
    scalar(&["cost"], Slot::Cost),
    scalar(&["is_byok"], Slot::OwnKey),
    scalar(
        &["cost_details", "upstream_inference_cost"],
        Slot::UpstreamCost,
    ),
    // Perplexity.
    scalar(&["cost", "total_cost"], Slot::Cost),
    scalar(&["num_search_queries"], Slot::Searches),
    // xAI.
    scalar(&["cost_in_usd_ticks"], Slot::CostTicks),
]);

/// Reads a usage object; anything else has no counts in it.
pub(super) fn parse(raw: &[u8]) -> Counts {
    read(raw).0
}

/// Reads the usage object of a call that generates nothing: some state its
/// total only.
pub(super) fn parse_input(raw: &[u8]) -> Counts {
    let (mut counts, total) = read(raw);
    if counts.usage.output.is_none() && counts.usage.input.is_none() {
        counts.usage.input = total;
    }
    if counts.usage.input == total {
        counts.usage.output = counts.usage.output.or(total.and(Some(0)));
    }
    counts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timing {
    Evaluated,
    Cached,
    Predicted,
}

static TIMINGS: Table<Timing> = Table::new(&[
    Interest {
        path: &["prompt_n"],
        want: Want::Scalar,
        slot: Timing::Evaluated,
    },
    Interest {
        path: &["cache_n"],
        want: Want::Scalar,
        slot: Timing::Cached,
    },
    Interest {
        path: &["predicted_n"],
        want: Want::Scalar,
        slot: Timing::Predicted,
    },
]);

/// Reads the timings of llama.cpp, which state the tokens of the prompt that
/// were evaluated apart from those found in the cache.
pub(super) fn parse_timings(raw: &[u8]) -> Usage {
    let (mut evaluated, mut usage) = (None, Usage::default());
    let _whole = scan(raw, &TIMINGS, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        match slot {
            Timing::Evaluated => evaluated = count(raw),
            Timing::Cached => usage.cache_read = count(raw),
            Timing::Predicted => usage.output = count(raw),
        }
    });
    usage.input = evaluated.and_then(|evaluated| plus(Some(evaluated), usage.cache_read));
    usage
}

/// The counts, and the total beside them.
fn read(raw: &[u8]) -> (Counts, Option<u64>) {
    let mut usage = Usage::default();
    let (mut total, mut service_tier) = (None, None);
    let (mut cost, mut upstream_cost, mut is_own_key) = (None, None, false);
    // The object was captured whole: what the scan says of its end is known.
    let _whole = scan(raw, &TABLE, |found| {
        let Found::Value { slot, raw, .. } = found else {
            return;
        };
        let field = match slot {
            Slot::Input => &mut usage.input,
            Slot::Output => &mut usage.output,
            Slot::Total => &mut total,
            Slot::CacheRead => &mut usage.cache_read,
            Slot::CacheWrite => &mut usage.cache_write,
            Slot::CacheWrite30m => &mut usage.cache_write_30m,
            Slot::CacheWrite12h => &mut usage.cache_write_12h,
            Slot::Reasoning => &mut usage.reasoning,
            Slot::InputAudio => &mut usage.input_audio,
            Slot::InputImage => &mut usage.input_image,
            Slot::CacheReadAudio => &mut usage.cache_read_audio,
            Slot::CacheReadImage => &mut usage.cache_read_image,
            Slot::OutputAudio => &mut usage.output_audio,
            Slot::OutputImage => &mut usage.output_image,
            Slot::Searches => &mut usage.searches,
            Slot::Pages => &mut usage.pages,
            Slot::Seconds => return usage.seconds = seconds(raw).or(usage.seconds),
            Slot::ServiceTier => return service_tier = code(raw),
            Slot::Cost => return cost = amount(raw).or(cost),
            Slot::CostTicks => {
                return cost = amount(raw).and_then(|ticks| ticks.checked_mul(Decimal::new(1, 10)));
            }
            Slot::OwnKey => return is_own_key = raw == b"true",
            Slot::UpstreamCost => return upstream_cost = amount(raw),
        };
        *field = count(raw).or(*field);
    });
    fold_reasoning(&mut usage, total);
    if is_own_key {
        // OpenRouter then states its own fee, and apart from it what the owner
        // of the key will be charged.
        cost = cost
            .zip(upstream_cost)
            .and_then(|(fee, upstream)| fee.checked_add(upstream));
    }
    let counts = Counts {
        usage,
        service_tier,
        stated_cost: cost,
        ..Counts::default()
    };
    (counts, total)
}

/// xAI counts reasoning beside the completion. Its total gives it away; where
/// there is none, or it does not fit, nothing is added.
pub(super) fn fold_reasoning(usage: &mut Usage, total: Option<u64>) {
    if let (Some(input), Some(output), Some(reasoning), Some(total)) =
        (usage.input, usage.output, usage.reasoning, total)
        && reasoning > 0
        && let Some(folded) = output.checked_add(reasoning)
        && input.checked_add(folded) == Some(total)
    {
        usage.output = Some(folded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, usage: Usage, cost: Option<Decimal>) {
        let counts = parse(raw.as_bytes());
        assert_eq!((counts.usage, counts.stated_cost), (usage, cost), "{raw}");
    }

    #[test]
    fn the_names_of_both_apis_are_read() {
        let usage = Usage {
            input: Some(100),
            output: Some(20),
            cache_read: Some(60),
            cache_write: Some(10),
            reasoning: Some(8),
            ..Usage::default()
        };
        check(
            r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
                "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},
                "completion_tokens_details":{"reasoning_tokens":8}}"#,
            usage,
            None,
        );
        check(
            r#"{"input_tokens":100,"output_tokens":20,"total_tokens":120,
                "input_tokens_details":{"cached_tokens":60,"cache_write_tokens":10,
                  "cache_write_tokens_details":{"ttl_30m_tokens":4,"ttl_12h_tokens":6}},
                "output_tokens_details":{"reasoning_tokens":8}}"#,
            Usage {
                cache_write_30m: Some(4),
                cache_write_12h: Some(6),
                ..usage
            },
            None,
        );
    }

    #[test]
    fn what_was_cached_of_sound_is_told_from_text() {
        check(
            r#"{"total_tokens":300,"input_tokens":200,"output_tokens":100,
                "input_token_details":{"text_tokens":50,"audio_tokens":140,"image_tokens":10,
                  "cached_tokens":128,"cached_tokens_details":{"text_tokens":24,"audio_tokens":96,
                  "image_tokens":8}},
                "output_token_details":{"text_tokens":30,"audio_tokens":70}}"#,
            Usage {
                input: Some(200),
                output: Some(100),
                cache_read: Some(128),
                input_audio: Some(140),
                input_image: Some(10),
                cache_read_audio: Some(96),
                cache_read_image: Some(8),
                output_audio: Some(70),
                ..Usage::default()
            },
            None,
        );
    }

    #[test]
    fn reasoning_beside_the_completion_is_added_if_the_total_says_so() {
        let folded = |total, output| {
            check(
                &format!(
                    r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":{total},
                        "completion_tokens_details":{{"reasoning_tokens":3}}}}"#
                ),
                Usage {
                    input: Some(10),
                    output: Some(output),
                    reasoning: Some(3),
                    ..Usage::default()
                },
                None,
            );
        };
        folded(18, 8);
        folded(15, 5);
        folded(99, 5);
    }

    #[test]
    fn stated_costs_are_read_exactly() {
        let none = Usage::default();
        check(r#"{"cost":0.00012}"#, none, Some(Decimal::new(12, 5)));
        check(
            r#"{"cost":{"total_cost":0.006}}"#,
            none,
            Some(Decimal::new(6, 3)),
        );
        check(
            r#"{"cost_in_usd_ticks":12345678}"#,
            none,
            Some(Decimal::new(12_345_678, 10)),
        );
        check(
            r#"{"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}}"#,
            none,
            Some(Decimal::new(21, 2)),
        );
        check(r#"{"cost":0.01,"is_byok":true}"#, none, None);
        check(r#"{"cost":null}"#, none, None);
    }

    #[test]
    fn an_object_without_counts_is_empty() {
        for raw in ["null", "{}", "[]", "7", r#"{"dram_cached_tokens":3}"#] {
            assert_eq!(parse(raw.as_bytes()), Counts::default(), "{raw}");
        }
    }
}
