//! A price file made of another table, and what it changes. Pure: reading the
//! one and writing the other is for the caller.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;

use super::alias::aliases;
use super::file::{File, Model, Models};
use super::{BUILTIN, PriceError, PriceTable, litellm, sheet};

pub use litellm::LeftOut;

/// A price file that is ready to be written.
pub struct Update {
    file: File,
    changes: Vec<Change>,
    kept: usize,
    left_out: LeftOut,
}

/// What becomes of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who bills.
    pub provider: String,
    /// The name in the table.
    pub model: String,
    /// Whether there was no price for it.
    pub is_new: bool,
    /// What differs: of what, the price that was and the one that will be.
    pub rows: Vec<(String, Option<String>, Option<String>)>,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The new table.
    #[error(transparent)]
    Table(#[from] PriceError),
    /// The price file as it is now.
    #[error("the price file that is there already: {0}")]
    Existing(PriceError),
    /// None of its models has a price that can be applied.
    #[error("no model in it has a price that weir can apply")]
    Empty,
}

impl Update {
    /// Makes a price file of `table_text`, which is a price file or LiteLLM's
    /// table as of `date` (`YYYY-MM-DD`; a price file says its own). Models of
    /// the price file that is there already and are not in the table stay.
    ///
    /// # Errors
    /// Names what is wrong with the table, or with the file.
    pub fn prepare(
        table_text: &str,
        date: &str,
        existing: Option<&str>,
    ) -> Result<Self, UpdateError> {
        let (mut file, left_out) = if litellm::is_one(table_text) {
            let mut imported = litellm::read(table_text, date)?;
            // Whose terms ask for it.
            imported.file.notice = File::parse(BUILTIN)?.notice;
            (imported.file.dated(), imported.left_out)
        } else {
            (File::parse(table_text)?.dated(), LeftOut::default())
        };
        if file.providers.values().all(BTreeMap::is_empty) {
            return Err(UpdateError::Empty);
        }
        let existing = existing
            .map(File::parse)
            .transpose()
            .map_err(UpdateError::Existing)?
            .map(File::dated);
        let mut in_force = PriceTable::builtin();
        let mut kept = 0;
        let old = existing.map(|file| file.providers).unwrap_or_default();
        for (provider, models) in old {
            for (id, model) in models {
                let known = in_force.providers.entry(provider.clone()).or_default();
                known.insert(id.clone(), model.clone());
                let ours = file.providers.entry(provider.clone()).or_default();
                if let Entry::Vacant(entry) = ours.entry(id) {
                    entry.insert(model);
                    kept += 1;
                }
            }
        }
        for (provider, models) in &mut file.providers {
            without_repetitions(models, in_force.providers.get(provider));
        }
        let changes = changes(&in_force, &file);
        Ok(Self {
            file,
            changes,
            kept,
            left_out,
        })
    }

    /// What differs from the prices in force, in order of provider and model.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Models in it.
    #[must_use]
    pub fn models(&self) -> usize {
        self.file.providers.values().map(BTreeMap::len).sum()
    }

    /// Models that were in the price file and not in the table.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Models of the table that are not in the price file.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// The price file.
    #[must_use]
    pub fn text(&self) -> String {
        sheet::text(&self.file)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_new { '+' } else { '~' };
        write!(out, "{sign} {} {}:", self.provider, self.model)?;
        for (index, (row, was, becomes)) in self.rows.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma} {row} ")?;
            match (was, becomes) {
                (Some(was), Some(becomes)) => write!(out, "{was} -> {becomes}")?,
                (Some(was), None) => write!(out, "{was} -> none")?,
                (None, becomes) if self.is_new => {
                    write!(out, "{}", becomes.as_deref().unwrap_or_default())?;
                }
                (None, becomes) => {
                    write!(out, "none -> {}", becomes.as_deref().unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }
}

/// Leaves out models that are found, at the same prices, under a shorter name: a
/// price file that gives that name another price then means them as well. Those
/// that are `known` by their full names, and would go on to be, stay.
fn without_repetitions(models: &mut Models, known: Option<&Models>) {
    let all = models.clone();
    let prices_of = |models: &Models, id: &str| {
        let model = aliases(id).find_map(|alias| models.get(alias));
        model.map(sheet::rows)
    };
    for (id, model) in &all {
        if known.is_some_and(|known| known.contains_key(id)) {
            continue;
        }
        models.remove(id);
        if prices_of(models, id) != Some(sheet::rows(model)) {
            models.insert(id.clone(), model.clone());
        }
    }
    // What one was found under may itself have been left out since.
    for (id, model) in all {
        if prices_of(models, &id) != Some(sheet::rows(&model)) {
            models.insert(id, model);
        }
    }
}

fn changes(in_force: &PriceTable, file: &File) -> Vec<Change> {
    let mut changes = Vec::new();
    for (provider, models) in &file.providers {
        let known = in_force.providers.get(provider);
        for (id, model) in models {
            let was: Option<&Model> = known.and_then(|models| models.get(id));
            let (old, new) = (was.map(sheet::rows).unwrap_or_default(), sheet::rows(model));
            let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            let rows: Vec<_> = names
                .into_iter()
                .filter(|name| old.get(*name) != new.get(*name))
                .map(|name| (name.clone(), old.get(name).cloned(), new.get(name).cloned()))
                .collect();
            if !rows.is_empty() {
                changes.push(Change {
                    provider: provider.clone(),
                    model: id.clone(),
                    is_new: was.is_none(),
                    rows,
                });
            }
        }
    }
    changes
}
