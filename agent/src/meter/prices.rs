//! What a million tokens cost: the embedded table, the operator's overrides,
//! and the arithmetic. Decimal throughout; a model that is not found is
//! unpriced, never free.
//!
//! The table is data ([`prices.json`](PriceTable::builtin)), dated, and says
//! where its figures come from. An override file has the same shape.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use super::record::CostProvenance;
use crate::llm::usage::Usage;

/// Figures as of the date in the file.
const BUILTIN: &str = include_str!("prices.json");

/// Prices of models by provider.
#[derive(Debug, Clone, Default)]
pub struct PriceTable {
    version: String,
    providers: BTreeMap<String, BTreeMap<String, Model>>,
}

/// One exchange as far as its price depends on it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// `gen_ai.provider.name`.
    pub provider: &'a str,
    /// The host called: some providers charge more for a region.
    pub host: Option<&'a str>,
    /// The model asked for.
    pub request_model: Option<&'a str>,
    /// The model that answered; looked up first.
    pub response_model: Option<&'a str>,
    /// The service tier stated in the response.
    pub service_tier: Option<&'a str>,
    /// Anthropic's `usage.speed`.
    pub speed: Option<&'a str>,
    /// Anthropic's `usage.inference_geo`.
    pub inference_geo: Option<&'a str>,
    /// What the provider says it cost, which no table can contradict.
    pub stated: Option<Decimal>,
}

/// What an exchange cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// US dollars; `None` is unknown.
    pub usd: Option<Decimal>,
    /// Where the figure comes from.
    pub provenance: CostProvenance,
}

/// A price file that cannot be used.
#[derive(Debug, Error)]
pub enum PriceError {
    /// Not JSON, or not of the documented shape.
    #[error("line {line}, column {column}: {message}")]
    Shape {
        /// One-based.
        line: usize,
        /// One-based.
        column: usize,
        /// What is wrong there, with the name of the key.
        message: String,
    },
}

impl PriceTable {
    /// The table embedded in this build.
    ///
    /// # Panics
    /// Never in a build whose tests pass: they read the table.
    #[must_use]
    pub fn builtin() -> Self {
        Self::default()
            .with_override(BUILTIN)
            .expect("the embedded table is read by a test")
    }

    /// The same table with the models in `json_text` put in or replaced, each
    /// as a whole.
    ///
    /// # Errors
    /// Names line, column and key of what is wrong in the text.
    pub fn with_override(mut self, json_text: &str) -> Result<Self, PriceError> {
        let file: File = serde_json::from_str(json_text).map_err(|error| PriceError::Shape {
            line: error.line(),
            column: error.column(),
            message: without_position(&error.to_string()),
        })?;
        for (provider, models) in file.providers {
            let known = self.providers.entry(provider).or_default();
            for (id, model) in models {
                known.insert(id.to_ascii_lowercase(), model);
            }
        }
        self.version = match self.version.as_str() {
            "" => file.version,
            base => format!("{base}+{}", file.version),
        };
        Ok(self)
    }

    /// Versions of the table and of every override, joined by `+`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// [`cost_of`](Self::cost_of) for a call of which only this much is known.
    #[must_use]
    pub fn cost(
        &self,
        provider: &str,
        request_model: Option<&str>,
        response_model: Option<&str>,
        service_tier: Option<&str>,
        usage: &Usage,
    ) -> Cost {
        let call = Call {
            provider,
            request_model,
            response_model,
            service_tier,
            ..Call::default()
        };
        self.cost_of(&call, usage)
    }

    /// What a call cost. Unpriced when the model, its service tier or one of the
    /// two token counts is not known.
    #[must_use]
    pub fn cost_of(&self, call: &Call<'_>, usage: &Usage) -> Cost {
        if let Some(stated) = call.stated {
            return Cost {
                usd: Some(stated),
                provenance: CostProvenance::Stated,
            };
        }
        let priced = [call.response_model, call.request_model]
            .into_iter()
            .flatten()
            .find_map(|id| self.model(call.provider, id))
            .and_then(|model| model.cost(call, usage));
        match priced {
            Some(usd) => Cost {
                usd: Some(usd),
                provenance: CostProvenance::Priced,
            },
            None => Cost::default(),
        }
    }

    fn model(&self, provider: &str, id: &str) -> Option<&Model> {
        let models = self.providers.get(provider)?;
        let id = id.to_ascii_lowercase();
        aliases(&id).find_map(|alias| models.get(alias))
    }
}

/// serde_json puts the position into the text, where it would be printed twice.
fn without_position(message: &str) -> String {
    message
        .split(" at line ")
        .next()
        .unwrap_or(message)
        .to_owned()
}

/// The names under which `id` may stand in the table, most exact first: as it
/// is; without provider and region prefixes; without date or version suffix.
/// Families are not guessed at: siblings differ in price tenfold.
fn aliases(id: &str) -> impl Iterator<Item = &str> {
    // `ft:base:organisation:name:id`: what follows the base names nobody's price.
    let id = match id.strip_prefix("ft:").and_then(|rest| rest.find(':')) {
        Some(end) => id.get(.."ft:".len() + end).unwrap_or(id),
        None => id,
    };
    let bare = id.rsplit('/').next().unwrap_or(id);
    let bare = ["us.", "eu.", "apac.", "global."]
        .iter()
        .find_map(|region| bare.strip_prefix(region))
        .unwrap_or(bare);
    let bare = ["anthropic.", "openai."]
        .iter()
        .find_map(|provider| bare.strip_prefix(provider))
        .unwrap_or(bare);
    [id, without_suffix(id), bare, without_suffix(bare)].into_iter()
}

/// Strips `@…`, `-vN`, `-vN:M` and then a date, `-YYYY-MM-DD` or `-YYYYMMDD`.
fn without_suffix(id: &str) -> &str {
    let id = id.split('@').next().unwrap_or(id);
    let id = match id.rsplit_once("-v") {
        Some((rest, version))
            if !version.is_empty()
                && version
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b':') =>
        {
            rest
        }
        _ => id,
    };
    let is_date = |suffix: &str, dashes: &[usize]| {
        suffix.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        })
    };
    [("-YYYY-MM-DD", [0, 5, 8].as_slice()), ("-YYYYMMDD", &[0])]
        .iter()
        .find_map(|(shape, dashes)| {
            let (rest, suffix) = id.split_at_checked(id.len().checked_sub(shape.len())?)?;
            (!rest.is_empty() && is_date(suffix, dashes)).then_some(rest)
        })
        .unwrap_or(id)
}

/// The shape of a price file. `source`, `date` and `notice` are for people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(default, rename = "date")]
    _date: Option<String>,
    #[serde(default, rename = "source")]
    _source: Option<String>,
    #[serde(default, rename = "unit")]
    _unit: Option<Unit>,
    #[serde(default, rename = "notice")]
    _notice: Vec<String>,
    providers: BTreeMap<String, BTreeMap<String, Model>>,
}

/// There is one unit; a file that states another is refused.
#[derive(Deserialize)]
enum Unit {
    #[serde(rename = "usd_per_million_tokens")]
    UsdPerMillionTokens,
}

/// Prices of one model, in the standard tier.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    input: Rate,
    output: Rate,
    /// Absent: read tokens cost what input costs.
    cache_read: Option<Rate>,
    /// For five and thirty minutes. Absent: written tokens cost what input costs.
    cache_write: Option<Rate>,
    /// Absent: as `cache_write`.
    cache_write_1h: Option<Rate>,
    /// Absent: as `cache_write`.
    cache_write_12h: Option<Rate>,
    /// Prices of requests with more prompt tokens than a threshold: cliffs, not
    /// brackets, as the whole request is charged at them.
    #[serde(default)]
    above: Vec<Above>,
    /// Other service tiers, each priced like a model, without tiers of its own.
    #[serde(default)]
    tiers: BTreeMap<String, Model>,
    /// Factors on the whole cost: `region:eu` (first label of the host),
    /// `geo:us` and `speed:fast` (as the response states them).
    #[serde(default)]
    multipliers: BTreeMap<String, Rate>,
}

/// Prices above a number of prompt tokens; absent ones stay as below it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Above {
    /// Applies to requests with more prompt tokens than this, cached ones included.
    tokens: u64,
    input: Option<Rate>,
    output: Option<Rate>,
    cache_read: Option<Rate>,
    cache_write: Option<Rate>,
    cache_write_1h: Option<Rate>,
    cache_write_12h: Option<Rate>,
}

/// US dollars per million tokens, or a factor. Written as a string, so that no
/// reader takes it for a float; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate(Decimal);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Decimal::from_str_exact(&text) {
            Ok(decimal) if decimal >= Decimal::ZERO => Ok(Self(decimal)),
            Ok(_) | Err(_) => Err(de::Error::custom(format!(
                "{text:?} is not a decimal such as \"0.25\""
            ))),
        }
    }
}

impl Model {
    fn cost(&self, call: &Call<'_>, usage: &Usage) -> Option<Decimal> {
        let (input, output) = (usage.input?, usage.output?);
        let rates = self.tier(call.service_tier)?.rates(input);
        // Parts that the provider does not state are charged as plain input.
        let read = usage.cache_read.unwrap_or(0).min(input);
        let hour = usage.cache_write_1h.unwrap_or(0);
        let half_day = usage.cache_write_12h.unwrap_or(0);
        let parts = [
            usage.cache_write_5m,
            usage.cache_write_30m,
            Some(hour),
            Some(half_day),
        ]
        .into_iter()
        .flatten()
        .fold(0, u64::saturating_add);
        let written = usage.cache_write.unwrap_or(parts).max(parts);
        let brief = written.saturating_sub(hour).saturating_sub(half_day);
        let plain = input.saturating_sub(read).saturating_sub(written);
        let millionths = [
            (plain, rates.input),
            (read, rates.cache_read),
            (brief, rates.cache_write),
            (hour, rates.cache_write_1h),
            (half_day, rates.cache_write_12h),
            (output, rates.output),
        ]
        .into_iter()
        .try_fold(Decimal::ZERO, |sum, (tokens, Rate(rate))| {
            sum.checked_add(Decimal::from(tokens).checked_mul(rate)?)
        })?;
        let usd = millionths
            .checked_mul(Decimal::new(1, 6))?
            .checked_mul(self.factor(call)?)?;
        Some(usd.normalize())
    }

    /// The prices of a tier as the response names it. A model without tiers in
    /// the table has one price; where there are some, an unknown one is not
    /// guessed at.
    fn tier(&self, stated: Option<&str>) -> Option<&Self> {
        match stated {
            None | Some("" | "default" | "standard" | "on_demand") => Some(self),
            Some(_) if self.tiers.is_empty() => Some(self),
            Some(name) => self.tiers.get(name),
        }
    }

    fn rates(&self, input_tokens: u64) -> Rates {
        let above = self
            .above
            .iter()
            .filter(|above| input_tokens > above.tokens)
            .max_by_key(|above| above.tokens);
        let or_above = |of: fn(&Above) -> Option<Rate>, standard| above.and_then(of).or(standard);
        let input = above.and_then(|above| above.input).unwrap_or(self.input);
        let cache_write = or_above(|above| above.cache_write, self.cache_write).unwrap_or(input);
        Rates {
            input,
            output: above.and_then(|above| above.output).unwrap_or(self.output),
            cache_read: or_above(|above| above.cache_read, self.cache_read).unwrap_or(input),
            cache_write,
            cache_write_1h: or_above(|above| above.cache_write_1h, self.cache_write_1h)
                .unwrap_or(cache_write),
            cache_write_12h: or_above(|above| above.cache_write_12h, self.cache_write_12h)
                .unwrap_or(cache_write),
        }
    }

    /// The product of the factors that apply; `None` for a speed that costs an
    /// unknown amount more.
    fn factor(&self, call: &Call<'_>) -> Option<Decimal> {
        let listed = |kind: &str, value: &str| {
            self.multipliers
                .get(&format!("{kind}:{value}"))
                .map(|rate| rate.0)
        };
        let region = call
            .host
            .and_then(|host| host.split_once('.'))
            .and_then(|(label, _)| listed("region", label));
        let geo = call.inference_geo.and_then(|geo| listed("geo", geo));
        let speed = match call.speed {
            None | Some("" | "standard") => Decimal::ONE,
            Some(speed) => listed("speed", speed)?,
        };
        region
            .unwrap_or(Decimal::ONE)
            .checked_mul(geo.unwrap_or(Decimal::ONE))?
            .checked_mul(speed)
    }
}

/// What applies to one request.
struct Rates {
    input: Rate,
    output: Rate,
    cache_read: Rate,
    cache_write: Rate,
    cache_write_1h: Rate,
    cache_write_12h: Rate,
}

#[cfg(test)]
mod tests;
