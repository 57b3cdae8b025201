//! The keys of LiteLLM's table: what they price, in which tier, above which length.

use super::super::kind::Kind;

/// Service tiers by the endings of keys.
const TIERS: [(&str, &str); 5] = [
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
    ("_ultrafast", "ultrafast"),
    ("_balanced", "balanced"),
];

/// What a key is the price of.
pub(super) struct Slot {
    pub(super) kind: Kind,
    /// Tokens of prompt above which it is.
    pub(super) above: Option<u64>,
    pub(super) tier: Option<&'static str>,
}

impl Slot {
    pub(super) fn of(name: &str) -> Option<Self> {
        let (name, tier) = without_tier(name);
        let (name, above) = match name.strip_suffix("_tokens") {
            Some(rest) => {
                let (name, threshold) = rest.rsplit_once("_above_")?;
                (name, Some(tokens(threshold)?))
            }
            None => (name, None),
        };
        // Either may come first.
        let (name, earlier_tier) = without_tier(name);
        let kind = match name {
            "input_cost_per_token" => Kind::Input,
            "output_cost_per_token" => Kind::Output,
            "output_cost_per_reasoning_token" => Kind::Reasoning,
            "cache_read_input_token_cost" => Kind::CacheRead,
            "cache_creation_input_token_cost" => Kind::CacheWrite,
            "cache_creation_input_token_cost_above_1hr" => Kind::CacheWrite1h,
            "cache_creation_input_token_cost_above_12hr" => Kind::CacheWrite12h,
            "input_cost_per_audio_token" => Kind::InputAudio,
            "input_cost_per_image_token" => Kind::InputImage,
            "cache_read_input_audio_token_cost" => Kind::CacheReadAudio,
            "cache_read_input_image_token_cost" => Kind::CacheReadImage,
            "output_cost_per_audio_token" => Kind::OutputAudio,
            "output_cost_per_image_token" => Kind::OutputImage,
            _ => return None,
        };
        Some(Self {
            kind,
            above,
            tier: tier.or(earlier_tier),
        })
    }
}

fn without_tier(name: &str) -> (&str, Option<&'static str>) {
    TIERS
        .iter()
        .find_map(|(ending, tier)| Some((name.strip_suffix(ending)?, Some(*tier))))
        .unwrap_or((name, None))
}

/// `272k` or `272000`.
fn tokens(text: &str) -> Option<u64> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}
