//! What a million tokens cost: the embedded table, the operator's overrides,
//! and the arithmetic. Decimal throughout; a model that is not found is
//! unpriced, never free.
//!
//! The table is data ([`prices.json`](PriceTable::builtin)), dated, and says
//! where its figures come from. An override file has the same shape.

mod alias;
mod model;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use thiserror::Error;

use alias::aliases;
use model::{File, Model};

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

#[cfg(test)]
mod tests;
