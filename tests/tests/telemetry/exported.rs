//! Spans and metrics, as an OpenTelemetry collector gets them from a run against
//! the emulator, held against the conventions.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Histogram, Metric};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use weir::meter::record::Record;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::collector::{Collector, Manner, Received, Transport, attribute, metrics, spans};
use weir_tests::curl::{Batch, Http};
use weir_tests::run::Ended;
use weir_tests::world::{World, provider4};

/// Of the application: what its own instrumentation would send.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STATE: &str = "vendor=opaque";
/// In prompts, keys and cookies: nowhere in what is exported.
const SECRETS: [&str; 4] = [
    "canary-of-the-prompt",
    "canary-of-the-key",
    "canary-of-the-cookie",
    "test-0123456789",
];

/// The collector is beside the provider, on a port that is not captured.
pub(super) fn collector(world: &World) -> Result<Collector> {
    let address = SocketAddr::new(provider4(7), 4317);
    world
        .provider
        .inside(|| Collector::start(address, Manner::Takes))?
}

/// One call of each API in each mode, within a span of the application's.
fn calls() -> Vec<Call> {
    let context = format!("00-{TRACE}-{PARENT}-01");
    let mut calls = Vec::new();
    for surface in Surface::ALL {
        for (mode, http) in [(Mode::Plain, Http::H1), (Mode::Streamed, Http::H2)] {
            let call = Call::new(surface, mode, http, SECRETS[0])
                .asking_for_usage()
                .header("x-emulator-tokens", "24")
                .header("traceparent", &context)
                .header("tracestate", STATE)
                .header("x-secret-key", SECRETS[1])
                .header("cookie", SECRETS[2]);
            calls.push(call);
        }
    }
    calls
}

fn exported(
    world: &World,
    calls: &[Call],
    variables: &[(&str, &str)],
    yaml: &str,
) -> Result<(Vec<Received>, Ended)> {
    let collector = collector(world)?;
    let transfers: Vec<_> = calls.iter().map(Call::transfer).collect();
    let batch = Batch::new(world, &format!("calls-{}", variables.len()), &transfers)?;
    let mut weir = world.weir().configured(yaml);
    for (name, value) in variables {
        weir = weir.variable(name, value);
    }
    let (_, ended) = batch.through(weir)?;
    let ended = ended.succeeded()?;
    // The end of the run has flushed: there is nothing to wait for.
    Ok((collector.received()?, ended))
}

pub(super) const ENDPOINT: (&str, &str) =
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://203.0.113.14:4317");

#[test]
fn every_call_is_a_span_and_in_the_metrics_over_both_transports() -> Result<()> {
    let world = World::new()?;
    for (protocol, transport) in [
        ("http/protobuf", Transport::Http),
        ("grpc", Transport::Grpc),
    ] {
        let calls = calls();
        let variables = [
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_SERVICE_NAME", "my-agent"),
        ];
        let count = if transport == Transport::Grpc { 4 } else { 3 };
        let padded: Vec<_> = variables
            .into_iter()
            .chain([("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")])
            .take(count)
            .collect();
        let (received, ended) = exported(&world, &calls, &padded, "")?;
        ensure!(
            received.iter().all(|it| it.transport == transport),
            "{received:?}"
        );
        let spans = spans(&received);
        ensure!(
            spans.len() == calls.len() && ended.records().len() == calls.len(),
            "{spans:?}"
        );
        for record in ended.records() {
            let mut own = spans.iter().filter(|span| {
                attribute(&span.attributes, "weir.exchange.id").as_ref() == Some(&record.id)
            });
            let span = own.next().context("no span of a record")?;
            ensure!(own.next().is_none(), "two spans of a record");
            check_span(span, record).with_context(|| format!("{span:?} of {record:?}"))?;
        }
        check_metrics(&received, ended.records())?;
        for it in &received {
            let wire = String::from_utf8_lossy(&it.wire);
            for secret in SECRETS {
                ensure!(!wire.contains(secret), "{secret} was exported: {wire}");
            }
        }
    }
    Ok(())
}

/// A span against the conventions, and against the record of the same call.
fn check_span(span: &Span, record: &Record) -> Result<()> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (trace, parent): (String, String) = (hex(&span.trace_id), hex(&span.parent_span_id));
    ensure!(trace == TRACE && parent == PARENT, "another trace");
    ensure!(
        span.span_id.len() == 8 && hex(&span.span_id) != parent,
        "the span's own id"
    );
    ensure!(span.trace_state == STATE, "the state");
    // Sampled, and its parent known to be of another process.
    ensure!(span.flags == 0x301, "the flags");
    let model = record.request_model.as_deref().context("a model")?;
    ensure!(span.name == format!("chat {model}"), "the name");
    ensure!(span.kind() == SpanKind::Client, "the kind");
    ensure!(
        span.start_time_unix_nano / 1_000_000 == record.ts.unix_ms()
            && span.end_time_unix_nano > span.start_time_unix_nano,
        "the times"
    );
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    for (key, expected) in [
        ("gen_ai.operation.name", Some("chat".to_owned())),
        ("gen_ai.provider.name", record.provider.clone()),
        ("gen_ai.request.model", record.request_model.clone()),
        ("gen_ai.response.model", record.response_model.clone()),
        ("gen_ai.response.id", record.response_id.clone()),
        (
            "gen_ai.response.finish_reasons",
            record.finish_reason.clone(),
        ),
        ("gen_ai.usage.input_tokens", number(record.input_tokens)),
        ("gen_ai.usage.output_tokens", number(record.output_tokens)),
        (
            "gen_ai.request.stream",
            record.stream.map(|it| it.to_string()),
        ),
        ("server.address", record.host.clone()),
        ("server.port", Some("443".to_owned())),
        ("http.response.status_code", Some("200".to_owned())),
        ("error.type", None),
    ] {
        let found = attribute(&span.attributes, key);
        ensure!(found == expected, "{key} is {found:?}, not {expected:?}");
    }
    ensure!(
        attribute(&span.attributes, "gen_ai.response.time_to_first_chunk").is_some()
            == (record.stream == Some(true)),
        "time to the first chunk"
    );
    let keys: BTreeSet<_> = span.attributes.iter().map(|pair| &pair.key).collect();
    ensure!(keys.len() == span.attributes.len(), "an attribute twice");
    for key in keys {
        let known = ["gen_ai.", "server.", "error.", "http.", "openai.", "weir."];
        ensure!(
            known.iter().any(|prefix| key.starts_with(prefix)),
            "{key} is nobody's"
        );
    }
    Ok(())
}

/// The buckets that the conventions advise, written down once more: a test that
/// took them from the program would agree with any.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

fn check_metrics(received: &[Received], records: &[Record]) -> Result<()> {
    let metrics = metrics(received);
    let names: BTreeSet<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    ensure!(
        names
            == BTreeSet::from([
                "gen_ai.client.operation.duration",
                "gen_ai.client.operation.time_per_output_chunk",
                "gen_ai.client.operation.time_to_first_chunk",
                "gen_ai.client.token.usage",
            ]),
        "{names:?}"
    );
    for metric in &metrics {
        let (unit, bounds) = match metric.name.as_str() {
            "gen_ai.client.token.usage" => ("{token}", TOKENS),
            _ => ("s", SECONDS),
        };
        ensure!(metric.unit == unit, "{metric:?}");
        let required = ["gen_ai.operation.name", "gen_ai.provider.name"];
        for point in &histogram(metric)?.data_points {
            ensure!(point.explicit_bounds == bounds, "{metric:?}");
            ensure!(
                point.bucket_counts.iter().sum::<u64>() == point.count && point.count > 0,
                "{point:?}"
            );
            for key in required {
                ensure!(
                    attribute(&point.attributes, key).is_some(),
                    "{key}: {point:?}"
                );
            }
        }
    }
    // Sums over everything are those of the records.
    for (kind, expected) in [
        ("input", total(records, |record| record.input_tokens)),
        ("output", total(records, |record| record.output_tokens)),
    ] {
        let of_kind = |attributes: &[KeyValue]| {
            attribute(attributes, "gen_ai.token.type").as_deref() == Some(kind)
        };
        let usage = histogram(named(&metrics, "gen_ai.client.token.usage")?)?;
        let points = usage
            .data_points
            .iter()
            .filter(|it| of_kind(&it.attributes));
        let sum: f64 = points.filter_map(|point| point.sum).sum();
        ensure!(
            sum.to_string() == expected.to_string(),
            "{kind}: {sum} is not {expected}"
        );
    }
    let counted = |name: &str| -> Result<u64> {
        let points = &histogram(named(&metrics, name)?)?.data_points;
        Ok(points.iter().map(|point| point.count).sum())
    };
    let streams = records.iter().filter(|it| it.stream == Some(true)).count() as u64;
    ensure!(counted("gen_ai.client.operation.duration")? == records.len() as u64);
    ensure!(counted("gen_ai.client.operation.time_to_first_chunk")? == streams);
    ensure!(counted("gen_ai.client.operation.time_per_output_chunk")? >= streams);
    Ok(())
}

fn named<'a>(metrics: &[&'a Metric], name: &str) -> Result<&'a Metric> {
    let found = metrics.iter().find(|metric| metric.name == name);
    found.copied().with_context(|| format!("no {name}"))
}

fn histogram(metric: &Metric) -> Result<&Histogram> {
    match &metric.data {
        Some(Data::Histogram(histogram)) => Ok(histogram),
        other => bail!("{} is {other:?}", metric.name),
    }
}

fn total(records: &[Record], count: impl Fn(&Record) -> Option<u64>) -> u64 {
    records.iter().filter_map(count).sum()
}

#[test]
fn the_draft_of_the_conventions_is_chosen_in_the_file() -> Result<()> {
    let world = World::new()?;
    let yaml = "telemetry:\n  semconv: draft\n  otlp:\n    endpoint: http://203.0.113.14:4317\n    \
                protocol: grpc\n";
    let calls = calls();
    let (received, ended) = exported(&world, &calls, &[], yaml)?;
    ensure!(received.iter().all(|it| it.transport == Transport::Grpc));
    ensure!(spans(&received).len() == calls.len(), "{received:?}");
    let metrics = metrics(&received);
    let names: BTreeSet<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    ensure!(
        names.contains("gen_ai.client.inference.duration")
            && names.contains("gen_ai.client.inference.usage.input_tokens")
            && names.contains("gen_ai.client.inference.operation.output_tokens"),
        "{names:?}"
    );
    ensure!(
        names
            .iter()
            .all(|name| name.starts_with("gen_ai.client.inference.")),
        "both generations at once: {names:?}"
    );
    let counter = named(&metrics, "gen_ai.client.inference.usage.input_tokens")?;
    let Some(Data::Sum(sum)) = &counter.data else {
        bail!("no counter: {counter:?}");
    };
    ensure!(sum.is_monotonic, "{sum:?}");
    let counted: i64 = sum
        .data_points
        .iter()
        .filter_map(|point| match point.value {
            Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(it)) => {
                Some(it)
            }
            Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble(
                _,
            ))
            | None => None,
        })
        .sum();
    let expected = total(ended.records(), |record| record.input_tokens);
    ensure!(
        u64::try_from(counted)? == expected,
        "{counted} is not {expected}"
    );
    Ok(())
}

#[test]
fn a_failure_is_an_error_and_no_context_begins_a_trace() -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Chat, Mode::Plain, Http::H1, "failing")
        .header("x-emulator-fault", "429");
    let (received, _) = exported(&world, &[call], &[ENDPOINT], "")?;
    let [span] = spans(&received)[..] else {
        bail!("one span was expected: {received:?}");
    };
    ensure!(
        attribute(&span.attributes, "error.type").as_deref() == Some("429"),
        "{span:?}"
    );
    ensure!(
        span.status.as_ref().is_some_and(|it| it.code == 2),
        "{span:?}"
    );
    ensure!(
        span.parent_span_id.is_empty() && span.trace_id.len() == 16,
        "{span:?}"
    );
    Ok(())
}

#[test]
fn an_application_that_does_not_record_its_trace_has_no_span_and_is_counted() -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Chat, Mode::Plain, Http::H2, "unsampled")
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-00"));
    let (received, ended) = exported(&world, &[call], &[ENDPOINT], "")?;
    ensure!(spans(&received).is_empty(), "{received:?}");
    ensure!(!metrics(&received).is_empty(), "{received:?}");
    let trace = ended.only()?.trace.as_ref().context("a trace")?;
    ensure!(trace.trace_id.to_string() == TRACE, "{trace:?}");
    Ok(())
}

#[test]
fn nothing_is_sent_where_it_is_switched_off() -> Result<()> {
    let world = World::new()?;
    let listening = collector(&world)?;
    let call = Call::new(Surface::Chat, Mode::Plain, Http::H1, "quiet");
    let batch = Batch::new(&world, "quiet", &[call.transfer()])?;
    let weir = world
        .weir()
        .variable(ENDPOINT.0, ENDPOINT.1)
        .variable("OTEL_SDK_DISABLED", "true");
    batch.through(weir)?.1.succeeded()?;
    ensure!(
        listening.received()?.is_empty(),
        "{:?}",
        listening.received()
    );
    Ok(())
}
