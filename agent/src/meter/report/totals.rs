//! Sums over records.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::llm::usage::Provenance;
use crate::meter::reason::{Decision, Reason};
use crate::meter::record::{OutcomeKind, Record};

/// Models told apart. Past it they are summed up as `other`.
const MODELS_MAX: usize = 200;

/// Hosts told apart among connections that were not inspected. Past it they are
/// summed up as `other`.
const HOSTS_MAX: usize = 200;

const OTHER: &str = "other";

/// Sums over all records. A sum is null while nothing known was added to it.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Totals {
    /// Exchanges with model providers.
    pub exchanges: u64,
    /// Those that ended otherwise than complete, or with an error.
    pub errors: u64,
    /// Those whose bodies were left unread, as configured.
    pub exchanges_not_read: u64,
    /// Records of every kind that are not in the list of exchanges any more.
    pub exchanges_omitted: u64,
    /// Records by decision.
    pub by_decision: BTreeMap<Decision, u64>,
    /// What was used.
    #[serde(flatten)]
    pub sums: Sums,
    /// By provider and model, in alphabetical order.
    #[serde(serialize_with = "as_list")]
    pub by_model: BTreeMap<(String, String), ModelTotals>,
    /// Connections that were spliced or refused, by host and reason.
    #[serde(serialize_with = "as_list")]
    pub not_inspected: BTreeMap<(Decision, String, Reason), Connections>,
    /// Connection attempts that the kernel saw, by what it did with them:
    /// everything but `redirected` did not reach the proxy.
    pub flows: BTreeMap<String, u64>,
}

/// What was used by some exchanges.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Prompt tokens, cached ones included.
    pub input_tokens: Option<u64>,
    /// Generated tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// Part of `input_tokens`.
    pub cache_read_tokens: Option<u64>,
    /// Part of `input_tokens`.
    pub cache_write_tokens: Option<u64>,
    /// Part of `output_tokens`.
    pub reasoning_tokens: Option<u64>,
    /// US dollars.
    #[serde(serialize_with = "crate::meter::record::exact::serialize")]
    pub cost_usd: Option<Decimal>,
    /// Successful exchanges whose tokens are estimated: part of the sums.
    pub estimated_exchanges: u64,
    /// Successful exchanges whose tokens are not known: not in the sums.
    pub unknown_exchanges: u64,
    /// Successful exchanges whose cost is not known: not in the sum.
    pub unpriced_exchanges: u64,
}

/// What one model was used for.
#[derive(Debug, Default, Clone, Serialize)]
pub struct ModelTotals {
    /// `gen_ai.provider.name`.
    pub provider: String,
    /// The model that answered, or else was asked for.
    pub model: String,
    /// Exchanges with it.
    pub exchanges: u64,
    /// What was used.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Connections that met the same end.
#[derive(Debug, Clone, Serialize)]
pub struct Connections {
    /// Splice or refuse.
    pub decision: Decision,
    /// The host, `unknown` if nothing named one.
    pub host: String,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub connections: u64,
    /// Bytes towards upstream.
    pub bytes_sent: u64,
    /// Bytes from upstream.
    pub bytes_received: u64,
}

impl Totals {
    pub(super) fn add(&mut self, record: &Record) {
        *self.by_decision.entry(record.decision).or_default() += 1;
        if record.decision != Decision::Intercept {
            self.add_connection(record);
            return;
        }
        self.exchanges += 1;
        self.exchanges_not_read += u64::from(record.reason == Reason::BodiesNotRead);
        let failed = record.outcome != OutcomeKind::Complete || record.error.is_some();
        self.errors += u64::from(failed);
        self.sums.add(record);
        let model = record
            .response_model
            .as_ref()
            .or(record.request_model.as_ref());
        let key = |provider: &Option<String>, model: Option<&String>| {
            let or_unknown = |name: Option<&String>| name.map_or("unknown", |name| name).to_owned();
            (or_unknown(provider.as_ref()), or_unknown(model))
        };
        let mut key = key(&record.provider, model);
        if self.by_model.len() >= MODELS_MAX && !self.by_model.contains_key(&key) {
            key = (OTHER.to_owned(), OTHER.to_owned());
        }
        let (provider, model) = key.clone();
        let model = self.by_model.entry(key).or_insert_with(|| ModelTotals {
            provider,
            model,
            ..ModelTotals::default()
        });
        model.exchanges += 1;
        model.sums.add(record);
    }

    fn add_connection(&mut self, record: &Record) {
        let host = record.host.clone().unwrap_or_else(|| "unknown".to_owned());
        let mut key = (record.decision, host, record.reason);
        if self.not_inspected.len() >= HOSTS_MAX && !self.not_inspected.contains_key(&key) {
            key.1 = OTHER.to_owned();
        }
        let (decision, host, reason) = key.clone();
        let group = self.not_inspected.entry(key).or_insert(Connections {
            decision,
            host,
            reason,
            connections: 0,
            bytes_sent: 0,
            bytes_received: 0,
        });
        group.connections += 1;
        group.bytes_sent = group.bytes_sent.saturating_add(record.bytes_sent);
        group.bytes_received = group.bytes_received.saturating_add(record.bytes_received);
    }
}

impl Sums {
    fn add(&mut self, record: &Record) {
        let add = |sum: &mut Option<u64>, count: Option<u64>| {
            if let Some(count) = count {
                *sum = Some(sum.unwrap_or(0).saturating_add(count));
            }
        };
        add(&mut self.input_tokens, record.input_tokens);
        add(&mut self.output_tokens, record.output_tokens);
        add(&mut self.cache_read_tokens, record.cache_read_tokens);
        add(&mut self.cache_write_tokens, record.cache_write_tokens);
        add(&mut self.reasoning_tokens, record.reasoning_tokens);
        if let Some(cost) = record.cost_usd {
            self.cost_usd = self.cost_usd.unwrap_or_default().checked_add(cost);
        }
        self.estimated_exchanges += u64::from(record.tokens_provenance == Provenance::Estimated);
        if record.is_billable() {
            self.unknown_exchanges += u64::from(record.tokens_provenance == Provenance::Unknown);
            self.unpriced_exchanges += u64::from(record.cost_usd.is_none());
        }
    }
}

fn as_list<K, V: Serialize, S: Serializer>(
    map: &BTreeMap<K, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map.values())
}
