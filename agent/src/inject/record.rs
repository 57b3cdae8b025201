//! What an injection changed that its undoing could not guess.
//!
//! Everything that was added has a name or a value by which it is recognised;
//! recorded are values that were replaced, and fields that were not there. It
//! is kept in an annotation, so that a manifest carries it along, and holds
//! nothing that was not in the manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The contents of the annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// The version of weir that injected.
    pub(super) version: String,
    /// Fields that were made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) made: Vec<String>,
    /// Fields that were `null`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) null: Vec<String>,
    /// Values of variables that were replaced, by container and name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) replaced: BTreeMap<String, BTreeMap<String, String>>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Self::default()
        }
    }

    /// What the annotation says; of one that was lost or spoilt nothing, and
    /// fields that are empty afterwards stay.
    pub(super) fn read(annotation: Option<&str>) -> Self {
        annotation
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value a variable had before it was replaced.
    pub(super) fn value_before(&self, container: &str, variable: &str) -> Option<&str> {
        let variables = self.replaced.get(container)?;
        variables.get(variable).map(String::as_str)
    }

    pub(super) fn replaced(&mut self, container: &str, variable: &str, value: &str) {
        self.replaced
            .entry(container.to_owned())
            .or_default()
            .insert(variable.to_owned(), value.to_owned());
    }
}
