//! `tls`: whom the proxy trusts upstream.

use std::path::PathBuf;

use serde::Deserialize;

/// The keys below `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Where the roots come from against which providers are verified. There is
    /// no key that turns verification off.
    pub upstream_roots: UpstreamRoots,
}

/// At least one source of roots; by default what the system trusts, because
/// that is what the application would have trusted without weir.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<UpstreamRoot>")]
pub struct UpstreamRoots(pub(super) Vec<UpstreamRoot>);

impl UpstreamRoots {
    /// The sources, all of which are trusted.
    #[must_use]
    pub fn as_slice(&self) -> &[UpstreamRoot] {
        &self.0
    }
}

impl Default for UpstreamRoots {
    fn default() -> Self {
        Self(vec![UpstreamRoot::System])
    }
}

impl TryFrom<Vec<UpstreamRoot>> for UpstreamRoots {
    type Error = &'static str;

    fn try_from(roots: Vec<UpstreamRoot>) -> Result<Self, Self::Error> {
        if roots.is_empty() {
            return Err("no root is given, expected `system` or the name of a PEM file");
        }
        Ok(Self(roots))
    }
}

/// One source of roots.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum UpstreamRoot {
    /// `system`: the roots of the machine.
    System,
    /// A file of PEM certificates; write `./system` for a file of that name.
    File(PathBuf),
}

impl TryFrom<String> for UpstreamRoot {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "" => Err("the name is empty, expected `system` or the name of a PEM file"),
            "system" => Ok(Self::System),
            _ => Ok(Self::File(name.into())),
        }
    }
}
