//! The shape of a price file, and what a model costs by it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de};

use super::Call;
use crate::llm::usage::Usage;

/// The shape of a price file. `source`, `date` and `notice` are for people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: String,
    #[serde(default, rename = "date")]
    _date: Option<String>,
    #[serde(default, rename = "source")]
    _source: Option<String>,
    #[serde(default, rename = "unit")]
    _unit: Option<Unit>,
    #[serde(default, rename = "notice")]
    _notice: Vec<String>,
    pub(super) providers: BTreeMap<String, BTreeMap<String, Model>>,
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
pub(super) struct Model {
    pub(super) input: Rate,
    pub(super) output: Rate,
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
    pub(super) above: Vec<Above>,
    /// Other service tiers, each priced like a model, without tiers of its own.
    #[serde(default)]
    pub(super) tiers: BTreeMap<String, Model>,
    /// Factors on the whole cost: `region:eu` (first label of the host),
    /// `geo:us` and `speed:fast` (as the response states them).
    #[serde(default)]
    pub(super) multipliers: BTreeMap<String, Rate>,
}

/// Prices above a number of prompt tokens; absent ones stay as below it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Above {
    /// Applies to requests with more prompt tokens than this, cached ones included.
    pub(super) tokens: u64,
    pub(super) input: Option<Rate>,
    pub(super) output: Option<Rate>,
    cache_read: Option<Rate>,
    cache_write: Option<Rate>,
    cache_write_1h: Option<Rate>,
    cache_write_12h: Option<Rate>,
}

/// US dollars per million tokens, or a factor. Written as a string, so that no
/// reader takes it for a float; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate(pub(super) Decimal);

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
    pub(super) fn cost(&self, call: &Call<'_>, usage: &Usage) -> Option<Decimal> {
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
