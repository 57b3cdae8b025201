//! Other tables as price files, and what they change.

use crate::llm::usage::Usage;
use crate::meter::prices::update::{LeftOut, Update};
use crate::meter::prices::{Call, PriceTable};

/// Made up, in the shape of LiteLLM's table.
const TABLE: &str = r#"{
  "sample_spec": {"input_cost_per_token": "LESS THAN A CENT", "litellm_provider": "one of them"},
  "gpt-example": {
    "litellm_provider": "openai", "mode": "chat", "max_tokens": 128000, "source": "https://example/prices",
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 0.00001,
    "cache_read_input_token_cost": 1.25e-6,
    "cache_creation_input_token_cost": 3.125e-06,
    "cache_creation_input_token_cost_above_1hr": 5e-06,
    "input_cost_per_token_above_272k_tokens": 5e-06, "output_cost_per_token_above_272k_tokens": 2e-05,
    "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex": 5e-06,
    "input_cost_per_token_above_272k_tokens_flex": 2.5e-06,
    "output_cost_per_token_flex_above_272k_tokens": 0.00001,
    "cache_read_input_token_cost_batches": 6e-07,
    "regional_processing_uplift_multiplier_eu": 1.1,
    "supports_vision": true, "a_key_of_next_year": {"x": []}
  },
  "gpt-example-2026-01-01": {
    "litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 9e-06, "output_cost_per_token": 0.00001
  },
  "azure/gpt-example": {"litellm_provider": "azure", "mode": "chat",
    "input_cost_per_token": 3e-06, "output_cost_per_token": 0.00001},
  "azure/gpt-example-2026-01-01": {"litellm_provider": "azure", "mode": "chat",
    "input_cost_per_token": 3e-06, "output_cost_per_token": 0.00001},
  "azure/eu/gpt-example": {"litellm_provider": "azure", "mode": "chat",
    "input_cost_per_token": 3.3e-06, "output_cost_per_token": 0.000011},
  "xai/grok-example": {"litellm_provider": "xai", "mode": "chat",
    "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
    "input_cost_per_token_above_200k_tokens": 2e-06, "output_cost_per_token_above_200k_tokens": 4e-06},
  "dashscope/qwen-example": {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [
    {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
    {"range": [32000.0, 128000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06}]},
  "claude-example": {"litellm_provider": "anthropic", "mode": "chat",
    "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
    "provider_specific_entry": {"us": 1.1, "fast": 2},
    "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.01}},
  "embed-example": {"litellm_provider": "cohere", "mode": "embedding",
    "input_cost_per_token": 1e-07, "output_cost_per_token": 0.0},
  "rerank-example": {"litellm_provider": "cohere", "mode": "rerank",
    "input_cost_per_query": 0.002, "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
  "whisper-example": {"litellm_provider": "openai", "mode": "audio_transcription",
    "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001},
  "image-example": {"litellm_provider": "openai", "mode": "image_generation",
    "input_cost_per_token": 5e-06, "output_cost_per_image_token": 4e-05},
  "pieces-example": {"litellm_provider": "xai", "mode": "image_generation",
    "input_cost_per_token": 0.0, "output_cost_per_image": 0.02},
  "sized-example": {"litellm_provider": "bedrock", "mode": "image_generation", "output_cost_per_image": 0.06},
  "1024-x-1024/bedrock/sized-example": {"litellm_provider": "bedrock", "mode": "image_generation",
    "output_cost_per_image": 0.06},
  "speech-example": {"litellm_provider": "openai", "mode": "audio_speech", "input_cost_per_character": 1.5e-05},
  "pages-example": {"litellm_provider": "mistral", "mode": "ocr", "ocr_cost_per_page": 0.002,
    "ocr_cost_per_page_batches": 0.001, "annotation_cost_per_page": 0.003},
  "images-example": {"litellm_provider": "cohere", "mode": "embedding",
    "input_cost_per_token": 1e-07, "input_cost_per_image": 0.0001},
  "uncounted-example": {"litellm_provider": "bedrock", "mode": "embedding",
    "input_cost_per_token": 1e-07, "input_cost_per_image": 0.0001},
  "free-example": {"litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
  "half-example": {"litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 1e-06, "output_cost_per_token": 0},
  "by-the-hour": {"litellm_provider": "deepseek", "mode": "chat",
    "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "off_peak_pricing": {"windows": []}},
  "per-request": {"litellm_provider": "perplexity", "mode": "chat", "input_cost_per_request": 0.005,
    "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
  "gpt-example-search-preview": {"litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
  "slip-example": {"litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 0.0032, "output_cost_per_token": 0.0097},
  "elsewhere/model": {"litellm_provider": "elsewhere", "input_cost_per_token": 1e-06}
}"#;

fn update(table: &str, existing: Option<&str>) -> Result<Update, String> {
    Update::prepare(table, "2026-11-20", existing).map_err(|error| error.to_string())
}

#[test]
fn a_table_of_litellm_becomes_a_price_file() {
    let update = update(TABLE, None).expect("well formed");
    assert_eq!(
        update.left_out(),
        LeftOut {
            of_other_providers: 1,
            // azure/eu, by size twice, images uncounted, free, by the hour, per
            // request, with searches, slip.
            without_usable_price: 9,
        }
    );
    let table = PriceTable::default()
        .with_override(&update.text())
        .expect("what is written can be read");
    assert_eq!(&**table.version(), "litellm-2026-11-20");
    let rows = |provider: &str, model: &str| {
        let [sheet] = &table.sheets(model, Some(provider))[..] else {
            panic!("{provider} {model} is not in {}", update.text());
        };
        let rows = sheet
            .rows
            .iter()
            .map(|(row, price)| format!("{row} {price}"));
        rows.collect::<Vec<_>>().join(", ")
    };
    for (provider, model, expected) in [
        (
            "openai",
            "gpt-example",
            "above 272000: input 5, above 272000: output 20, cache_read 1.25, cache_write 3.125, \
             cache_write_1h 5, flex: above 272000: input 2.5, flex: above 272000: output 10, \
             flex: input 1.25, flex: output 5, input 2.5, multiplier region:eu 1.1, output 10",
        ),
        ("openai", "gpt-example-2026-01-01", "input 9, output 10"),
        // Found under the name without the date, and left out for that.
        (
            "azure.ai.openai",
            "gpt-example-2026-01-01",
            "input 3, output 10",
        ),
        (
            "x_ai",
            "grok-example",
            "above 199999: input 2, above 199999: output 4, input 1, output 2",
        ),
        ("x_ai", "pieces-example", "per_image 0.02"),
        ("openai", "speech-example", "per_character 0.000015"),
        (
            "mistral_ai",
            "pages-example",
            "batch: per_page 0.001, per_page 0.002",
        ),
        ("cohere", "images-example", "input 0.1, per_image 0.0001"),
        (
            "alibaba",
            "qwen-example",
            "above 32000: input 3, above 32000: output 4, input 1, output 2",
        ),
        (
            "anthropic",
            "claude-example",
            "input 3, multiplier geo:us 1.1, multiplier speed:fast 2, output 15, per_search 0.01",
        ),
        ("cohere", "embed-example", "input 0.1, output 0"),
        (
            "cohere",
            "rerank-example",
            "input 0, output 0, per_search 0.002",
        ),
        ("openai", "whisper-example", "per_second 0.0001"),
        (
            "openai",
            "image-example",
            "input 5, output 40, output_image 40",
        ),
        ("openai", "half-example", "input 1"),
    ] {
        assert_eq!(rows(provider, model), expected, "{provider} {model}");
    }
    let sheet = &table.sheets("gpt-example", Some("openai"))[0];
    assert_eq!(sheet.source.as_deref(), Some("https://example/prices"));
    assert_eq!(sheet.date.as_deref(), Some("2026-11-20"));
    assert!(table.sheets("free-example", None).is_empty());
    assert!(
        !update
            .text()
            .contains("azure.ai.openai\": {\n      \"gpt-example-2026-01-01")
    );
}

#[test]
fn half_a_price_prices_nothing() {
    let update = update(TABLE, None).expect("well formed");
    let table = PriceTable::default()
        .with_override(&update.text())
        .expect("what is written can be read");
    let call = Call {
        provider: "openai",
        response_model: Some("half-example"),
        ..Call::default()
    };
    let usage = Usage {
        input: Some(1000),
        output: Some(1000),
        ..Usage::default()
    };
    assert_eq!(table.cost_of(&call, &usage).usd, None);
}

#[test]
fn what_changes_is_said_and_what_is_not_in_the_table_stays() {
    let existing = r#"{"version": "mine", "date": "2026-01-01", "source": "a contract", "providers": {
        "openai": {"gpt-example": {"input": "2", "output": "10"}},
        "local": {"llama": {"input": "0.1", "output": "0.1"}}}}"#;
    let update = update(
        r#"{"version": "2", "date": "2026-02-02", "source": "a list", "providers": {
            "openai": {"gpt-example": {"input": "2.5", "output": "10", "cache_read": "1"},
                       "gpt-new": {"input": "1", "output": "2"}}}}"#,
        Some(existing),
    )
    .expect("well formed");
    let changes: Vec<_> = update.changes().iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "~ openai gpt-example: cache_read none -> 1, input 2 -> 2.5",
            "+ openai gpt-new: input 1, output 2",
        ]
    );
    assert_eq!((update.models(), update.kept()), (3, 1));
    let table = PriceTable::builtin()
        .with_override(&update.text())
        .expect("what is written can be read");
    let llama = &table.sheets("llama", Some("local"))[0];
    assert_eq!(llama.source.as_deref(), Some("a contract"));
    assert_eq!(llama.date.as_deref(), Some("2026-01-01"));
    // Written again, nothing changes.
    let again = Update::prepare(&update.text(), "", Some(&update.text())).expect("well formed");
    assert_eq!(again.changes(), []);
    assert_eq!(again.text(), update.text());
}

#[test]
fn the_builtin_table_is_written_as_it_is() {
    let update = update(super::BUILTIN, None).expect("well formed");
    assert_eq!(update.changes(), []);
    assert!(
        update.text() == super::BUILTIN,
        "not in the form that is written"
    );
}

#[test]
fn a_range_of_prompts_without_a_price_leaves_its_model_out() {
    let table = |second: &str| {
        format!(
            r#"{{"dashscope/q": {{"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [
                {{"range": [0, 100], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}},
                {{"range": [100, 200], {second}}}]}},
              "gpt-example": {{"litellm_provider": "openai", "mode": "chat",
                "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}}}}"#
        )
    };
    for (second, models) in [
        (r#""input_cost_per_token": 3e-06"#, 2),
        (r#""a_key_of_next_year": 3e-06"#, 1),
    ] {
        let update = update(&table(second), None).expect("well formed");
        assert_eq!(update.models(), models, "{second}");
        let read = PriceTable::default().with_override(&update.text());
        assert!(read.is_ok(), "{:?}", read.err());
    }
}

#[test]
fn errors_name_line_and_key() {
    for (table, expected) in [
        ("", "line 1, column 0: EOF"),
        (
            "[]",
            "line 1, column 2: invalid length 0, expected a price file",
        ),
        ("{\n\"a\": 5}", "line 2, column 6: a: invalid type: integer"),
        (
            "{\"a\": {\"litellm_provider\": \"openai\",\n  \"input_cost_per_token\": true}}",
            "line 2, column 27: a.input_cost_per_token: true is not a number of US dollars",
        ),
        (
            "{\"a\": {\"litellm_provider\": \"openai\",\n\n \"output_cost_per_token\": -1}}",
            "line 3, column 27: a.output_cost_per_token: -1 is no price that can be meant",
        ),
        (
            "{\"a\": {\"litellm_provider\": \"openai\", \"tiered_pricing\": [{}]}}",
            "line 1, column 56: a.tiered_pricing: an entry has no range",
        ),
        (
            "{\"a\": {\"litellm_provider\": \"openai\", \"tiered_pricing\": [{\"range\": [-1, 5]}]}}",
            "a.tiered_pricing: a range begins at no number of tokens",
        ),
        ("{}", "no model in it has a price"),
        (
            "{\"version\": \"1\", \"providers\": {\"p\": {\"m\": {\"input\": 1}}}}",
            "line 1, column 53: providers.p.m.input: invalid type: integer `1`, expected a string",
        ),
    ] {
        let message = update(table, None).map(|_| ()).expect_err("refused");
        assert!(
            message.starts_with(expected) || message.contains(expected),
            "{table}: {message}"
        );
    }
    let message = update(TABLE, Some("{}")).map(|_| ()).expect_err("refused");
    assert!(
        message.starts_with("the price file that is there already: line 1"),
        "{message}"
    );
}
