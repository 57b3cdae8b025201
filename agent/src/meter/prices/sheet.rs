//! Prices as people and files read them: named rows of a model, and the text of
//! a price file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::PriceTable;
use super::alias::aliases;
use super::file::{Above, File, Model, Prices, Scope};
use super::rate::Rates;

/// The prices of one model, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// `gen_ai.provider.name` of who bills.
    pub provider: String,
    /// The name in the table, which may be a shorter one than was asked for.
    pub model: String,
    /// Where the prices were taken from.
    pub source: Option<Arc<str>>,
    /// When they were taken.
    pub date: Option<Arc<str>>,
    /// What there is a price of, and the price: US dollars per million tokens,
    /// those that begin with `per_` each, and multipliers.
    pub rows: BTreeMap<String, String>,
}

impl PriceTable {
    /// The prices by which a model is charged, of one provider or of each that
    /// has it. A name is found as in a call.
    #[must_use]
    pub fn sheets(&self, model: &str, provider: Option<&str>) -> Vec<Sheet> {
        let id = model.to_ascii_lowercase();
        self.providers
            .iter()
            .filter(|(name, _)| provider.is_none_or(|wanted| wanted == *name))
            .filter_map(|(provider, models)| {
                let (name, model) = aliases(&id).find_map(|alias| models.get_key_value(alias))?;
                Some(Sheet {
                    provider: provider.clone(),
                    model: name.clone(),
                    source: model.source.clone(),
                    date: model.date.clone(),
                    rows: rows(model),
                })
            })
            .collect()
    }
}

/// Everything that decides what calls to a model cost.
pub(super) fn rows(model: &Model) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let mut add = |tier: &str, prices: &Prices| {
        let mut add_rates = |place: &str, rates: &Rates| {
            for (kind, rate) in rates {
                rows.insert(format!("{tier}{place}{kind}"), rate.to_string());
            }
        };
        add_rates("", &prices.rates);
        for Above {
            tokens,
            scope,
            rates,
        } in &prices.above
        {
            let place = match scope {
                Scope::Request => format!("above {tokens}: "),
                Scope::Excess => format!("excess over {tokens}: "),
            };
            add_rates(&place, rates);
        }
    };
    add("", &model.standard);
    for (tier, prices) in &model.tiers {
        add(&format!("{tier}: "), prices);
    }
    for (factor, rate) in &model.multipliers {
        rows.insert(format!("multiplier {factor}"), rate.to_string());
    }
    rows
}

/// The text of a price file, a line for each model, so that tools that compare
/// lines show what changed.
pub(super) fn text(file: &File) -> String {
    let mut text = String::from("{\n");
    // Writing to a string does not fail.
    let _ = writeln!(text, "  \"version\": {},", json!(file.version));
    for (key, value) in [("date", &file.date), ("source", &file.source)] {
        if let Some(value) = value {
            let _ = writeln!(text, "  \"{key}\": {},", json!(**value));
        }
    }
    text.push_str("  \"unit\": \"usd_per_million_tokens\",\n");
    if !file.notice.is_empty() {
        let lines = file.notice.iter().map(|line| json!(line).to_string());
        let _ = writeln!(text, "  \"notice\": [\n    {}\n  ],", separated(lines, 4));
    }
    let providers = file.providers.iter().map(|(provider, models)| {
        let lines = models
            .iter()
            .map(|(id, model)| format!("{}: {}", json!(id), line(model, file)));
        format!(
            "{}: {{\n      {}\n    }}",
            json!(provider),
            separated(lines, 6)
        )
    });
    let _ = writeln!(
        text,
        "  \"providers\": {{\n    {}\n  }}\n}}",
        separated(providers, 4)
    );
    text
}

fn separated(items: impl Iterator<Item = String>, indent: usize) -> String {
    let separator = format!(",\n{:indent$}", "");
    items.collect::<Vec<_>>().join(&separator)
}

/// One model. Date and source are left to the file where they are the same.
fn line(model: &Model, file: &File) -> String {
    let mut pairs = prices(&model.standard);
    if !model.tiers.is_empty() {
        let tiers = model
            .tiers
            .iter()
            .map(|(name, tier)| (name.clone(), object(&prices(tier))));
        pairs.push(("tiers".into(), object(&tiers.collect::<Vec<_>>())));
    }
    if !model.multipliers.is_empty() {
        let factors = model
            .multipliers
            .iter()
            .map(|(factor, rate)| (factor.to_string(), quoted(&rate.to_string())));
        pairs.push(("multipliers".into(), object(&factors.collect::<Vec<_>>())));
    }
    for (key, value, of_file) in [
        ("source", &model.source, &file.source),
        ("date", &model.date, &file.date),
    ] {
        if let Some(value) = value
            .as_deref()
            .filter(|value| Some(*value) != of_file.as_deref())
        {
            pairs.push((key.into(), quoted(value)));
        }
    }
    object(&pairs)
}

fn prices(prices: &Prices) -> Vec<(String, String)> {
    let mut pairs = priced(&prices.rates);
    if !prices.above.is_empty() {
        let entries = prices.above.iter().map(|above| {
            let mut pairs = vec![("tokens".into(), above.tokens.to_string())];
            if above.scope != Scope::default() {
                pairs.push(("scope".into(), json!(above.scope).to_string()));
            }
            pairs.extend(priced(&above.rates));
            object(&pairs)
        });
        let list = entries.collect::<Vec<_>>().join(", ");
        pairs.push(("above".into(), format!("[{list}]")));
    }
    pairs
}

fn priced(rates: &Rates) -> Vec<(String, String)> {
    rates
        .iter()
        .map(|(kind, rate)| (kind.to_string(), quoted(&rate.to_string())))
        .collect()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// An object on one line, of keys and JSON texts in the order given.
fn object(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{}: {value}", quoted(key)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
