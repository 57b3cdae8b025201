//! `prices`: what calls cost.

use std::path::PathBuf;

use serde::Deserialize;

/// The keys below `prices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PricesConfig {
    /// A file whose prices go before the built-in, dated ones; by default none.
    pub file: Option<PathBuf>,
}
