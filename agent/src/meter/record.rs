//! The record of one exchange, as it is written to the report and the log.
//!
//! Field names and order are an interface others rely on. Unknown is `null`,
//! never zero. No field holds text of a prompt or a completion.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::reason::{Decision, Reason};
use super::timestamp::Timestamp;
use super::trace::Trace;
use crate::llm::observation::{Problem, Rpc};
use crate::llm::tokens::Method;
use crate::llm::usage::Provenance;

/// Where finished records go. Called once per exchange, from a task that
/// forwards bytes: an implementation must not block or panic.
pub trait RecordSink: Send + Sync {
    /// Takes the record of an exchange that has ended.
    fn record(&self, record: Record);
}

/// One exchange, or one connection that was spliced or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Unique; sorts by the time the exchange began.
    pub id: String,
    /// When the exchange began.
    pub ts: Timestamp,
    /// What was done with it.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The verified host name, or what is known of it.
    pub host: Option<String>,
    /// `gen_ai.provider.name` of who bills.
    pub provider: Option<String>,
    /// `gen_ai.operation.name`, or `other`; `session` for a connection whose
    /// calls have records of their own.
    pub operation: Option<Cow<'static, str>>,
    /// The model asked for.
    pub request_model: Option<String>,
    /// The model that answered.
    pub response_model: Option<String>,
    /// The provider's identifier of the response.
    pub response_id: Option<String>,
    /// Whether the answer was an event stream.
    pub stream: Option<bool>,
    /// HTTP status that upstream, or weir in its place, answered with. What a
    /// socket carries has one only where upstream gives one to an error.
    pub status: Option<u16>,
    /// Why generation ended, in the provider's word.
    pub finish_reason: Option<String>,
    /// All prompt tokens, cached ones included.
    pub input_tokens: Option<u64>,
    /// All generated tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// Part of `input_tokens`.
    pub cache_read_tokens: Option<u64>,
    /// Part of `input_tokens`.
    pub cache_write_tokens: Option<u64>,
    /// Part of `output_tokens`.
    pub reasoning_tokens: Option<u64>,
    /// The weakest provenance among the counts above that are not null.
    pub tokens_provenance: Provenance,
    /// How estimates among them were made. None of an estimate is what the
    /// provider stated before the stream was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_method: Option<Method>,
    /// A JSON number with exactly the digits of the decimal; read it as a
    /// decimal, not as a float, where exactness matters.
    #[serde(with = "exact")]
    pub cost_usd: Option<Decimal>,
    /// Where `cost_usd` comes from.
    pub cost_provenance: CostProvenance,
    /// The version of the table that `cost_usd` was computed from, and of the
    /// operator's files on top of it, joined by `+`; of priced exchanges only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_table: Option<Arc<str>>,
    /// From the request's head going out to the first event of the answer;
    /// event streams only.
    pub time_to_first_chunk_ms: Option<Millis>,
    /// From the exchange beginning to it ending.
    pub duration_ms: Millis,
    /// Time spent in weir itself, in microseconds.
    pub weir_overhead_us: Option<u64>,
    /// Who made the call, where the kernel could say.
    pub process: Option<Process>,
    /// What went wrong: a peer that left, a refusal, or the provider's own
    /// error code.
    pub error: Option<String>,
    /// What the exchange was carried by.
    pub protocol: Protocol,
    /// How many attempts of the same call the client counts before this one
    /// (`x-stainless-retry-count`); of clients that say so, from the first retry on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    /// Names of the rules that changed a body.
    pub rules: Vec<Cow<'static, str>>,
    /// Bytes of body, or of spliced stream, towards upstream.
    pub bytes_sent: u64,
    /// Bytes of body, or of spliced stream, from upstream.
    pub bytes_received: u64,
    /// How the exchange ended.
    pub outcome: OutcomeKind,
    /// The service tier stated in the response.
    pub service_tier: Option<String>,
    /// What kept the inspection from seeing everything.
    pub problems: Vec<Problem>,
    /// The call of a tool or an agent; exchanges of their protocols only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<Rpc>,
    /// The port that was called; exchanges that were read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The span of the exchange; exchanges that were read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// How evenly a stream arrived. For metrics: a line has no use for it.
    #[serde(skip)]
    pub pace: Option<Pace>,
}

impl Record {
    /// Whether the exchange is one that a provider charges for, as far as can
    /// be told: it succeeded, and is neither free nor the result of another one.
    #[must_use]
    pub fn is_billable(&self) -> bool {
        let is_free = matches!(
            self.operation.as_deref(),
            Some("count_tokens" | "fetch_response" | "mcp" | "execute_tool" | "infer")
        );
        let has_succeeded = match self.status {
            Some(status) => (200..300).contains(&status),
            // What a socket carries has none, and mostly succeeds.
            None => self.protocol == Protocol::WebSocket && self.error.is_none(),
        };
        self.decision == Decision::Intercept && has_succeeded && !is_free
    }
}

/// The process that opened a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id in weir's namespace.
    pub pid: Option<u32>,
    /// Path or name of the executable.
    pub exe: Option<String>,
}

/// What carried an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.
    H1,
    /// HTTP/2.
    H2,
    /// Messages of a WebSocket, whatever carries that.
    #[serde(rename = "websocket")]
    WebSocket,
    /// TLS that was not decrypted.
    Tls,
    /// Any other TCP.
    Tcp,
}

impl Protocol {
    /// The name used in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::WebSocket => "websocket",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Both directions ended as they should.
    Complete,
    /// The application left first.
    ClientGone,
    /// Upstream left first.
    UpstreamGone,
    /// weir did not forward it.
    Refused,
    /// Nobody said how it ended: the task that carried it was dropped.
    Aborted,
}

impl OutcomeKind {
    /// The name used in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamGone => "upstream_gone",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
        }
    }
}

/// Where the cost of an exchange comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostProvenance {
    /// Token counts times the price table.
    Priced,
    /// The provider stated it.
    Stated,
    /// Not known.
    #[default]
    Unpriced,
}

impl CostProvenance {
    /// The name used in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Priced => "priced",
            Self::Stated => "stated",
            Self::Unpriced => "unpriced",
        }
    }
}

/// A duration, written as milliseconds with microsecond resolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Millis(Duration);

impl Millis {
    /// The duration itself.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }

    /// The duration in seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(Duration::from_micros(micros))
    }
}

impl From<f64> for Millis {
    fn from(ms: f64) -> Self {
        let duration = Duration::try_from_secs_f64((ms / 1000.0).max(0.0)).unwrap_or_default();
        // To the nearest microsecond: the division is not exact.
        Self::from(duration.saturating_add(Duration::from_nanos(500)))
    }
}

impl From<Millis> for f64 {
    fn from(millis: Millis) -> Self {
        let micros = Self::from(millis.0.subsec_micros());
        let seconds = millis.0.as_secs();
        let whole_ms = Duration::from_secs(seconds).as_secs_f64() * 1000.0;
        whole_ms + micros / 1000.0
    }
}

/// Money as a JSON number with exactly the decimal's digits.
pub(super) mod exact {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::value::RawValue;

    pub(in crate::meter) fn serialize<S: Serializer>(
        value: &Option<Decimal>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(decimal) = value else {
            return serializer.serialize_none();
        };
        RawValue::from_string(decimal.normalize().to_string())
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }

    pub(in crate::meter) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Decimal>, D::Error> {
        let raw: Option<Box<RawValue>> = Option::deserialize(deserializer)?;
        raw.map(|raw| {
            let text = raw.get();
            Decimal::from_str_exact(text)
                .or_else(|_| Decimal::from_scientific(text))
                .map_err(de::Error::custom)
        })
        .transpose()
    }
}

#[cfg(test)]
pub(crate) mod tests;
