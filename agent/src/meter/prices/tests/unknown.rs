//! Unknown is never zero: nothing that the table does not say becomes a price,
//! and least of all the price of nothing.

use rust_decimal::Decimal;

use crate::llm::usage::Usage;
use crate::meter::prices::kind::Kind;
use crate::meter::prices::{Call, Cost, PriceTable};

fn used(input: Option<u64>, output: Option<u64>) -> Usage {
    Usage {
        input,
        output,
        ..Usage::default()
    }
}

/// Every model of the table, in each of its tiers and in one it does not have.
fn each_tier(mut check: impl FnMut(&PriceTable, &Call<'_>, bool, &str)) {
    let table = PriceTable::builtin();
    for (provider, models) in &table.providers {
        for (id, model) in models {
            let tiers = model.tiers.keys().map(|name| (Some(name.as_str()), true));
            let others = [(None, true), (Some("no such tier"), false)];
            for (service_tier, is_known) in tiers.chain(others) {
                let call = Call {
                    provider,
                    response_model: Some(id),
                    service_tier,
                    ..Call::default()
                };
                let context = format!("{provider} {id} {service_tier:?}");
                check(&table, &call, is_known, &context);
            }
        }
    }
}

#[test]
fn no_model_of_the_table_is_free() {
    each_tier(|table, call, is_known, context| {
        let usage = Usage {
            searches: Some(10),
            seconds: Some(Decimal::TEN),
            ..used(Some(1_000_000), Some(1_000_000))
        };
        // Each kind of use alone, so that one price does not hide another.
        for usage in [
            usage,
            used(Some(1_000_000), Some(1_000_000)),
            Usage {
                searches: Some(10),
                ..Usage::default()
            },
            Usage {
                seconds: Some(Decimal::TEN),
                ..Usage::default()
            },
        ] {
            let cost = table.cost_of(call, &usage);
            let is_zero = cost.usd.is_some_and(|usd| usd.is_zero());
            let is_of_searches_only = table
                .find(call.provider, None, call.response_model.unwrap_or_default())
                .is_some_and(|(_, model)| {
                    let rates = &model.standard.rates;
                    rates.contains_key(&Kind::PerSearch)
                        && rates
                            .iter()
                            .all(|(kind, rate)| !kind.is_of_tokens() || rate.0.is_zero())
                });
            assert!(!is_zero || is_of_searches_only, "{context} {usage:?}");
            assert!(is_known || cost == Cost::default(), "{context} {usage:?}");
        }
    });
}

#[test]
fn a_count_that_is_missing_and_has_a_price_leaves_the_cost_unknown() {
    each_tier(|table, call, is_known, context| {
        let (_, model) = table
            .find(call.provider, None, call.response_model.unwrap_or_default())
            .unwrap_or_else(|| panic!("{context} is found under its own name"));
        let Some(tier) = call
            .service_tier
            .map_or(Some(&model.standard), |name| model.tiers.get(name))
        else {
            assert!(!is_known, "{context}");
            return;
        };
        let has_price = |kind| tier.rates.get(&kind).is_none_or(|rate| !rate.0.is_zero());
        for (kind, usage) in [
            (Kind::Input, used(None, Some(1000))),
            (Kind::Output, used(Some(1000), None)),
        ] {
            let cost = table.cost_of(call, &usage);
            assert!(
                !has_price(kind) || cost == Cost::default(),
                "{context} {usage:?}"
            );
        }
        // Whatever has a price at all has none for nothing known.
        let nothing = table.cost_of(call, &Usage::default());
        let is_free_of_tokens = !has_price(Kind::Input) && !has_price(Kind::Output);
        assert!(is_free_of_tokens || nothing == Cost::default(), "{context}");
    });
}

#[test]
fn a_name_that_nobody_has_is_unpriced_everywhere() {
    let table = PriceTable::builtin();
    let usage = used(Some(1_000_000), Some(1_000_000));
    let providers = table.providers.keys().map(String::as_str);
    for provider in providers.chain(["", "acme"]) {
        for model in [
            None,
            Some(""),
            Some("no-such-model"),
            Some("ft:"),
            Some("/"),
            Some("@"),
        ] {
            let call = Call {
                provider,
                request_model: model,
                response_model: model,
                host: Some("bedrock-runtime.eu-west-1.amazonaws.com"),
                ..Call::default()
            };
            let cost = table.cost_of(&call, &usage);
            assert_eq!(cost, Cost::default(), "{provider} {model:?}");
        }
    }
}
