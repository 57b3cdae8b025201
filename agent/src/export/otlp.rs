//! Spans and metrics for an OpenTelemetry collector, by OTLP.
//!
//! In reading order: [`settings`] says where to and how, `span` and `metrics`
//! make of records what the conventions ask for, `client` sends it. This file
//! owns the thread on which all of that happens.
//!
//! Records are offered by the tasks that forward bytes. What an offer costs them
//! is a few additions and a place in a queue that has a bound; when it is full,
//! spans are left out and counted. A collector that is slow or away is felt by
//! nobody else.
//!
//! The messages are those of `opentelemetry-proto`; the exporters of the
//! OpenTelemetry SDK are not used, because they keep what they leave out to
//! themselves, bring a second HTTP stack with a TLS configuration of its own, and
//! run their work on threads that nothing waits for.

mod attribute;
mod client;
mod metrics;
mod sampler;
pub mod settings;
mod span;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc::RecvTimeoutError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
        trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use rustls::RootCertStore;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};

pub use self::client::ClientError;
use self::{
    client::{Client, SendError},
    metrics::Metrics,
    sampler::Sampler,
    settings::Settings,
};
use crate::{bounds::Bound, config::Semconv, meter::record::Record};

/// Captured payloads waiting to be sent: each may be two bodies of a megabyte.
const PAYLOADS_MAX: usize = 16;
/// Captured payloads sent in one request: collectors take some megabytes.
const PAYLOADS_BATCH: usize = 4;

/// What of a record is waiting to be sent.
type Waiting<T> = mpsc::Sender<T>;

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An endpoint cannot be used.
    #[error("OTLP endpoint: {0}")]
    Client(#[from] ClientError),
    /// There is no thread or no runtime to be had.
    #[error("cannot start to export by OTLP: {0}")]
    Thread(#[from] io::Error),
}

/// Exports to a collector.
#[derive(Debug)]
pub struct Otlp {
    semconv: Semconv,
    sampler: Sampler,
    spans: Option<Waiting<Span>>,
    logs: Option<Waiting<LogRecord>>,
    metrics: Option<Arc<Metrics>>,
    /// Set when all is to be sent, and by when.
    end: watch::Sender<Option<Instant>>,
    /// Disconnected once all is sent. Behind a lock only because it is shared.
    finished: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Otlp {
    /// Begins to export. Endpoints are verified against `roots` unless they have
    /// their own. Nothing is connected before there is something to send.
    ///
    /// # Errors
    /// The certificate of an endpoint cannot be used, or there is no thread.
    pub fn start(settings: Settings, roots: &Arc<RootCertStore>) -> Result<Self, StartError> {
        let (end, ends) = watch::channel(None);
        let (finish, finished) = std::sync::mpsc::channel();
        let resource = Resource {
            attributes: settings
                .resource
                .iter()
                .map(|(key, value)| attribute::text(key, value))
                .collect(),
            ..Resource::default()
        };
        let frame = Frame {
            resource,
            semconv: settings.semconv,
        };
        let client = |endpoint, signal| Client::new(endpoint, signal, roots);
        let mut work: Vec<Work> = Vec::new();
        let mut spans = None;
        if let Some(endpoint) = settings.traces {
            let (waiting, items) = mpsc::channel(settings.queue_max);
            spans = Some(waiting);
            work.push(Work::Spans(Batches {
                client: client(endpoint, settings::Signal::Traces)?,
                items,
                batch_max: settings.batch_max,
                batch_wait: settings.batch_wait,
                lost: Bound::OtlpSpans,
            }));
        }
        let mut logs = None;
        if let Some(endpoint) = settings.logs {
            let (waiting, items) = mpsc::channel(PAYLOADS_MAX);
            logs = Some(waiting);
            work.push(Work::Logs(Batches {
                client: client(endpoint, settings::Signal::Logs)?,
                items,
                batch_max: PAYLOADS_BATCH,
                batch_wait: settings.batch_wait,
                lost: Bound::Capture,
            }));
        }
        let mut metrics = None;
        if let Some(endpoint) = settings.metrics {
            let kept = Arc::new(Metrics::new(
                settings.semconv,
                settings.temporality,
                since_epoch(),
            ));
            metrics = Some(Arc::clone(&kept));
            let client = client(endpoint, settings::Signal::Metrics)?;
            work.push(Work::Metrics(client, kept, settings.metrics_interval));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for work in work {
                        tasks.spawn(work.run(frame.clone(), ends.clone()));
                    }
                    while tasks.join_next().await.is_some() {}
                });
                // A name that is being looked up is not waited for.
                runtime.shutdown_background();
                drop(finish);
            })?;
        Ok(Self {
            semconv: settings.semconv,
            sampler: settings.sampler,
            spans,
            logs,
            metrics,
            end,
            finished: Mutex::new(finished),
        })
    }

    /// Takes the record of an exchange that has ended.
    pub fn offer(&self, record: &Record) {
        if let Some(metrics) = &self.metrics {
            metrics.observe(record);
        }
        let Some(waiting) = &self.spans else { return };
        let taken = record
            .trace
            .as_ref()
            .is_some_and(|trace| self.sampler.takes(trace));
        if taken
            && let Some(span) = span::span(record, self.semconv)
            && waiting.try_send(span).is_err()
        {
            Bound::OtlpSpans.hit();
        }
    }

    /// Where captured payloads are offered, if they are exported.
    #[must_use]
    pub fn payloads(&self) -> Option<mpsc::Sender<LogRecord>> {
        self.logs.clone()
    }

    /// Sends what is left, for as long as `wait`; what is not taken by then is
    /// given up and counted.
    pub fn finish(self, wait: Duration) {
        let _gone = self.end.send(Some(Instant::now() + wait));
        drop((self.spans, self.logs));
        // The thread keeps to the deadline itself; this is for one that cannot.
        let slack = wait.saturating_add(Duration::from_millis(100));
        let finished = self.finished.into_inner();
        let finished = finished.unwrap_or_else(PoisonError::into_inner);
        if finished.recv_timeout(slack) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("telemetry was not exported to its end");
        }
    }
}

/// The log record of a captured payload, which `text` says in JSON.
pub(super) fn payload(record: &Record, text: String) -> LogRecord {
    let time = record.ts.unix_ms().saturating_mul(1_000_000);
    let trace = record.trace.as_ref();
    let texts = [
        ("gen_ai.operation.name", record.operation.as_deref()),
        ("gen_ai.provider.name", record.provider.as_deref()),
        ("gen_ai.request.model", record.request_model.as_deref()),
        ("server.address", record.host.as_deref()),
        ("weir.exchange.id", Some(record.id.as_str())),
    ];
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: SeverityNumber::Info.into(),
        event_name: "weir.exchange.payload".to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }),
        attributes: texts
            .iter()
            .filter_map(|(key, value)| Some(attribute::text(key, (*value)?)))
            .collect(),
        trace_id: trace
            .map(|trace| trace.trace_id.bytes().to_vec())
            .unwrap_or_default(),
        span_id: trace
            .map(|trace| trace.span_id.bytes().to_vec())
            .unwrap_or_default(),
        ..LogRecord::default()
    }
}

/// What requests have in common.
#[derive(Clone)]
struct Frame {
    resource: Resource,
    semconv: Semconv,
}

/// What one task does.
enum Work {
    Spans(Batches<Span>),
    Logs(Batches<LogRecord>),
    Metrics(Client, Arc<Metrics>, Duration),
}

impl Work {
    async fn run(self, frame: Frame, end: watch::Receiver<Option<Instant>>) {
        match self {
            Self::Spans(batches) => {
                batches
                    .run(end, |spans| frame.spans(spans), refused_spans)
                    .await;
            }
            Self::Logs(batches) => {
                batches
                    .run(end, |logs| frame.logs(logs), refused_logs)
                    .await;
            }
            Self::Metrics(client, metrics, every) => {
                export_metrics(client, &metrics, every, &frame, end).await;
            }
        }
    }
}

impl Frame {
    fn spans(&self, spans: Vec<Span>) -> Vec<u8> {
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(attribute::scope()),
                    spans,
                    schema_url: span::schema_url(self.semconv).to_owned(),
                }],
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec()
    }

    fn logs(&self, log_records: Vec<LogRecord>) -> Vec<u8> {
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(attribute::scope()),
                    log_records,
                    schema_url: span::schema_url(self.semconv).to_owned(),
                }],
                ..ResourceLogs::default()
            }],
        };
        request.encode_to_vec()
    }

    fn metrics(&self, metrics: Vec<opentelemetry_proto::tonic::metrics::v1::Metric>) -> Vec<u8> {
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(attribute::scope()),
                    metrics,
                    schema_url: span::schema_url(self.semconv).to_owned(),
                }],
                ..ResourceMetrics::default()
            }],
        };
        request.encode_to_vec()
    }
}

/// Items that are sent several at once.
struct Batches<T> {
    client: Client,
    items: mpsc::Receiver<T>,
    batch_max: usize,
    batch_wait: Duration,
    /// Counts items that were given up.
    lost: Bound,
}

impl<T> Batches<T> {
    /// Sends until there is nobody left to offer items; then the rest, until the
    /// end. `encode` makes a request, `refused` says how many of its items the
    /// answer refuses.
    async fn run(
        mut self,
        mut end: watch::Receiver<Option<Instant>>,
        encode: impl Fn(Vec<T>) -> Vec<u8>,
        refused: fn(&[u8]) -> i64,
    ) {
        let mut batch = Vec::new();
        loop {
            let open = self.fill(&mut batch, &mut end).await;
            if batch.is_empty() {
                if open {
                    continue;
                }
                return;
            }
            let count = batch.len() as u64;
            let request = encode(std::mem::take(&mut batch));
            let sent = send(&mut self.client, request, &mut end).await;
            let lost = match sent {
                Some(answer) => u64::try_from(refused(&answer)).unwrap_or(0).min(count),
                None => count,
            };
            if lost > 0 {
                self.lost.hit_times(lost);
            }
        }
    }

    /// Waits for the first item, and then until there are enough of them or it
    /// has waited long enough. Whether there may be more.
    async fn fill(
        &mut self,
        batch: &mut Vec<T>,
        end: &mut watch::Receiver<Option<Instant>>,
    ) -> bool {
        match self.items.recv().await {
            Some(first) => batch.push(first),
            None => return false,
        }
        let until = Instant::now() + self.batch_wait;
        while batch.len() < self.batch_max {
            tokio::select! {
                biased;
                item = self.items.recv() => match item {
                    Some(item) => batch.push(item),
                    None => return false,
                },
                () = ending(end) => return true,
                () = tokio::time::sleep_until(until) => return true,
            }
        }
        true
    }
}

/// Exports metrics at every interval, and once more at the end.
async fn export_metrics(
    mut client: Client,
    metrics: &Metrics,
    every: Duration,
    frame: &Frame,
    mut end: watch::Receiver<Option<Instant>>,
) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ending(&mut end) => is_over = true,
        }
        let collected = metrics.collect(since_epoch());
        if collected.is_empty() {
            continue;
        }
        let request = frame.metrics(collected);
        if let Some(answer) = send(&mut client, request, &mut end).await {
            let refused = refused_points(&answer);
            if refused > 0 {
                tracing::warn!(refused, "the collector refused data points");
            }
        }
    }
}

/// Sends one request, and says so if it cannot. Whatever began before the end gets
/// no longer than the end allows.
async fn send(
    client: &mut Client,
    request: Vec<u8>,
    end: &mut watch::Receiver<Option<Instant>>,
) -> Option<bytes::Bytes> {
    let sent = {
        let mut sending = std::pin::pin!(client.send(request));
        tokio::select! {
            biased;
            sent = &mut sending => sent,
            deadline = ending_by(end) => {
                let rest = tokio::time::timeout_at(deadline, sending).await;
                rest.unwrap_or(Err(SendError::Timeout))
            }
        }
    };
    match sent {
        Ok(answer) => Some(answer),
        Err(error) => {
            tracing::warn!(
                endpoint = %client.uri(), signal = ?client.signal(), %error,
                "cannot export telemetry"
            );
            None
        }
    }
}

/// Resolves when the end has begun.
async fn ending(end: &mut watch::Receiver<Option<Instant>>) {
    let _deadline = ending_by(end).await;
}

/// As [`ending`], with the time by which all is to be done. If whoever could say
/// so is gone, that is now.
async fn ending_by(end: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match end.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        Err(_gone) => Instant::now(),
    }
}

fn refused_spans(answer: &[u8]) -> i64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |it| it.rejected_spans)
}

fn refused_logs(answer: &[u8]) -> i64 {
    let answer = ExportLogsServiceResponse::decode(answer).unwrap_or_default();
    answer
        .partial_success
        .map_or(0, |it| it.rejected_log_records)
}

fn refused_points(answer: &[u8]) -> i64 {
    let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
    answer
        .partial_success
        .map_or(0, |it| it.rejected_data_points)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
