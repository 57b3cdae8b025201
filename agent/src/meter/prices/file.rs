//! The shape of a price file: what it may say, and what is refused.
//!
//! Unknown keys are refused, as a misspelt price would be a missing one.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::PriceError;
use super::factor::Factor;
use super::kind::Kind;
use super::rate::{Rate, Rates};

/// A price file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a price file, an object")]
pub(super) struct File {
    /// Names the table in what is computed from it.
    pub(super) version: String,
    /// When the prices were taken; of the models that say nothing else.
    #[serde(default, deserialize_with = "shared")]
    pub(super) date: Option<Arc<str>>,
    /// Where from; likewise.
    #[serde(default, deserialize_with = "shared")]
    pub(super) source: Option<Arc<str>>,
    #[serde(default, rename = "unit")]
    pub(super) _unit: Option<Unit>,
    /// Terms under which the prices are passed on, for people.
    #[serde(default)]
    pub(super) notice: Vec<String>,
    #[serde(deserialize_with = "providers")]
    pub(super) providers: Providers,
}

/// Models by provider.
pub(super) type Providers = BTreeMap<String, Models>;

/// Models of one provider, by lower-case name.
pub(super) type Models = BTreeMap<String, Model>;

/// There is one unit; a file that states another is refused.
#[derive(Deserialize)]
pub(super) enum Unit {
    #[serde(rename = "usd_per_million_tokens")]
    UsdPerMillionTokens,
}

/// Prices of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// Where its prices were taken from; the file's where it does not say.
    pub(super) source: Option<Arc<str>>,
    /// When they were taken; the file's where it does not say.
    pub(super) date: Option<Arc<str>>,
    /// Those of the standard service tier.
    pub(super) standard: Prices,
    /// Those of the others.
    pub(super) tiers: BTreeMap<String, Prices>,
    /// On the cost of all tokens.
    pub(super) multipliers: BTreeMap<Factor, Rate>,
}

/// Prices in one service tier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prices {
    pub(super) rates: Rates,
    /// Those of long prompts, by ascending length.
    pub(super) above: Vec<Above>,
}

/// Prices above a number of prompt tokens; those that are absent stay as below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Above {
    /// Applies to prompts of more tokens than this, cached ones included.
    pub(super) tokens: u64,
    pub(super) scope: Scope,
    pub(super) rates: Rates,
}

/// What of a long prompt is charged at the prices of long ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    /// The whole request, what it generates included: a cliff.
    #[default]
    Request,
    /// Only the prompt tokens above the threshold: a bracket.
    Excess,
}

impl File {
    /// Reads one.
    pub(super) fn parse(json_text: &str) -> Result<Self, PriceError> {
        let mut json = serde_json::Deserializer::from_str(json_text);
        let mut track = serde_path_to_error::Track::new();
        let file = Self::deserialize(serde_path_to_error::Deserializer::new(
            &mut json, &mut track,
        ))
        .and_then(|file| json.end().map(|()| file));
        file.map_err(|error| {
            let path = track.path().to_string();
            // Where the text ends within an object there is no key yet.
            let path = path.trim_end_matches(['?', '.']);
            PriceError::Shape {
                line: error.line(),
                column: error.column(),
                key: (!path.is_empty()).then(|| path.to_owned()),
                message: without_position(&error.to_string()),
            }
        })
    }

    /// Writes the date and source of the file into the models without.
    pub(super) fn dated(mut self) -> Self {
        for model in self.providers.values_mut().flat_map(BTreeMap::values_mut) {
            model.source = model.source.take().or_else(|| self.source.clone());
            model.date = model.date.take().or_else(|| self.date.clone());
        }
        self
    }
}

/// serde_json puts the position into the text, where it would be printed twice.
pub(super) fn without_position(message: &str) -> String {
    message
        .split(" at line ")
        .next()
        .unwrap_or(message)
        .to_owned()
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Arc::from))
}

/// Of two entries of one name the last would win silently: refused.
fn providers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Providers, D::Error> {
    let Unique(providers): Unique<Unique<Model>> = Unique::deserialize(deserializer)?;
    Ok(providers
        .into_iter()
        .map(|(provider, Unique(models))| (provider, models))
        .collect())
}

/// An object with lower-case keys, each once.
struct Unique<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Unique<V>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let key = key.to_ascii_lowercase();
                    let value = map.next_value()?;
                    if entries.contains_key(&key) {
                        return Err(de::Error::custom(format!("{key:?} is there twice")));
                    }
                    entries.insert(key, value);
                }
                Ok(Unique(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// Takes an object whose prices stand among other keys, which `other` takes: it
/// says whether it knows the key.
fn with_rates<'de, M: MapAccess<'de>>(
    map: &mut M,
    others: &[&str],
    mut other: impl FnMut(&str, &mut M) -> Result<bool, M::Error>,
) -> Result<Rates, M::Error> {
    let mut rates = Rates::new();
    while let Some(key) = map.next_key::<String>()? {
        if let Some(kind) = Kind::named(&key) {
            if rates.insert(kind, map.next_value()?).is_some() {
                return Err(de::Error::custom(format!("{key:?} is there twice")));
            }
        } else if !other(&key, map)? {
            let known: Vec<_> = Kind::NAMES.iter().chain(others).copied().collect();
            return Err(de::Error::custom(format!(
                "unknown key {key:?}, expected one of {}",
                known.join(", ")
            )));
        }
    }
    if rates.is_empty() {
        return Err(de::Error::custom("there is no price here"));
    }
    Ok(rates)
}

/// Thresholds ascend, are of one scope, and a bracket has no output.
fn checked<E: de::Error>(rates: Rates, above: Vec<Above>) -> Result<Prices, E> {
    for (lower, upper) in above.iter().zip(above.iter().skip(1)) {
        if lower.tokens >= upper.tokens {
            return Err(E::custom("the thresholds in `above` do not ascend"));
        }
        if lower.scope != upper.scope {
            return Err(E::custom("the entries of `above` differ in scope"));
        }
    }
    let has_output = |entry: &Above| entry.rates.keys().any(|kind| kind.is_of_output());
    if above
        .iter()
        .any(|entry| entry.scope == Scope::Excess && has_output(entry))
    {
        return Err(E::custom(
            "of the excess over a number of prompt tokens no output is a part: leave its price out",
        ));
    }
    Ok(Prices { rates, above })
}

macro_rules! deserialize_object {
    ($type:ty, |$map:ident| $body:block) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                        out.write_str("an object with prices")
                    }

                    fn visit_map<M: MapAccess<'de>>(
                        self,
                        mut $map: M,
                    ) -> Result<Self::Value, M::Error> {
                        $body
                    }
                }

                deserializer.deserialize_map(Object)
            }
        }
    };
}

deserialize_object!(Model, |map| {
    let mut model = Self::Value::default();
    let mut above = Vec::new();
    let others = ["above", "tiers", "multipliers", "source", "date"];
    let rates = with_rates(&mut map, &others, |key, map| {
        match key {
            "above" => above = map.next_value()?,
            "tiers" => model.tiers = map.next_value::<Unique<Prices>>()?.0,
            "multipliers" => model.multipliers = map.next_value()?,
            "source" => model.source = map.next_value::<Option<String>>()?.map(Arc::from),
            "date" => model.date = map.next_value::<Option<String>>()?.map(Arc::from),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    model.standard = checked(rates, above)?;
    Ok(model)
});

deserialize_object!(Prices, |map| {
    let mut above = Vec::new();
    let rates = with_rates(&mut map, &["above"], |key, map| {
        if key == "above" {
            above = map.next_value()?;
        }
        Ok(key == "above")
    })?;
    checked(rates, above)
});

deserialize_object!(Above, |map| {
    let (mut tokens, mut scope) = (None, Scope::default());
    let rates = with_rates(&mut map, &["tokens", "scope"], |key, map| {
        match key {
            "tokens" => tokens = Some(map.next_value()?),
            "scope" => scope = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let tokens = tokens.ok_or_else(|| de::Error::missing_field("tokens"))?;
    Ok(Above {
        tokens,
        scope,
        rates,
    })
});
