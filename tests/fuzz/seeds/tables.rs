//! Files that people write or fetch: configurations and prices.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Of LiteLLM's shape, made up.
const LITELLM: &str = r#"{
  "sample_spec": {"input_cost_per_token": "LESS THAN A CENT", "litellm_provider": "one of them"},
  "gpt-example": {"litellm_provider": "openai", "mode": "chat", "source": "https://example/prices",
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 0.00001, "cache_read_input_token_cost": 1.25e-6,
    "cache_creation_input_token_cost_above_1hr": 5e-06, "input_cost_per_token_above_272k_tokens": 5e-06,
    "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex_above_272k_tokens": 0.00001,
    "regional_processing_uplift_multiplier_eu": 1.1, "a_key_of_next_year": {"x": []}},
  "xai/grok-example": {"litellm_provider": "xai", "mode": "chat", "input_cost_per_token": 1e-06,
    "output_cost_per_token": 2e-06, "input_cost_per_token_above_200k_tokens": 2e-06},
  "dashscope/qwen-example": {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [
    {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
    {"range": [32000.0, 128000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06}]},
  "claude-example": {"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 3e-06,
    "output_cost_per_token": 1.5e-05, "provider_specific_entry": {"us": 1.1, "fast": 2},
    "search_context_cost_per_query": {"search_context_size_low": 0.01}},
  "rerank-example": {"litellm_provider": "cohere", "mode": "rerank", "input_cost_per_query": 0.002},
  "whisper-example": {"litellm_provider": "openai", "mode": "audio_transcription",
    "input_cost_per_second": 0.0001},
  "image-example": {"litellm_provider": "openai", "mode": "image_generation",
    "input_cost_per_token": 5e-06, "output_cost_per_image_token": 4e-05}
}"#;

fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The example with every key, whole and without comments, and parts of it.
pub(crate) fn configurations() -> Result<Vec<Vec<u8>>> {
    let whole = read("deploy/examples/weir.yaml")?;
    let bare = |text: &str| {
        let lines = text.lines().map(|line| line.trim_start_matches("# "));
        let kept: Vec<_> = lines.filter(|line| !line.trim().is_empty()).collect();
        kept.join("\n")
    };
    let mut all = vec![whole.clone(), bare(&whole)];
    all.extend(whole.split("\n\n").map(str::to_owned));
    all.extend(whole.split("\n\n").map(bare));
    all.push("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n".to_owned());
    Ok(all.into_iter().map(String::into_bytes).collect())
}

/// The table that is built in, a few models of each provider at a time.
pub(crate) fn prices() -> Result<Vec<Vec<u8>>> {
    let table: Map<String, Value> = serde_json::from_str(&read("agent/src/meter/prices.json")?)?;
    let providers = table.get("providers").and_then(Value::as_object);
    let mut all = Vec::new();
    for (provider, models) in providers.context("the table has no providers")? {
        let models: Vec<_> = models.as_object().into_iter().flatten().collect();
        for few in models.chunks(2).step_by(8).take(3) {
            let few: Map<_, _> = few
                .iter()
                .map(|(id, it)| ((*id).clone(), (*it).clone()))
                .collect();
            let mut small = table.clone();
            small.insert("notice".to_owned(), Value::Array(Vec::new()));
            let only = Map::from_iter([(provider.clone(), Value::Object(few))]);
            small.insert("providers".to_owned(), Value::Object(only));
            all.push(serde_json::to_vec(&small)?);
        }
    }
    Ok(all)
}

/// A table with one of everything, and its entries alone.
pub(crate) fn litellm() -> Vec<Vec<u8>> {
    let mut all = vec![LITELLM.as_bytes().to_vec()];
    if let Ok(Value::Object(entries)) = serde_json::from_str(LITELLM) {
        all.extend(entries.into_iter().map(|(key, entry)| {
            Value::Object(Map::from_iter([(key, entry)]))
                .to_string()
                .into_bytes()
        }));
    }
    all
}
