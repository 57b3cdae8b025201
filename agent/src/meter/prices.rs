//! What a call costs: the embedded table, the operator's overrides, and the
//! arithmetic. Decimal throughout; what is not known is unpriced, never free.
//!
//! The table is data ([`prices.json`](PriceTable::builtin)), dated, and says
//! where its figures come from. An override file has the same shape
//! (`file`); [`update`] makes one of another table.

mod alias;
mod factor;
mod file;
pub(super) mod invariant;
mod kind;
mod litellm;
mod model;
mod place;
mod rate;
mod sheet;
mod tier;
pub mod update;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use thiserror::Error;

use file::{File, Model, Providers};
use place::Place;

use super::record::CostProvenance;
use crate::llm::observation::Observation;
use crate::llm::share::Split;
use crate::llm::usage::Usage;

/// Figures as of the date in the file.
const BUILTIN: &str = include_str!("prices.json");

/// Prices of models by provider.
#[derive(Debug, Clone, Default)]
pub struct PriceTable {
    /// Shared with the records of what it priced.
    version: Arc<str>,
    providers: Providers,
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
    /// Anthropic's `usage.speed`, or the latency that Bedrock states.
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
    #[error("line {line}, column {column}: {}{message}", Prefix(key))]
    Shape {
        /// One-based.
        line: usize,
        /// One-based.
        column: usize,
        /// The path of the key whose value it is.
        key: Option<String>,
        /// What is wrong there.
        message: String,
    },
}

struct Prefix<'a>(&'a Option<String>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| write!(out, "{key}: "))
    }
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
        let file = File::parse(json_text)?.dated();
        for (provider, models) in file.providers {
            self.providers.entry(provider).or_default().extend(models);
        }
        self.version = match &*self.version {
            "" => file.version.into(),
            base => format!("{base}+{}", file.version).into(),
        };
        Ok(self)
    }

    /// Versions of the table and of every override, joined by `+`.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// What an exchange cost by what was seen of it, called at a provider's host.
    #[must_use]
    pub fn cost_of_seen(&self, provider: &str, host: Option<&str>, seen: &Observation) -> Cost {
        let call = Call {
            provider,
            host,
            request_model: seen.request_model.as_deref(),
            response_model: seen.response_model.as_deref(),
            service_tier: seen.service_tier.as_deref(),
            speed: seen.speed.as_deref(),
            inference_geo: seen.inference_geo.as_deref(),
            stated: seen.stated_cost,
        };
        match &seen.split {
            _ if seen.is_charged_otherwise && call.stated.is_none() => Cost::default(),
            Some(split) => self.cost_of_split(&call, split),
            None => self.cost_of(&call, &seen.usage),
        }
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

    /// What a call cost. Unpriced when the model, its service tier, or a count
    /// that has a price is not known.
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
            .find_map(|id| self.find(call.provider, call.host, id))
            .and_then(|(_, model)| model.cost(call, usage));
        match priced {
            Some(usd) => Cost {
                usd: Some(usd),
                provenance: CostProvenance::Priced,
            },
            None => Cost::default(),
        }
    }

    /// What a call cost in which several models had a part, each at its own
    /// price. Unpriced when one of them is.
    #[must_use]
    pub fn cost_of_split(&self, call: &Call<'_>, split: &Split) -> Cost {
        let own = split.own.iter().map(|usage| (*call, usage));
        let others = split.others.iter().map(|share| {
            let call = Call {
                request_model: None,
                response_model: share.model.as_deref(),
                ..*call
            };
            (call, &share.usage)
        });
        if call.stated.is_some() {
            return self.cost_of(call, &Usage::default());
        }
        let sum = own
            .chain(others)
            .try_fold(Decimal::ZERO, |sum, (call, usage)| {
                sum.checked_add(self.cost_of(&call, usage).usd?)
            });
        sum.map_or_else(Cost::default, |usd| Cost {
            usd: Some(usd.normalize()),
            provenance: CostProvenance::Priced,
        })
    }

    /// The entry of a model, and its name; that of the place it is called in
    /// comes first.
    fn find(&self, provider: &str, host: Option<&str>, id: &str) -> Option<(&str, &Model)> {
        let models = self.providers.get(provider)?;
        let id = if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(id.to_ascii_lowercase())
        } else {
            Cow::Borrowed(id)
        };
        Place::of(host, &id).find(models, &id)
    }
}

#[cfg(test)]
mod tests;
