//! `telemetry`: what leaves weir about the calls it saw, and where to.
//!
//! Everything here is off by default: metrics are served in any case (`--admin`),
//! and nothing else leaves the process unless somebody said where to.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::export::pattern::Pattern;

/// The keys below `telemetry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where each exchange's record is written as a line of JSON; by default
    /// nowhere. `--log-format json` is a shorthand for it.
    pub exchange_log: Option<Destination>,
    /// Which generation of OpenTelemetry's conventions names spans and metrics.
    pub semconv: Option<Semconv>,
    /// Whether providers are told which span a call belongs to.
    pub propagate: Propagate,
    /// Spans and metrics for an OpenTelemetry collector.
    pub otlp: OtlpConfig,
    /// Payloads, by rule; by default none.
    pub capture: PayloadConfig,
}

impl TelemetryConfig {
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(Destination::File(file)) = &mut self.exchange_log {
            *file = directory.join(&file);
        }
        if let Some(file) = &mut self.otlp.certificate {
            *file = directory.join(&file);
        }
        if let CaptureDestination::File(file) = &mut self.capture.to {
            *file = directory.join(&file);
        }
    }
}

/// Whether `traceparent` of requests to providers names weir's span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagate {
    /// It is as the application sent it, or not there. The default: a provider
    /// has no part in the operator's traces, and headers stay as they are.
    #[default]
    Off,
    /// It is set, except where a signature of the application covers it: for
    /// servers of one's own, whose spans then lie below weir's.
    On,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Destination {
    /// `stdout`; not under `weir exec`, whose output is the command's.
    Stdout,
    /// `stderr`.
    Stderr,
    /// A file that is appended to; write `./stdout` for a file of that name.
    File(PathBuf),
}

impl TryFrom<String> for Destination {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "" => Err("the name is empty, expected `stdout`, `stderr` or the name of a file"),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            _ => Ok(Self::File(name.into())),
        }
    }
}

/// A generation of OpenTelemetry's conventions for generative AI. Their metrics
/// have different names, so that only one of them can be in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Semconv {
    /// Those of semantic-conventions up to 1.41, which instrumentations emit
    /// today. The default.
    #[default]
    Current,
    /// Those being drafted in semantic-conventions-genai.
    Draft,
}

/// The keys below `telemetry.otlp`. What is not given here is taken from the
/// `OTEL_*` variables of the specification; what is given goes before them.
///
/// Headers are in variables only: they are credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The collector, such as `http://collector:4318`; without it, or a variable
    /// that names one, nothing is exported.
    pub endpoint: Option<String>,
    /// How it is spoken to.
    pub protocol: Option<OtlpProtocol>,
    /// PEM file with the roots it is verified against; by default those of
    /// `tls.upstream_roots`.
    pub certificate: Option<PathBuf>,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum OtlpProtocol {
    /// Protobuf in requests of HTTP/1.1; what the specification advises.
    #[default]
    #[serde(rename = "http/protobuf")]
    Http,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// The keys below `telemetry.capture`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PayloadConfig {
    /// Which exchanges; the first rule that matches decides.
    pub rules: Vec<CaptureRule>,
    /// Where they go.
    pub to: CaptureDestination,
    /// Most bytes of each body that are kept.
    pub body_bytes_max: BodyBytesMax,
}

/// Where captured payloads go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CaptureDestination {
    /// `otlp`: as log records, to where spans go.
    #[default]
    Otlp,
    /// A file that is appended to; write `./otlp` for a file of that name.
    File(PathBuf),
}

impl TryFrom<String> for CaptureDestination {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "" => Err("the name is empty, expected `otlp` or the name of a file"),
            "otlp" => Ok(Self::Otlp),
            _ => Ok(Self::File(name.into())),
        }
    }
}

/// Most bytes of a body that are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub struct BodyBytesMax(usize);

impl BodyBytesMax {
    /// Above it a capture is a copy of the traffic, which weir does not keep.
    const MOST: usize = 1024 * 1024;

    /// The number of bytes.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl Default for BodyBytesMax {
    /// Some ten thousand words: most conversations whole.
    fn default() -> Self {
        Self(64 * 1024)
    }
}

impl TryFrom<usize> for BodyBytesMax {
    type Error = &'static str;

    fn try_from(bytes: usize) -> Result<Self, Self::Error> {
        (1..=Self::MOST)
            .contains(&bytes)
            .then_some(Self(bytes))
            .ok_or("expected 1 to 1048576 bytes")
    }
}

/// One rule of `telemetry.capture`. What is not given matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRule {
    /// A pattern for the host.
    #[serde(default)]
    pub host: Pattern,
    /// A pattern for the operation, such as `chat`.
    #[serde(default)]
    pub operation: Pattern,
    /// A pattern for the model asked for.
    #[serde(default)]
    pub model: Pattern,
    /// The share of those exchanges that is captured.
    pub sample: Share,
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share {
    /// Of 2⁶⁴.
    threshold: u64,
}

impl Share {
    /// Whether the exchange of these random bits is in the share.
    #[must_use]
    pub fn takes(self, random: u64) -> bool {
        self.threshold == u64::MAX || random < self.threshold
    }
}

impl TryFrom<f64> for Share {
    type Error = &'static str;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share need not be exact; the cast saturates, and the sign was checked"
    )]
    fn try_from(share: f64) -> Result<Self, Self::Error> {
        (0.0..=1.0)
            .contains(&share)
            .then_some(Self {
                threshold: (share * u64::MAX as f64) as u64,
            })
            .ok_or("expected a share from 0 to 1, such as 0.05")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_its_part() {
        let takes = |share: f64, random| Share::try_from(share).map(|share| share.takes(random));
        assert_eq!(takes(0.0, 0), Ok(false));
        assert_eq!(takes(1.0, u64::MAX), Ok(true));
        assert_eq!(takes(0.5, u64::MAX / 4), Ok(true));
        assert_eq!(takes(0.5, u64::MAX / 4 * 3), Ok(false));
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Share::try_from(bad).is_err(), "{bad}");
        }
    }
}
