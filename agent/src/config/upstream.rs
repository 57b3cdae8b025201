//! `upstream`: the connections to providers.

use std::time::Duration;

use serde::Deserialize;

/// The keys below `upstream`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct UpstreamConfig {
    /// Whether a connection serves another call when the application has closed
    /// its own.
    pub reuse: Reuse,
    /// How long a connection waits for one.
    pub idle_timeout: IdleTimeout,
    /// How many are made ahead of the calls to come.
    pub spare: Spare,
    /// Whether a connection of HTTP/2 serves several of the application's at once.
    pub multiplex: Multiplex,
}

/// The same before it is known whether it goes together.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    reuse: Reuse,
    idle_timeout: IdleTimeout,
    spare: Spare,
    multiplex: Multiplex,
}

impl TryFrom<Written> for UpstreamConfig {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written {
            reuse,
            idle_timeout,
            spare,
            multiplex,
        } = written;
        if reuse == Reuse::Off && (spare.get() > 0 || multiplex == Multiplex::On) {
            return Err("spare and multiplex need `reuse: on`");
        }
        Ok(Self {
            reuse,
            idle_timeout,
            spare,
            multiplex,
        })
    }
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

/// From none, the default, to eight of a route: the provider sees connections that
/// no application asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Spare(usize);

impl Spare {
    const MAX: usize = 8;

    /// As a count.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<i64> for Spare {
    type Error = String;

    fn try_from(written: i64) -> Result<Self, Self::Error> {
        match usize::try_from(written) {
            Ok(count @ 0..=Self::MAX) => Ok(Self(count)),
            Ok(_) | Err(_) => Err(format!("expected between 0 and {}", Self::MAX)),
        }
    }
}

/// Whether connections of the application share one to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Multiplex {
    /// What speaks HTTP/2 upstream serves further connections of the application,
    /// to the same address under the same name. They then depend on one another:
    /// on its windows, its losses, and how many streams the provider allows.
    On,
    /// Each has its own. The default: an application that makes several means them
    /// to be independent.
    #[default]
    Off,
}
