//! Metrics of the process in Prometheus' text format.
//!
//! Names that begin with `gen_ai_` are those of OpenTelemetry's conventions for
//! generative AI, mapped to Prometheus; weir's own begin with `weir_`. Whatever
//! comes from outside and ends in a label passes a `Bounded` set first.

mod bounded;
mod coverage;
mod series;

use std::any::type_name;
use std::cell::RefCell;
use std::sync::Arc;

use prometheus::{
    CounterVec, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use rust_decimal::prelude::ToPrimitive;
use weir_common::FlowReason;

use self::{
    bounded::{Bounded, Room},
    coverage::Coverage,
    series::{Kept, Kind, Labels, Series, TOKENS},
};
use super::semconv::{MCP_BUCKETS, TOKEN_BUCKETS, error_type, mcp};
use crate::bounds::Bound;
use crate::llm::usage::Provenance;
use crate::meter::pace::SECONDS;
use crate::meter::reason::{Decision, Reason};
use crate::meter::record::Record;

/// Distinct models per label. A gateway serves some hundred; past it the name
/// says little, and every model costs some forty series.
const MODELS_MAX: usize = 200;

/// Distinct providers: those built in and some of the operator's own.
const PROVIDERS_MAX: usize = 50;

/// Distinct error types: statuses, outcomes, and codes of the providers.
const ERRORS_MAX: usize = 100;

/// Distinct methods of MCP: its own are some thirty.
const METHODS_MAX: usize = 50;

/// Distinct tools. A server has some tens, and an agent some servers.
const TOOLS_MAX: usize = 200;

/// From ten microseconds to a tenth of a second.
const OVERHEAD_BUCKETS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
    0.1,
];

/// All metrics of the process. Shared by reference; every method may be called
/// from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Vec<Family>,
    token_usage: HistogramVec,
    operation_duration: HistogramVec,
    time_to_first_chunk: HistogramVec,
    mcp_duration: HistogramVec,
    tokens: IntCounterVec,
    cost: CounterVec,
    exchanges: IntCounterVec,
    unpriced: IntCounter,
    connections: IntCounterVec,
    upstream: IntCounterVec,
    kept: IntGauge,
    coverage: Coverage,
    overhead: Histogram,
    problems: IntCounterVec,
    bounds: IntCounterVec,
    providers: Bounded,
    request_models: Bounded,
    response_models: Bounded,
    models: Bounded,
    errors: Bounded,
    methods: Bounded,
    tools: Bounded,
    kept_series: Kept,
}

/// A metric that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name; those of a histogram's series have a suffix.
    pub name: String,
    /// The labels it has.
    pub labels: Vec<String>,
    /// Whether it is one.
    pub is_histogram: bool,
}

/// Where a connection to a provider is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Dialled for this call.
    New,
    /// Kept from an earlier one, or made ahead.
    Kept,
    /// In use, by another connection of the application.
    Shared,
    /// Dialled ahead of a call.
    Ahead,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Kept => "kept",
            Self::Shared => "shared",
            Self::Ahead => "ahead",
        }
    }
}

/// A registry, and what is in it: it tells only of what has counted already.
#[derive(Default)]
struct Families {
    registry: Registry,
    families: RefCell<Vec<Family>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of which nothing has happened yet.
    ///
    /// # Panics
    /// Never: names and labels are constants that a test registers.
    #[must_use]
    pub fn new() -> Self {
        let registry = Families::default();
        let overflow = register(
            &registry,
            IntCounterVec::new(
                Opts::new(
                    "weir_label_overflow_total",
                    "Label values that were counted as `other` for want of room.",
                ),
                &["label"],
            ),
        );
        let bounded =
            |label: &'static str, most| Bounded::new(most, overflow.with_label_values(&[label]));
        let build = register(
            &registry,
            IntGaugeVec::new(Opts::new("weir_build_info", "Always 1."), &["version"]),
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            token_usage: register(&registry, token_usage()),
            operation_duration: register(&registry, operation_duration()),
            time_to_first_chunk: register(&registry, time_to_first_chunk()),
            mcp_duration: register(&registry, mcp_duration()),
            tokens: register(
                &registry,
                counters(
                    "weir_tokens_total",
                    "Tokens by type; cache_read and cache_write are part of input, reasoning \
                     of output.",
                    &["provider", "model", "type", "provenance"],
                ),
            ),
            cost: register(
                &registry,
                CounterVec::new(
                    Opts::new(
                        "weir_cost_usd_total",
                        "Cost of the exchanges whose cost is known.",
                    ),
                    &["provider", "model"],
                ),
            ),
            exchanges: register(
                &registry,
                counters(
                    "weir_exchanges_total",
                    "Exchanges with model providers, also those refused at the request.",
                    &["provider", "operation", "status_class", "outcome"],
                ),
            ),
            unpriced: register(
                &registry,
                IntCounter::new(
                    "weir_exchanges_unpriced_total",
                    "Successful exchanges whose cost is not known.",
                ),
            ),
            connections: register(
                &registry,
                counters(
                    "weir_connections_total",
                    "Connections by what was decided about them.",
                    &["decision", "reason"],
                ),
            ),
            upstream: register(
                &registry,
                counters(
                    "weir_upstream_connections_total",
                    "Connections to providers that calls began on: new, or kept from an earlier \
                     one.",
                    &["source"],
                ),
            ),
            kept: register(
                &registry,
                IntGauge::new(
                    "weir_upstream_connections_kept",
                    "Connections to providers that wait for the next call.",
                ),
            ),
            coverage: Coverage::new(&registry),
            overhead: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new("weir_overhead_seconds", "Time an exchange spent in weir.")
                        .buckets(OVERHEAD_BUCKETS.to_vec()),
                ),
            ),
            problems: register(
                &registry,
                counters(
                    "weir_inspect_problems_total",
                    "What kept an inspection from seeing everything.",
                    &["kind"],
                ),
            ),
            providers: bounded("provider", PROVIDERS_MAX),
            request_models: bounded("request_model", MODELS_MAX),
            response_models: bounded("response_model", MODELS_MAX),
            models: bounded("model", MODELS_MAX),
            errors: bounded("error_type", ERRORS_MAX),
            methods: bounded("mcp_method", METHODS_MAX),
            tools: bounded("mcp_tool", TOOLS_MAX),
            kept_series: Kept::default(),
            bounds: register(
                &registry,
                counters(
                    "weir_bound_hits_total",
                    "Bounds that were hit and show in no other metric.",
                    &["bound"],
                ),
            ),
            families: registry.families.into_inner(),
            registry: registry.registry,
        }
    }

    /// Counts an exchange that has ended. Connections that were not read are
    /// left to [`connection`](Self::connection).
    pub fn observe(&self, record: &Record) {
        let Some(operation) = record.operation.as_deref() else {
            return;
        };
        if let Some(spent) = record.weir_overhead_us {
            self.overhead
                .observe(std::time::Duration::from_micros(spent).as_secs_f64());
        }
        for problem in &record.problems {
            self.problems.with_label_values(&[problem.as_str()]).inc();
        }
        let error_type = error_type(record);
        let status_class = status_class(record.status);
        let kind = Kind::of(record, operation, status_class, error_type.as_deref());
        let series = self.series(kind);
        series
            .exchanges
            .get_or_init(|| {
                let outcome = record.outcome.as_str();
                let provider = &series.labels.provider;
                self.exchanges
                    .with_label_values(&[provider, operation, status_class, outcome])
            })
            .inc();
        if !self.observe_mcp(record, &series) {
            self.observe_conventional(record, operation, &series);
        }
        self.observe_spent(record, &series);
    }

    /// The series of a kind of exchanges.
    fn series(&self, kind: Kind<'_>) -> Arc<Series> {
        if let Some(series) = self.kept_series.get(&kind) {
            return series;
        }
        let mut has_overflown = false;
        let mut admitted = |set: &Bounded, value: Option<&str>, is_needed: bool| {
            let (label, room) = if is_needed {
                set.admit(value)
            } else {
                set.admit_or_empty(value)
            };
            has_overflown |= room == Room::Overflown;
            label.into_owned()
        };
        let labels = Labels {
            provider: admitted(&self.providers, kind.provider.as_deref(), true),
            request_model: admitted(&self.request_models, kind.request_model.as_deref(), false),
            response_model: admitted(&self.response_models, kind.response_model.as_deref(), false),
            error_type: admitted(&self.errors, kind.error_type.as_deref(), false),
            model: admitted(
                &self.models,
                kind.response_model
                    .as_deref()
                    .or(kind.request_model.as_deref()),
                true,
            ),
        };
        let series = Arc::new(Series::new(labels));
        // Each that does not fit is counted as that.
        if !has_overflown {
            self.kept_series.keep(kind, Arc::clone(&series));
        }
        series
    }

    /// Counts a connection that was decided.
    pub fn connection(&self, decision: Decision, reason: Reason) {
        self.connections
            .with_label_values(&[decision.as_str(), reason.as_str()])
            .inc();
        if (decision, reason) == (Decision::Intercept, Reason::CatalogueHost) {
            self.coverage.inspected();
        }
    }

    /// Counts a connection to a provider that was made, or used once more.
    pub fn upstream(&self, source: Source) {
        self.upstream.with_label_values(&[source.as_str()]).inc();
    }

    /// How many connections to providers wait for the next call.
    pub fn upstream_kept(&self, count: usize) {
        self.kept.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Takes over what the kernel half has counted, in the order of
    /// `FlowReason::ALL`.
    pub fn set_kernel_flows(&self, counts: &[u64; FlowReason::COUNT]) {
        self.coverage.set(counts);
    }

    /// Every metric, also those that have counted nothing yet.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The text exposition of all metrics.
    ///
    /// # Panics
    /// Never: writing to memory does not fail, and metrics have names.
    #[must_use]
    pub fn render(&self) -> String {
        for bound in Bound::ALL {
            let counter = self.bounds.with_label_values(&[bound.as_str()]);
            counter.inc_by(bound.hits().saturating_sub(counter.get()));
        }
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("a vector takes all, and every family has a metric");
        String::from_utf8(text).expect("label values are strings")
    }

    /// The metric of the conventions for MCP, if the exchange is one of it.
    fn observe_mcp(&self, record: &Record, series: &Series) -> bool {
        let Some((rpc, method)) = mcp(record) else {
            return false;
        };
        self.mcp_duration
            .with_label_values(&[
                &*self.methods.admit(Some(method)).0,
                &*self.tools.admit_or_empty(rpc.tool.as_deref()).0,
                &series.labels.error_type,
            ])
            .observe(record.duration_ms.as_secs_f64());
        true
    }

    /// The metrics of the conventions.
    fn observe_conventional(&self, record: &Record, operation: &str, series: &Series) {
        let Labels {
            provider,
            request_model,
            response_model,
            error_type,
            ..
        } = &series.labels;
        // They ask for counts that the provider stated, or none.
        if record.tokens_provenance == Provenance::Measured {
            let counts = [
                ("input", record.input_tokens),
                ("output", record.output_tokens),
            ];
            for (usage, (kind, count)) in series.usage.iter().zip(counts) {
                if let Some(count) = count {
                    usage
                        .get_or_init(|| {
                            self.token_usage.with_label_values(&[
                                operation,
                                provider,
                                kind,
                                request_model,
                                response_model,
                            ])
                        })
                        .observe(count.to_f64().unwrap_or(f64::MAX));
                }
            }
        }
        series
            .duration
            .get_or_init(|| {
                self.operation_duration.with_label_values(&[
                    operation,
                    provider,
                    request_model,
                    response_model,
                    error_type,
                ])
            })
            .observe(record.duration_ms.as_secs_f64());
        if let Some(first) = record.time_to_first_chunk_ms {
            series
                .first_chunk
                .get_or_init(|| {
                    self.time_to_first_chunk.with_label_values(&[
                        operation,
                        provider,
                        request_model,
                        response_model,
                    ])
                })
                .observe(first.as_secs_f64());
        }
    }

    /// Tokens and money.
    fn observe_spent(&self, record: &Record, series: &Series) {
        let Labels {
            provider, model, ..
        } = &series.labels;
        let counts: [_; TOKENS] = [
            ("input", record.input_tokens),
            ("output", record.output_tokens),
            ("cache_read", record.cache_read_tokens),
            ("cache_write", record.cache_write_tokens),
            ("reasoning", record.reasoning_tokens),
        ];
        for (tokens, (kind, count)) in series.tokens.iter().zip(counts) {
            if let Some(count) = count {
                tokens
                    .get_or_init(|| {
                        let provenance = record.tokens_provenance.as_str();
                        self.tokens
                            .with_label_values(&[provider, model, kind, provenance])
                    })
                    .inc_by(count);
            }
        }
        match record.cost_usd.and_then(|cost| cost.to_f64()) {
            Some(cost) => series
                .cost
                .get_or_init(|| self.cost.with_label_values(&[provider, model]))
                .inc_by(cost.max(0.0)),
            None if record.is_billable() => self.unpriced.inc(),
            None => {}
        }
    }
}

fn status_class(status: Option<u16>) -> &'static str {
    match status.map(|status| status / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        Some(_) | None => "none",
    }
}

fn token_usage() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(
            "gen_ai_client_token_usage",
            "Tokens per operation, as the provider stated them.",
        )
        .buckets(TOKEN_BUCKETS.to_vec()),
        &[
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_token_type",
            "gen_ai_request_model",
            "gen_ai_response_model",
        ],
    )
}

fn operation_duration() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(
            "gen_ai_client_operation_duration_seconds",
            "Duration of operations, from the first byte of the request to the last of the answer.",
        )
        .buckets(SECONDS.to_vec()),
        &[
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "gen_ai_response_model",
            "error_type",
        ],
    )
}

fn mcp_duration() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(
            "mcp_client_operation_duration_seconds",
            "Duration of MCP requests and notifications.",
        )
        .buckets(MCP_BUCKETS.to_vec()),
        &["mcp_method_name", "gen_ai_tool_name", "error_type"],
    )
}

fn time_to_first_chunk() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From the request going out to the first event of a stream.",
        )
        .buckets(SECONDS.to_vec()),
        &[
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "gen_ai_response_model",
        ],
    )
}

fn counters(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn register<C: Collector + Clone + 'static>(
    families: &Families,
    collector: prometheus::Result<C>,
) -> C {
    let collector = collector.expect("names and labels are well formed");
    let is_histogram =
        [type_name::<Histogram>(), type_name::<HistogramVec>()].contains(&type_name::<C>());
    for described in collector.desc() {
        families.families.borrow_mut().push(Family {
            name: described.fq_name.clone(),
            labels: described.variable_labels.clone(),
            is_histogram,
        });
    }
    families
        .registry
        .register(Box::new(collector.clone()))
        .expect("no name is registered twice");
    collector
}

#[cfg(test)]
mod tests;
