//! Examples from published prices, worked out by hand in `worked.json`: tokens
//! times price, in millionths of a dollar, then their sum, then dollars.
//!
//! The arithmetic there is checked as well as the arithmetic here, so that
//! neither can be wrong alone.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use crate::llm::share::{Share, Split};
use crate::llm::usage::Usage;
use crate::meter::prices::{Call, PriceTable};
use crate::meter::record::CostProvenance;

const WORKED: &str = include_str!("../worked.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    what: String,
    provider: String,
    model: String,
    host: Option<String>,
    service_tier: Option<String>,
    speed: Option<String>,
    inference_geo: Option<String>,
    stated: Option<String>,
    /// A price file.
    #[serde(rename = "override")]
    price_file: Option<Value>,
    /// Of that one.
    usage: Usage,
    /// Of all the others.
    #[serde(default)]
    others: Vec<Share>,
    /// That one passed all of the work on, and its usage is the sum of theirs.
    #[serde(default)]
    is_passed_on: bool,
    /// `600 input × 2.5 = 1500`
    #[serde(default)]
    millionths: Vec<String>,
    sum: Option<String>,
    /// `geo:us 1.1`
    #[serde(default)]
    factors: Vec<String>,
    /// `3 searches × 0.01 = 0.03`, in dollars.
    #[serde(default)]
    each: Vec<String>,
    /// Why there is no price.
    why: Option<String>,
    usd: Option<String>,
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// What a line says it comes to, if that is right.
fn product(line: &str) -> Decimal {
    let (factors, product) = line.split_once(" = ").expect("an equation");
    let (count, rate) = factors.split_once(" × ").expect("a product");
    let (count, _of_what) = count.split_once(' ').expect("a count of something");
    let product = decimal(product);
    assert_eq!(decimal(count) * decimal(rate), product, "{line}");
    product
}

impl Example {
    /// What the example comes to by what is written in it.
    fn worked(&self) -> Option<Decimal> {
        let usd = decimal(self.usd.as_ref()?);
        if let Some(stated) = &self.stated {
            assert_eq!(decimal(stated), usd, "{}", self.what);
            return Some(usd);
        }
        let millionths: Decimal = self.millionths.iter().map(|line| product(line)).sum();
        let sum = self.sum.as_deref().map(decimal).unwrap_or_default();
        assert_eq!(millionths, sum, "{}", self.what);
        let factor: Decimal = self
            .factors
            .iter()
            .map(|line| decimal(line.split_once(' ').expect("a factor").1))
            .product();
        let each: Decimal = self.each.iter().map(|line| product(line)).sum();
        let dollars = sum * factor / Decimal::from(1_000_000) + each;
        assert_eq!(dollars, usd, "{}", self.what);
        Some(usd)
    }

    fn split(&self) -> Option<Split> {
        let split = Split {
            own: (!self.is_passed_on).then_some(self.usage),
            others: self.others.clone(),
        };
        (!self.others.is_empty()).then_some(split)
    }

    fn call(&self) -> Call<'_> {
        Call {
            provider: &self.provider,
            host: self.host.as_deref(),
            response_model: Some(&self.model),
            service_tier: self.service_tier.as_deref(),
            speed: self.speed.as_deref(),
            inference_geo: self.inference_geo.as_deref(),
            stated: self.stated.as_deref().map(decimal),
            ..Call::default()
        }
    }
}

fn examples() -> Vec<Example> {
    serde_json::from_str(WORKED).expect("the table of examples is well formed")
}

#[test]
fn each_example_costs_what_it_was_worked_out_to_cost() {
    let builtin = PriceTable::builtin();
    for example in examples() {
        let table = match &example.price_file {
            None => builtin.clone(),
            Some(file) => builtin
                .clone()
                .with_override(&file.to_string())
                .unwrap_or_else(|error| panic!("{}: {error}", example.what)),
        };
        let expected = example.worked();
        let cost = match example.split() {
            Some(split) => table.cost_of_split(&example.call(), &split),
            None => table.cost_of(&example.call(), &example.usage),
        };
        assert_eq!(cost.usd, expected, "{}", example.what);
        let provenance = match (expected, &example.stated) {
            (Some(_), Some(_)) => CostProvenance::Stated,
            (Some(_), None) => CostProvenance::Priced,
            (None, _) => CostProvenance::Unpriced,
        };
        assert_eq!(cost.provenance, provenance, "{}", example.what);
        assert_eq!(
            expected.is_none(),
            example.why.is_some(),
            "{}",
            example.what
        );
    }
}

#[test]
fn the_examples_are_enough_and_differ() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let examples = examples();
    assert!(examples.len() >= 40, "{} examples", examples.len());
    for example in &examples {
        *kinds.entry(example.what.clone()).or_default() += 1;
    }
    assert!(kinds.values().all(|count| *count == 1), "{kinds:?}");
    let priced = examples.iter().filter(|example| example.usd.is_some());
    assert!(priced.count() >= 40, "examples with a price");
}
