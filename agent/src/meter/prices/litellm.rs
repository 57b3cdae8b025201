//! The price table of LiteLLM, `model_prices_and_context_window.json`, as ours.
//!
//! It is one object of models with prices in US dollars a token, as JSON numbers:
//! they are taken digit by digit, never as floats. It covers more providers than
//! weir knows, and ways of charging for what is not in a record; such models are
//! left out rather than priced in part.

mod entry;
mod reader;
mod slot;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::PriceError;
use super::file::{File, Providers};
use entry::Entry;
use reader::Reader;

/// Entries that describe the table itself.
const NO_MODELS: [&str; 2] = ["sample_spec", "fallback_generalizations"];

/// What was made of a table.
pub(super) struct Imported {
    pub(super) file: File,
    pub(super) left_out: LeftOut,
}

/// Models that are not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Those of providers that weir does not know.
    pub of_other_providers: usize,
    /// Those without a price, and those charged by what no record counts.
    pub without_usable_price: usize,
}

/// Whether `json_text` looks like such a table rather than one of ours.
pub(super) fn is_one(json_text: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, &RawValue>>(json_text)
        .is_ok_and(|keys| !keys.contains_key("providers"))
}

/// Reads one. `date` is when it was published, as nothing in it says so.
pub(super) fn read(json_text: &str, date: &str) -> Result<Imported, PriceError> {
    let reader = Reader { text: json_text };
    let mut providers = Providers::new();
    let mut left_out = LeftOut::default();
    let entries = reader.object(None, None)?;
    // Models that draw at prices by size: a price without one is that of some size.
    let by_size: BTreeSet<&str> = entries
        .keys()
        .filter(|key| key.contains("-x-"))
        .filter_map(|key| key.rsplit('/').next())
        .collect();
    for (key, raw) in &entries {
        if NO_MODELS.contains(&key.as_str()) {
            continue;
        }
        let entry = Entry {
            reader: &reader,
            values: reader.object(Some(*raw), Some(key))?,
            key,
            is_by_size: by_size.contains(key.rsplit('/').next().unwrap_or_default()),
        };
        let Some((provider, id)) = entry.name()? else {
            left_out.of_other_providers += 1;
            continue;
        };
        match (id, entry.model(provider)?) {
            (Some(id), Some(model)) => {
                // Of two services of one provider the first is the better known.
                let models = providers.entry(provider.to_owned()).or_default();
                models.entry(id).or_insert(model);
            }
            _ => left_out.without_usable_price += 1,
        }
    }
    let file = File {
        version: format!("litellm-{date}"),
        date: Some(date.into()),
        source: Some("LiteLLM's model_prices_and_context_window.json".into()),
        notice: Vec::new(),
        providers,
        ..File::default()
    };
    Ok(Imported { file, left_out })
}
