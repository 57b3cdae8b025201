//! `upstream`: the connections to providers.

use std::time::Duration;

use serde::Deserialize;

/// The keys below `upstream`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// Whether a connection serves another call when the application has closed
    /// its own.
    pub reuse: Reuse,
    /// How long a connection waits for one.
    pub idle_timeout: IdleTimeout,
}

/// Whether connections to providers outlive the application's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reuse {
    /// They wait for the next call to the same address, under the same name. The
    /// default: an application that connects for every call is spared the round
    /// trips.
    #[default]
    On,
    /// They end with the application's.
    Off,
}

/// Between a second and ten minutes; half a minute by default, which is less than
/// most providers wait themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IdleTimeout(Duration);

impl IdleTimeout {
    const SECONDS: std::ops::RangeInclusive<u64> = 1..=10 * 60;

    /// As a duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for IdleTimeout {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl TryFrom<String> for IdleTimeout {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        let duration = humantime::parse_duration(&written)
            .map_err(|_not_one| "not a duration, expected one such as 30s or 2m")?;
        if Self::SECONDS.contains(&duration.as_secs()) {
            Ok(Self(duration))
        } else {
            Err("expected between 1s and 10m")
        }
    }
}
