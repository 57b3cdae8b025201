//! The metrics of the conventions for generative AI and for MCP, added up for OTLP.
//!
//! What one record adds is a list of plain values ([`measured`]); adding up is
//! one map behind a lock that is held for a few additions. There is room for a
//! bounded number of series: beyond it values are added up without attributes,
//! under the mark that the specification has for that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    metric::Data, number_data_point,
};

use super::{
    attribute::{flag, number, text},
    settings::Temporality,
};
use crate::{
    bounds::Bound,
    config::Semconv,
    export::semconv::{MCP_BUCKETS, TOKEN_BUCKETS, error_type, is_inference, mcp, plain},
    llm::usage::Provenance,
    meter::{
        pace::{Pace, SECONDS},
        record::Record,
    },
};

/// Series of one metric: what the specification advises.
const SERIES_MAX: usize = 2000;

/// A metric.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Instrument {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Counter,
    Tokens,
    Seconds,
    McpSeconds,
}

impl Kind {
    fn bounds(self) -> &'static [f64] {
        match self {
            Self::Counter => &[],
            Self::Tokens => TOKEN_BUCKETS,
            Self::Seconds => SECONDS,
            Self::McpSeconds => MCP_BUCKETS,
        }
    }
}

macro_rules! instruments {
    ($($constant:ident = $kind:ident $name:literal $unit:literal $description:literal;)*) => {
        $(const $constant: Instrument = Instrument {
            name: $name,
            unit: $unit,
            description: $description,
            kind: Kind::$kind,
        };)*
    };
}

// As the conventions have them: those of the current generation, then those of
// the draft, which takes `OPERATION_DURATION` for what is no inference.
instruments! {
    TOKEN_USAGE = Tokens "gen_ai.client.token.usage" "{token}"
        "Number of input and output tokens used.";
    OPERATION_DURATION = Seconds "gen_ai.client.operation.duration" "s"
        "GenAI operation duration.";
    FIRST_CHUNK = Seconds "gen_ai.client.operation.time_to_first_chunk" "s"
        "Time to receive the first chunk.";
    OUTPUT_CHUNK = Seconds "gen_ai.client.operation.time_per_output_chunk" "s"
        "Time per output chunk after the first.";
    INFERENCE_DURATION = Seconds "gen_ai.client.inference.duration" "s"
        "Inference duration.";
    INFERENCE_FIRST_CHUNK = Seconds "gen_ai.client.inference.time_to_first_chunk" "s"
        "Time to receive the first chunk.";
    INFERENCE_OUTPUT_CHUNK = Seconds "gen_ai.client.inference.time_per_output_chunk" "s"
        "Time per output chunk after the first.";
    INPUT_TOKENS = Counter "gen_ai.client.inference.usage.input_tokens" "{token}"
        "Number of input tokens used.";
    OUTPUT_TOKENS = Counter "gen_ai.client.inference.usage.output_tokens" "{token}"
        "Number of output tokens used.";
    CACHE_READ_TOKENS = Counter "gen_ai.client.inference.usage.cache_read.input_tokens" "{token}"
        "Number of input tokens read from a cache, a part of the input.";
    CACHE_WRITE_TOKENS = Counter "gen_ai.client.inference.usage.cache_write.input_tokens" "{token}"
        "Number of input tokens written to a cache, a part of the input.";
    REASONING_TOKENS = Counter "gen_ai.client.inference.usage.reasoning.output_tokens" "{token}"
        "Number of output tokens used for reasoning, a part of the output.";
    OPERATION_INPUT = Tokens "gen_ai.client.inference.operation.input_tokens" "{token}"
        "Number of input tokens per operation.";
    MCP_DURATION = McpSeconds "mcp.client.operation.duration" "s"
        "Duration of an MCP request or notification as its sender sees it.";
    OPERATION_OUTPUT = Tokens "gen_ai.client.inference.operation.output_tokens" "{token}"
        "Number of output tokens per operation.";
}

/// The value of an attribute of a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Label {
    Text(String),
    Number(u64),
}

type Labels = Vec<(&'static str, Label)>;

/// What a record adds to a series.
#[derive(Debug, PartialEq)]
enum Amount<'a> {
    Seconds(f64),
    Tokens(u64),
    Gaps(&'a Pace),
}

/// What one record adds, and to which metric.
type Measured<'a> = (Instrument, Labels, Amount<'a>);

/// What one record adds to the metrics of a generation.
fn measured(record: &Record, semconv: Semconv) -> Vec<Measured<'_>> {
    let Some(operation) = record.operation.as_deref() else {
        return Vec::new();
    };
    let error = error_type(record);
    if mcp(record).is_some() {
        return measured_mcp(record, error).into_iter().collect();
    }
    let common = common(record, operation);
    let with_error = |mut labels: Labels| {
        labels.extend(
            error
                .as_ref()
                .map(|it| ("error.type", Label::Text(plain(it)))),
        );
        labels
    };
    let inference = semconv == Semconv::Draft && is_inference(operation);
    let (duration, first_chunk, output_chunk) = if inference {
        (
            INFERENCE_DURATION,
            INFERENCE_FIRST_CHUNK,
            INFERENCE_OUTPUT_CHUNK,
        )
    } else {
        (OPERATION_DURATION, FIRST_CHUNK, OUTPUT_CHUNK)
    };
    let seconds = Amount::Seconds(record.duration_ms.as_secs_f64());
    let mut all = vec![(duration, with_error(common.clone()), seconds)];
    if let Some(first) = record.time_to_first_chunk_ms {
        let seconds = Amount::Seconds(first.as_secs_f64());
        all.push((first_chunk, common.clone(), seconds));
    }
    if let Some(pace) = record.pace.as_ref().filter(|pace| pace.count() > 0) {
        all.push((output_chunk, common.clone(), Amount::Gaps(pace)));
    }
    match semconv {
        Semconv::Current => all.extend(usage(record, &common)),
        Semconv::Draft if inference => {
            all.extend(inference_usage(
                record,
                &common,
                &with_error(common.clone()),
            ));
        }
        Semconv::Draft => {}
    }
    all
}

/// What a call of an MCP server adds, in both generations.
fn measured_mcp(record: &Record, error: Option<String>) -> Option<Measured<'_>> {
    let (rpc, method) = mcp(record)?;
    let operation = record.operation.as_deref();
    let texts = [
        ("mcp.method.name", Some(method)),
        (
            "gen_ai.operation.name",
            operation.filter(|it| *it == "execute_tool"),
        ),
        ("gen_ai.tool.name", rpc.tool.as_deref()),
        ("error.type", error.as_deref()),
        ("network.transport", Some("tcp")),
        ("network.protocol.name", Some("http")),
        ("server.address", record.host.as_deref()),
    ];
    let known = texts.iter().filter_map(|(key, value)| {
        let value = (*value)?;
        Some((*key, Label::Text(plain(value))))
    });
    let mut labels: Labels = known.collect();
    labels.extend(
        record
            .port
            .map(|port| ("server.port", Label::Number(port.into()))),
    );
    let seconds = Amount::Seconds(record.duration_ms.as_secs_f64());
    Some((MCP_DURATION, labels, seconds))
}

fn common(record: &Record, operation: &str) -> Labels {
    let provider = record.provider.as_deref().unwrap_or("unknown");
    let optional = [
        ("gen_ai.request.model", record.request_model.as_deref()),
        ("gen_ai.response.model", record.response_model.as_deref()),
        ("server.address", record.host.as_deref()),
    ];
    let mut labels = vec![
        ("gen_ai.operation.name", Label::Text(plain(operation))),
        ("gen_ai.provider.name", Label::Text(plain(provider))),
    ];
    labels.extend(
        optional
            .iter()
            .filter_map(|(key, value)| Some((*key, Label::Text(plain((*value)?))))),
    );
    labels.extend(
        record
            .port
            .map(|port| ("server.port", Label::Number(port.into()))),
    );
    labels
}

/// Tokens in the current generation. The conventions ask for counts that the
/// provider stated, or none.
fn usage<'a>(record: &'a Record, common: &Labels) -> Vec<Measured<'a>> {
    if record.tokens_provenance != Provenance::Measured {
        return Vec::new();
    }
    [
        ("input", record.input_tokens),
        ("output", record.output_tokens),
    ]
    .into_iter()
    .filter_map(|(kind, count)| {
        let mut labels = common.clone();
        labels.push(("gen_ai.token.type", Label::Text(kind.to_owned())));
        Some((TOKEN_USAGE, labels, Amount::Tokens(count?)))
    })
    .collect()
}

/// Tokens in the draft, which has counters by modality. Records do not tell
/// modalities apart. The draft would count an inference of unknown usage as one
/// of zero tokens; to a counter that adds nothing, and in the histograms, where
/// it would say something that is not so, it is left out.
fn inference_usage<'a>(
    record: &'a Record,
    common: &Labels,
    with_error: &Labels,
) -> Vec<Measured<'a>> {
    let stated =
        |count: Option<u64>| count.filter(|_| record.tokens_provenance == Provenance::Measured);
    let mut by_modality = common.clone();
    by_modality.push(("gen_ai.token.modality", Label::Text("unknown".to_owned())));
    let totals = [
        (INPUT_TOKENS, OPERATION_INPUT, stated(record.input_tokens)),
        (
            OUTPUT_TOKENS,
            OPERATION_OUTPUT,
            stated(record.output_tokens),
        ),
    ];
    let parts = [
        (CACHE_READ_TOKENS, stated(record.cache_read_tokens)),
        (CACHE_WRITE_TOKENS, stated(record.cache_write_tokens)),
        (REASONING_TOKENS, stated(record.reasoning_tokens)),
    ];
    let mut all = Vec::new();
    for (counter, histogram, count) in totals {
        all.push((
            counter,
            by_modality.clone(),
            Amount::Tokens(count.unwrap_or(0)),
        ));
        all.extend(count.map(|count| (histogram, with_error.clone(), Amount::Tokens(count))));
    }
    all.extend(parts.into_iter().filter_map(|(counter, count)| {
        Some((counter, by_modality.clone(), Amount::Tokens(count?)))
    }));
    all
}

/// What has been added up for one series.
#[derive(Debug, Default)]
struct Point {
    count: u64,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    /// One more than there are bounds; none for a counter.
    buckets: Vec<u64>,
}

impl Point {
    fn add(&mut self, kind: Kind, amount: &Amount<'_>) {
        let bounds = kind.bounds();
        if kind != Kind::Counter {
            self.buckets.resize(bounds.len().saturating_add(1), 0);
        }
        let value = match amount {
            Amount::Seconds(seconds) => *seconds,
            Amount::Tokens(count) => as_float(*count),
            Amount::Gaps(pace) => return self.add_all(pace),
        };
        self.count = self.count.saturating_add(1);
        self.sum += value;
        self.widen(value, value);
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket = bucket.saturating_add(1);
        }
    }

    fn add_all(&mut self, pace: &Pace) {
        self.count = self.count.saturating_add(pace.count());
        self.sum += pace.sum.as_secs_f64();
        if let (Some(min), Some(max)) = (pace.min, pace.max) {
            self.widen(min.as_secs_f64(), max.as_secs_f64());
        }
        for (own, more) in self.buckets.iter_mut().zip(pace.buckets) {
            *own = own.saturating_add(more);
        }
    }

    fn widen(&mut self, min: f64, max: f64) {
        self.min = Some(self.min.map_or(min, |least| least.min(min)));
        self.max = Some(self.max.map_or(max, |most| most.max(max)));
    }
}

/// Exact below 2⁵³ tokens.
#[expect(
    clippy::cast_precision_loss,
    reason = "sums of histograms are floats; no count of tokens comes near 2^53"
)]
fn as_float(count: u64) -> f64 {
    count as f64
}

/// All that was measured.
#[derive(Debug)]
pub(super) struct Metrics {
    semconv: Semconv,
    temporality: Temporality,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when, as time since the Unix epoch.
    since: Duration,
    series: HashMap<Instrument, HashMap<Labels, Point>>,
}

impl Metrics {
    /// Nothing has been measured at `now`, a time since the Unix epoch.
    pub(super) fn new(semconv: Semconv, temporality: Temporality, now: Duration) -> Self {
        Self {
            semconv,
            temporality,
            state: Mutex::new(State {
                since: now,
                series: HashMap::new(),
            }),
        }
    }

    /// Adds what the record of an exchange says.
    pub(super) fn observe(&self, record: &Record) {
        let measured = measured(record, self.semconv);
        // Counts are whole after any panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (instrument, labels, amount) in measured {
            let kind = instrument.kind;
            let series = state.series.entry(instrument).or_default();
            let labels = if series.contains_key(&labels) || series.len() < SERIES_MAX {
                labels
            } else {
                Bound::OtlpSeries.hit();
                Labels::new()
            };
            series.entry(labels).or_default().add(kind, &amount);
        }
    }

    /// The metrics as they are at `now`.
    pub(super) fn collect(&self, now: Duration) -> Vec<Metric> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.since;
        let temporality = match self.temporality {
            Temporality::Cumulative => AggregationTemporality::Cumulative,
            Temporality::Delta => AggregationTemporality::Delta,
        };
        let frame = Frame {
            start_time_unix_nano: nanos(since),
            time_unix_nano: nanos(now),
            temporality: temporality.into(),
        };
        let mut metrics: Vec<Metric> = state
            .series
            .iter()
            .filter(|(_, series)| !series.is_empty())
            .map(|(instrument, series)| frame.metric(instrument, series))
            .collect();
        metrics.sort_by(|one, other| one.name.cmp(&other.name));
        if self.temporality == Temporality::Delta {
            state.series.clear();
            state.since = now;
        }
        metrics
    }
}

/// What all points of an export have in common.
struct Frame {
    start_time_unix_nano: u64,
    time_unix_nano: u64,
    temporality: i32,
}

impl Frame {
    fn metric(&self, instrument: &Instrument, series: &HashMap<Labels, Point>) -> Metric {
        let data = match instrument.kind {
            Kind::Counter => Data::Sum(Sum {
                data_points: series.iter().map(|it| self.number(it)).collect(),
                aggregation_temporality: self.temporality,
                is_monotonic: true,
            }),
            Kind::Tokens | Kind::Seconds | Kind::McpSeconds => Data::Histogram(Histogram {
                data_points: series
                    .iter()
                    .map(|it| self.histogram(instrument.kind, it))
                    .collect(),
                aggregation_temporality: self.temporality,
            }),
        };
        Metric {
            name: instrument.name.to_owned(),
            description: instrument.description.to_owned(),
            unit: instrument.unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a sum of whole numbers; the cast saturates"
    )]
    fn number(&self, (labels, point): (&Labels, &Point)) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start_time_unix_nano,
            time_unix_nano: self.time_unix_nano,
            value: Some(number_data_point::Value::AsInt(point.sum as i64)),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(&self, kind: Kind, (labels, point): (&Labels, &Point)) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start_time_unix_nano,
            time_unix_nano: self.time_unix_nano,
            count: point.count,
            sum: Some(point.sum),
            bucket_counts: point.buckets.clone(),
            explicit_bounds: kind.bounds().to_vec(),
            min: point.min,
            max: point.max,
            ..HistogramDataPoint::default()
        }
    }
}

fn attributes(labels: &Labels) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    if labels.is_empty() {
        return vec![flag("otel.metric.overflow", true)];
    }
    labels
        .iter()
        .map(|(key, label)| match label {
            Label::Text(value) => text(key, value),
            Label::Number(value) => number(key, *value),
        })
        .collect()
}

fn nanos(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
