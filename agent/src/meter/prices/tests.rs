mod imported;
mod unknown;
mod worked;

use std::collections::BTreeMap;

use super::*;

fn usd(text: &str) -> Option<Decimal> {
    Some(text.parse().expect("a decimal"))
}

const TABLE: &str = r#"{
  "version": "test",
  "providers": {
    "acme": {
      "plain": {"input": "2", "output": "8"},
      "cached": {"input": "2", "output": "8", "cache_read": "0.2", "cache_write": "2.5",
        "cache_write_1h": "4", "cache_write_12h": "5"},
      "free-reads": {"input": "2", "output": "8", "cache_read": "0"},
      "cliff": {"input": "1", "output": "10", "cache_read": "0.1",
        "above": [{"tokens": 1000, "input": "2", "output": "15"},
                  {"tokens": 5000, "input": "4", "output": "20", "cache_read": "0.4"}]},
      "tiered": {"input": "2", "output": "8", "tiers": {"flex": {"input": "1", "output": "4"}}},
      "uplifted": {"input": "2", "output": "8",
        "multipliers": {"region:eu": "1.1", "geo:us": "1.1", "speed:fast": "2"}},
      "Dated": {"input": "1", "output": "1"},
      "dated-2026-01-01": {"input": "3", "output": "3"},
      "ft:base-2026-01-01": {"input": "5", "output": "5"}
    }
  }
}"#;

fn table() -> PriceTable {
    PriceTable::default()
        .with_override(TABLE)
        .expect("well formed")
}

fn used(input: u64, output: u64) -> Usage {
    Usage {
        input: Some(input),
        output: Some(output),
        ..Usage::default()
    }
}

#[track_caller]
fn check(model: &str, usage: Usage, expected: Option<&str>) {
    let cost = table().cost("acme", None, Some(model), None, &usage);
    assert_eq!(cost.usd, expected.and_then(usd), "{model} {usage:?}");
    let provenance = if expected.is_some() {
        CostProvenance::Priced
    } else {
        CostProvenance::Unpriced
    };
    assert_eq!(cost.provenance, provenance);
}

#[test]
fn input_and_output_have_their_prices() {
    check("plain", used(1_000_000, 1_000_000), Some("10"));
    check("plain", used(1, 0), Some("0.000002"));
    check("plain", used(0, 0), Some("0"));
}

#[test]
fn cached_tokens_are_taken_out_of_the_input() {
    // 1000 = 100 plain, 600 read, 100 for minutes, 150 for an hour, 50 for twelve.
    let usage = Usage {
        cache_read: Some(600),
        cache_write: Some(300),
        cache_write_5m: Some(60),
        cache_write_30m: Some(40),
        cache_write_1h: Some(150),
        cache_write_12h: Some(50),
        ..used(1000, 10)
    };
    // 200 + 120 + 250 + 600 + 250 + 80 millionths.
    check("cached", usage, Some("0.0015"));
    // Without prices of their own they cost what input costs.
    check("plain", usage, Some("0.00208"));
    // A price of zero is a price.
    check("free-reads", usage, Some("0.00088"));
}

#[test]
fn writes_of_unstated_lifetime_are_brief_ones() {
    let unsplit = Usage {
        cache_write: Some(300),
        ..used(1000, 0)
    };
    check("cached", unsplit, Some("0.00215"));
    let only_split = Usage {
        cache_write_1h: Some(300),
        ..used(1000, 0)
    };
    check("cached", only_split, Some("0.0026"));
}

#[test]
fn counts_that_contradict_each_other_do_not_underflow() {
    let usage = Usage {
        cache_read: Some(5000),
        cache_write: Some(9),
        ..used(1000, 0)
    };
    check("cached", usage, Some("0.0002"));
    check(
        "plain",
        used(u64::MAX, u64::MAX),
        Some("184467440737095.5161500"),
    );
}

#[test]
fn context_tiers_are_cliffs() {
    check("cliff", used(1000, 100), Some("0.002"));
    // One token more, and everything costs more.
    check("cliff", used(1001, 100), Some("0.003502"));
    let cached = Usage {
        cache_read: Some(1000),
        ..used(1001, 0)
    };
    check("cliff", cached, Some("0.000102"));
    let cached = Usage {
        cache_read: Some(6000),
        ..used(6001, 0)
    };
    check("cliff", cached, Some("0.002404"));
}

#[test]
fn the_tier_in_the_response_decides() {
    let cost = |model, tier| {
        table()
            .cost("acme", None, Some(model), tier, &used(1000, 1000))
            .usd
    };
    assert_eq!(cost("tiered", None), usd("0.01"));
    assert_eq!(cost("tiered", Some("default")), usd("0.01"));
    assert_eq!(cost("tiered", Some("flex")), usd("0.005"));
    // A tier without a price is not the standard one, and `auto` is none.
    for unpriced in ["priority", "auto", "PROVISIONED_THROUGHPUT"] {
        assert_eq!(cost("tiered", Some(unpriced)), None);
        assert_eq!(cost("plain", Some(unpriced)), None);
    }
}

#[test]
fn regions_and_speeds_multiply() {
    let cost = |host, geo, speed| {
        let call = Call {
            provider: "acme",
            host,
            response_model: Some("uplifted"),
            inference_geo: geo,
            speed,
            ..Call::default()
        };
        table().cost_of(&call, &used(1000, 1000)).usd
    };
    assert_eq!(cost(None, None, None), usd("0.01"));
    assert_eq!(cost(Some("eu.api.acme.example"), None, None), usd("0.011"));
    assert_eq!(
        cost(Some("api.acme.example"), Some("global"), Some("standard")),
        usd("0.01")
    );
    assert_eq!(cost(None, Some("us"), Some("fast")), usd("0.022"));
    assert_eq!(cost(None, None, Some("ludicrous")), None);
}

#[test]
fn models_are_found_under_their_aliases() {
    let cost = |model| {
        table()
            .cost("acme", None, Some(model), None, &used(1_000_000, 0))
            .usd
    };
    for (model, expected) in [
        ("dated", Some("1")),
        ("DATED", Some("1")),
        ("dated-2026-01-01", Some("3")),
        ("dated-2025-12-31", Some("1")),
        ("dated-20251231", Some("1")),
        ("dated@20251231", Some("1")),
        ("dated-v1:0", Some("1")),
        ("dated-20251231-v1:0", Some("1")),
        ("vendor/dated", Some("1")),
        ("us.anthropic.dated-20251231-v2:0", Some("1")),
        ("ft:base-2026-01-01:org::id", Some("5")),
        ("ft:dated:org::id", None),
        ("dated-mini", None),
        ("date", None),
        ("", None),
        ("-2026-01-01", None),
    ] {
        assert_eq!(cost(model), expected.and_then(usd), "{model}");
    }
}

#[test]
fn the_model_that_answered_is_looked_up_first() {
    let cost = |request, response| {
        table()
            .cost("acme", request, response, None, &used(1_000_000, 0))
            .usd
    };
    assert_eq!(cost(Some("plain"), Some("dated")), usd("1"));
    assert_eq!(cost(Some("plain"), Some("nobody-knows")), usd("2"));
    assert_eq!(cost(Some("plain"), None), usd("2"));
    assert_eq!(cost(None, None), None);
}

#[test]
fn what_is_not_known_is_not_priced() {
    check("unheard-of", used(1, 1), None);
    check("plain", Usage::default(), None);
    check(
        "plain",
        Usage {
            input: Some(1),
            ..Usage::default()
        },
        None,
    );
    let elsewhere = table().cost("other", Some("plain"), None, None, &used(1, 1));
    assert_eq!(elsewhere, Cost::default());
}

#[test]
fn a_stated_cost_beats_the_table() {
    let call = Call {
        provider: "acme",
        response_model: Some("plain"),
        stated: usd("0.5"),
        ..Call::default()
    };
    let cost = table().cost_of(&call, &used(1_000_000, 0));
    assert_eq!(
        cost,
        Cost {
            usd: usd("0.5"),
            provenance: CostProvenance::Stated
        }
    );
}

#[test]
fn the_builtin_table_prices_the_main_models() {
    let table = PriceTable::builtin();
    let models: usize = table.providers.values().map(BTreeMap::len).sum();
    assert!(models >= 60, "{models} models");
    let usage = Usage {
        cache_read: Some(400_000),
        ..used(1_000_000, 100_000)
    };
    for (provider, model, expected) in [
        // 0.6 * 0.15 + 0.4 * 0.075 + 0.1 * 0.6
        ("openai", "gpt-4o-mini-2024-07-18", "0.18"),
        // 0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10
        ("openai", "gpt-4o", "3"),
        // Above 272,000: 0.6 * 8 + 0.4 * 0.8 + 0.1 * 30
        ("openai", "gpt-5.6", "8.12"),
        // 0.6 * 3 + 0.4 * 0.3 + 0.1 * 15
        ("anthropic", "claude-sonnet-4-6", "3.42"),
        // 0.6 * 0.8 + 0.4 * 0.8 + 0.1 * 4: no price for cached tokens.
        ("groq", "qwen/qwen3.8-27b", "1.2"),
    ] {
        let cost = table.cost(provider, None, Some(model), None, &usage);
        assert_eq!(cost.usd, usd(expected), "{model}");
    }
}

#[test]
fn the_builtin_table_is_plausible() {
    for (provider, models) in &PriceTable::builtin().providers {
        for (id, model) in models {
            let context = format!("{provider} {id}");
            let rates = &model.standard.rates;
            assert!(
                rates.values().any(|rate| !rate.0.is_zero()),
                "{context}: unknown is not zero"
            );
            let tiers = std::iter::once(&model.standard).chain(model.tiers.values());
            for tier in tiers {
                let dearest = Decimal::from(1000);
                assert!(
                    tier.rates.values().all(|rate| rate.0 <= dearest),
                    "{context}"
                );
                for above in &tier.above {
                    assert!(above.tokens >= 1000, "{context}: a threshold in thousands");
                    assert!(above.rates.contains_key(&kind::Kind::Input), "{context}");
                }
            }
            for factor in model.multipliers.values() {
                let plausible = Decimal::ONE..=Decimal::TEN;
                assert!(plausible.contains(&factor.0), "{context}");
            }
            assert!(model.date.is_some() && model.source.is_some(), "{context}");
        }
    }
}

#[test]
fn the_builtin_table_says_where_it_comes_from() {
    let text: serde_json::Value = serde_json::from_str(BUILTIN).expect("JSON");
    let notice = text["notice"].to_string();
    assert!(
        notice.contains("MIT License") && notice.contains("Copyright (c)"),
        "{notice}"
    );
    assert!(
        text["source"]
            .as_str()
            .is_some_and(|source| !source.is_empty())
    );
    assert_eq!(text["date"], text["version"]);
}

#[test]
fn an_override_replaces_whole_models() {
    let table = PriceTable::builtin()
        .with_override(
            r#"{"version": "mine", "providers": {
                "openai": {"gpt-4o": {"input": "1", "output": "1"}},
                "local": {"llama": {"input": "0", "output": "0"}}}}"#,
        )
        .expect("well formed");
    let usage = Usage {
        cache_read: Some(500_000),
        ..used(1_000_000, 0)
    };
    let cost = |provider, model| table.cost(provider, None, Some(model), None, &usage).usd;
    assert_eq!(cost("openai", "gpt-4o"), usd("1"));
    assert_eq!(cost("local", "llama"), usd("0"));
    assert!(cost("openai", "gpt-4o-mini").is_some());
    assert!(table.version().ends_with("+mine"), "{}", table.version());
}

#[test]
fn errors_name_the_place_and_the_key() {
    let refused = |text: &str| {
        let error = PriceTable::default()
            .with_override(text)
            .expect_err("refused");
        error.to_string()
    };
    let with_model = |model: &str| {
        refused(&format!(
            "{{\"version\": \"x\",\n \"providers\": {{\"p\": {{\"m\":\n  {model}}}}}}}"
        ))
    };
    for (model, expected) in [
        (
            r#"{"input": 0.5, "output": "1"}"#,
            "providers.p.m.input: invalid type: floating point",
        ),
        (
            r#"{"input": "1", "outputs": "1"}"#,
            "providers.p.m: unknown key \"outputs\", expected one of input, output,",
        ),
        (
            r#"{"source": "x"}"#,
            "providers.p.m: there is no price here",
        ),
        (
            r#"{"input": "1", "input": "2"}"#,
            "providers.p.m: \"input\" is there twice",
        ),
        (
            r#"{"input": "2000000", "output": "1"}"#,
            "providers.p.m.input: \"2000000\" is not a decimal",
        ),
        (
            r#"{"input": "1", "tiers": {"flex": {"tiers": {}}}}"#,
            "providers.p.m.tiers.flex: unknown key \"tiers\"",
        ),
        (
            r#"{"input": "1", "multipliers": {"fast": "2"}}"#,
            "providers.p.m.multipliers.fast: \"fast\" is no multiplier",
        ),
        (
            r#"{"input": "1", "above": [{"input": "2"}]}"#,
            "providers.p.m.above[0]: missing field `tokens`",
        ),
        (
            r#"{"input": "1", "above": [{"tokens": 9, "input": "2"}, {"tokens": 9, "input": "3"}]}"#,
            "providers.p.m: the thresholds in `above` do not ascend",
        ),
        (
            r#"{"input": "1", "above": [{"tokens": 9, "scope": "excess", "output": "2"}]}"#,
            "leave its price out",
        ),
        (
            r#"{"input": "-1", "output": "1"}"#,
            "providers.p.m.input: \"-1\" is not a decimal",
        ),
        (
            r#"{"input": "1e3", "output": "1"}"#,
            "\"1e3\" is not a decimal",
        ),
    ] {
        let message = with_model(model);
        assert!(message.starts_with("line 3, column "), "{model}: {message}");
        assert!(message.contains(expected), "{model}: {message}");
    }
    assert!(refused("{").starts_with("line 1, column 1: EOF"));
    assert!(
        refused(r#"{"version":"x","providers":{"p":{"m":{"input":"1"},"M":{"input":"2"}}}}"#)
            .contains("providers.p: \"m\" is there twice")
    );
    assert!(
        refused(r#"{"version":"x","unit":"eur","providers":{}}"#).contains("unknown variant `eur`")
    );
}
