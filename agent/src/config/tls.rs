//! `tls`: whom the proxy trusts upstream, and what becomes of those who do not
//! trust the proxy.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// The keys below `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Where the roots come from against which providers are verified. There is
    /// no key that turns verification off.
    pub upstream_roots: UpstreamRoots,
    /// What becomes of programs that refuse weir's certificates.
    pub on_refusal: OnRefusal,
    /// How long such a program is let through before it is tried again; twice as
    /// long after each trial that fails, up to a day.
    pub pass_for: PassFor,
}

/// What becomes of a program that does not accept weir's certificates, because
/// it has roots compiled in or pins another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRefusal {
    /// Let it through uninspected once it has refused a host twice, and count it
    /// as not inspected. The default: it worked before weir came.
    #[default]
    Pass,
    /// Let its calls fail.
    Fail,
}

/// Between a minute and a day; an hour by default, in which one connection of
/// the program fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PassFor(Duration);

impl PassFor {
    const SECONDS: std::ops::RangeInclusive<u64> = 60..=24 * 60 * 60;

    /// As a duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for PassFor {
    fn default() -> Self {
        Self(Duration::from_secs(60 * 60))
    }
}

impl TryFrom<String> for PassFor {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        let duration = humantime::parse_duration(&written)
            .map_err(|_not_one| "not a duration, expected one such as 1h or 30m")?;
        if Self::SECONDS.contains(&duration.as_secs()) {
            Ok(Self(duration))
        } else {
            Err("expected between 1m and 24h")
        }
    }
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
