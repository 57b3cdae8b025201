//! `weir.yaml`: one small struct per subsystem, read once, checked whole.
//!
//! This file owns reading and the wording of refusals; each subsystem's keys,
//! defaults and their reasons are in a file of its own below. Nothing here
//! touches the files a configuration names: whoever uses them opens them.
//!
//! A key that is not known, given twice or of the wrong kind is refused with
//! the file, line, column and key, because a misspelt key that is silently
//! ignored is a rule that silently does not hold.

mod capture;
pub mod invariant;
mod models;
mod prices;
mod telemetry;
mod tls;
mod upstream;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use capture::{CaptureConfig, Ports, PortsError};
pub use models::{Bodies, HostPattern, ModelHost, ModelsConfig, StreamUsage};
pub use prices::PricesConfig;
pub use telemetry::{
    BodyBytesMax, CaptureDestination, CaptureRule, Destination, OtlpConfig, OtlpProtocol,
    PayloadConfig, Propagate, Semconv, Share, TelemetryConfig,
};
pub use tls::{OnRefusal, PassFor, TlsConfig, UpstreamRoot, UpstreamRoots};
pub use upstream::{IdleTimeout, Multiplex, Reuse, Spare, UpstreamConfig};

/// Upper bound of a configuration file, in bytes: far above any real one, and
/// small enough that pointing `--config` at the wrong file costs nothing.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything `weir.yaml` can say. Each subsystem is handed its own part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the kernel hands to the proxy.
    pub capture: CaptureConfig,
    /// Whom the proxy trusts upstream, and what if it is not trusted itself.
    pub tls: TlsConfig,
    /// What becomes of connections to providers.
    pub upstream: UpstreamConfig,
    /// Which hosts are model providers, and what is asked of them.
    pub models: ModelsConfig,
    /// What calls cost.
    pub prices: PricesConfig,
    /// What leaves weir about the calls, and where to.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads `path`, or gives the defaults if there is none.
    ///
    /// Relative file names in it are resolved against its directory, so that a
    /// configuration means the same wherever weir is started.
    ///
    /// # Errors
    /// The file cannot be read, or says something that is not understood.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let unreadable = |source| ConfigError::Unreadable {
            file: path.to_owned(),
            source,
        };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                file: path.to_owned(),
                size,
            });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mut config = Self::parse(&text).map_err(|refusal| ConfigError::Refused {
            file: path.to_owned(),
            refusal,
        })?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Reads a configuration from its text, leaving file names as written.
    ///
    /// # Errors
    /// The text says something that is not understood.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        // A document without content is a mapping without keys.
        let mut key = String::new();
        serde_saphyr::with_deserializer_from_str(text, |document| {
            serde_path_to_error::deserialize::<_, Option<Self>>(document).map_err(|error| {
                key = error.path().to_string();
                error.into_inner()
            })
        })
        .map(Option::unwrap_or_default)
        .map_err(|error| Refusal::new(&key, &error))
    }

    fn resolve(&mut self, directory: &Path) {
        for root in &mut self.tls.upstream_roots.0 {
            if let UpstreamRoot::File(file) = root {
                *file = directory.join(&file);
            }
        }
        if let Some(file) = &mut self.prices.file {
            *file = directory.join(&file);
        }
        self.telemetry.resolve(directory);
    }
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}: name a readable file with --config", file.display())]
    Unreadable {
        /// The file asked for.
        file: PathBuf,
        /// What reading it gave.
        #[source]
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the configuration {} has {size} bytes, above the limit of {FILE_BYTES_MAX}: name a weir.yaml with --config", file.display())]
    TooLarge {
        /// The file asked for.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The file says something that is not understood.
    #[error("{}:{refusal}", file.display())]
    Refused {
        /// The file asked for.
        file: PathBuf,
        /// What in it, and where.
        refusal: Refusal,
    },
}

/// One thing in a configuration that is not understood: `LINE:COL: KEY: why`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Line, from 1; 0 if the parser could not tell.
    pub line: u64,
    /// Column, from 1; 0 if the parser could not tell.
    pub column: u64,
    /// The key with its parents, `capture.ports[1]`; empty for the whole document.
    pub key: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.why)
    }
}

impl Refusal {
    fn new(path: &str, error: &serde_saphyr::Error) -> Self {
        use serde_saphyr::Error;
        let (line, column) = error
            .location()
            .map_or((0, 0), |at| (at.line(), at.column()));
        let error = error.without_snippet();
        // An optional or a key that failed leaves its own mark in the path.
        let mut key = path.trim_end_matches(['?', '.']).to_owned();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a foreign enum of some fifty arms; its own wording serves for the rest"
        )]
        let why = match error {
            Error::SerdeUnknownField { expected, .. } => {
                format!("unknown key, expected {}", one_of(expected))
            }
            Error::SerdeUnknownVariant {
                variant, expected, ..
            } => format!("`{variant}` is not possible, expected {}", one_of(expected)),
            Error::DuplicateMappingKey { key: twice, .. } => {
                if let Some(twice) = twice {
                    if !key.is_empty() {
                        key.push('.');
                    }
                    key.push_str(twice);
                }
                "given twice, keep one".to_owned()
            }
            Error::SerdeMissingField { field, .. } => format!("the key {field} is missing"),
            Error::Unexpected { expected, .. } => format!("expected {}", plain(expected)),
            other => {
                let text = other.to_string();
                text.split(" at line ").next().unwrap_or(&text).to_owned()
            }
        };
        Self {
            line,
            column,
            key,
            why,
        }
    }
}

/// The parser's names of YAML events, in the words of someone who writes YAML.
fn plain(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "a mapping of keys to values",
        "scalar" | "string scalar" => "a single value",
        other => other,
    }
}

fn one_of(expected: &[&str]) -> String {
    match expected {
        [only] => (*only).to_owned(),
        several => format!("one of {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests;
