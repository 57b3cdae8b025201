//! `models`: which hosts are model providers, and what is asked of them.

use serde::Deserialize;

use crate::llm::catalogue::{Catalogue, CatalogueError, HostRule};

/// The keys below `models`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// Hosts that are intercepted besides those of the built-in catalogue, and
    /// before them.
    pub hosts: Vec<ModelHost>,
    /// Model providers of which no connection passes uninspected: what cannot be
    /// inspected is refused.
    pub must_inspect: Vec<HostPattern>,
    /// What to do about a stream that would carry no usage.
    pub stream_usage: StreamUsage,
    /// Whether the bodies of calls are read.
    pub bodies: Bodies,
}

impl ModelsConfig {
    /// The hosts as the catalogue takes them. It has accepted each.
    #[must_use]
    pub fn rules(&self) -> Vec<HostRule> {
        self.hosts.iter().map(|host| host.0.clone()).collect()
    }

    /// The patterns of `must_inspect`. The catalogue has accepted each.
    #[must_use]
    pub fn required(&self) -> Vec<String> {
        let patterns = self.must_inspect.iter();
        patterns.map(|pattern| pattern.0.clone()).collect()
    }
}

/// Whether the bodies of calls are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bodies {
    /// For the model and what was used. The default.
    #[default]
    Read,
    /// Not at all: calls are relayed and recorded as ever, but nothing is known of
    /// them except their heads, bytes and times, and they do not count as
    /// inspected. It tells what reading costs, and whether it is to blame. Hosts of
    /// `must_inspect` are read all the same.
    Leave,
}

/// What to do about a stream that would carry no usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamUsage {
    /// Ask the provider for it, and keep the answer from the application, which
    /// did not ask. The default: otherwise such calls cannot be metered.
    #[default]
    Ask,
    /// Leave the request as it is; the tokens of such a stream stay unknown.
    Leave,
}

/// A host that serves a provider's API, in a form the catalogue has accepted.
///
/// What a host pattern means is the catalogue's; it is asked while reading, so
/// that a refusal names the line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct ModelHost(HostRule);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    host: String,
    provider: String,
}

impl TryFrom<Written> for ModelHost {
    type Error = CatalogueError;

    fn try_from(written: Written) -> Result<Self, CatalogueError> {
        let rule = HostRule {
            host: written.host,
            provider: written.provider,
        };
        Catalogue::builtin().extended(std::slice::from_ref(&rule))?;
        Ok(Self(rule))
    }
}

/// A pattern of host names, as in [`HostRule::host`], that the catalogue has
/// accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPattern(String);

impl TryFrom<String> for HostPattern {
    type Error = CatalogueError;

    fn try_from(written: String) -> Result<Self, CatalogueError> {
        Catalogue::builtin().requiring(std::slice::from_ref(&written))?;
        Ok(Self(written))
    }
}
