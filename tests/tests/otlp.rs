//! Exports to a collector, over both transports, as the collector sees them and
//! as whoever offers records feels them. Needs no privileges.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::{RootCertStore, ServerConfig};
use weir::bounds::Bound;
use weir::config::OtlpConfig;
use weir::export::otlp::Otlp;
use weir::export::otlp::settings::Settings;
use weir::meter::record::Record;
use weir_tests::collector::{
    Collector, Manner, Received, Telemetry, Transport, attribute, metrics, spans,
};

const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A record with a trace, of a call that an application made within its own span.
fn record() -> Result<Record> {
    Ok(serde_json::from_str(
        r#"{"id":"019a9d3d2f000000000000000001","ts":"2026-11-20T12:34:56.789Z",
        "decision":"intercept","reason":"catalogue_host","host":"api.openai.com",
        "provider":"openai","operation":"chat","request_model":"gpt-4o-mini",
        "response_model":"gpt-4o-mini-2024-07-18","response_id":"chatcmpl-1","stream":false,
        "status":200,"finish_reason":"stop","input_tokens":1200,"output_tokens":40,
        "cache_read_tokens":1024,"cache_write_tokens":null,"reasoning_tokens":0,
        "tokens_provenance":"measured","cost_usd":0.000127,"cost_provenance":"priced",
        "time_to_first_chunk_ms":null,"duration_ms":1234.5,"weir_overhead_us":180,
        "process":null,"error":null,"protocol":"h2","rules":[],"bytes_sent":5120,
        "bytes_received":2048,"outcome":"complete","service_tier":"default","problems":[],
        "port":443,"trace":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id":"00f067aa0ba902b7","parent_span_id":"1112131415161718"}}"#,
    )?)
}

/// Exports to that address, with variables besides.
fn exporting(address: SocketAddr, variables: &[(&str, &str)]) -> Result<Otlp> {
    let mut all: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    all.entry("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned())
        .or_insert_with(|| format!("http://{address}"));
    let (settings, warnings) =
        Settings::read(&OtlpConfig::default(), None, |name| all.get(name).cloned());
    ensure!(warnings.is_empty(), "{warnings:?}");
    let roots = Arc::new(RootCertStore::empty());
    Ok(Otlp::start(
        settings.context("an endpoint is named")?,
        &roots,
    )?)
}

/// Both kinds have arrived.
fn both(received: &[Received]) -> bool {
    !spans(received).is_empty() && !metrics(received).is_empty()
}

#[test]
fn spans_and_metrics_arrive_over_both_transports_plain_and_compressed() -> Result<()> {
    for (protocol, transport) in [
        ("http/protobuf", Transport::Http),
        ("grpc", Transport::Grpc),
    ] {
        for compression in ["none", "gzip"] {
            let collector = Collector::start(ANYWHERE, Manner::Takes)?;
            let otlp = exporting(
                collector.address(),
                &[
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                    ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
                    ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue%20team"),
                    ("OTEL_SERVICE_NAME", "my-agent"),
                    (
                        "OTEL_RESOURCE_ATTRIBUTES",
                        "deployment.environment.name=test",
                    ),
                ],
            )?;
            for _ in 0..3 {
                otlp.offer(&record()?);
            }
            otlp.finish(Duration::from_secs(10));
            let received = collector.received()?;
            ensure!(both(&received), "{protocol} {compression}: {received:?}");
            ensure!(spans(&received).len() == 3, "{received:?}");
            for it in &received {
                ensure!(it.transport == transport, "{it:?}");
                ensure!(
                    it.headers
                        .get("x-tenant")
                        .is_some_and(|it| it == "blue team")
                );
                let resource = match &it.telemetry {
                    Telemetry::Traces(it) => it.resource_spans[0].resource.as_ref(),
                    Telemetry::Metrics(it) => it.resource_metrics[0].resource.as_ref(),
                    Telemetry::Logs(it) => it.resource_logs[0].resource.as_ref(),
                };
                let attributes = &resource.context("a resource")?.attributes;
                ensure!(attribute(attributes, "service.name").as_deref() == Some("my-agent"));
                ensure!(
                    attribute(attributes, "deployment.environment.name").as_deref() == Some("test")
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_collector_with_tls_is_verified_over_both_transports() -> Result<()> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let directory = tempfile::tempdir()?;
    let pem = directory.path().join("collector.pem");
    std::fs::write(&pem, certified.cert.pem())?;
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = Arc::new(tls);
    for (protocol, transport) in [
        ("http/protobuf", Transport::Http),
        ("grpc", Transport::Grpc),
    ] {
        let collector = Collector::start_tls(ANYWHERE, Arc::clone(&tls))?;
        let endpoint = format!("https://localhost:{}", collector.address().port());
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                pem.to_str().context("a path that is text")?,
            ),
        ];
        let otlp = exporting(collector.address(), &variables)?;
        otlp.offer(&record()?);
        otlp.finish(Duration::from_secs(10));
        let received = collector.received()?;
        ensure!(both(&received), "{protocol}: {received:?}");
        ensure!(received.iter().all(|it| it.transport == transport));

        // Without its root, nothing is sent.
        let [endpoint, protocol, _] = variables;
        // Metrics alone: another test counts spans that were lost.
        let quiet = ("OTEL_TRACES_EXPORTER", "none");
        let otlp = exporting(collector.address(), &[endpoint, protocol, quiet])?;
        otlp.offer(&record()?);
        otlp.finish(Duration::from_secs(10));
        let complaint = collector.wait(|_| false).err().context("a complaint")?;
        ensure!(complaint.to_string().contains("TLS"), "{complaint}");
    }
    Ok(())
}

#[test]
fn what_is_offered_arrives_without_an_end() -> Result<()> {
    let collector = Collector::start(ANYWHERE, Manner::Takes)?;
    let otlp = exporting(
        collector.address(),
        &[
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ],
    )?;
    otlp.offer(&record()?);
    collector.wait(both)?;
    otlp.finish(Duration::from_secs(10));
    Ok(())
}

#[test]
fn a_collector_that_is_busy_is_asked_again() -> Result<()> {
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start(ANYWHERE, Manner::IsBusy(2))?;
        let otlp = exporting(
            collector.address(),
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_BSP_SCHEDULE_DELAY", "1"),
                ("OTEL_METRICS_EXPORTER", "none"),
            ],
        )?;
        otlp.offer(&record()?);
        let received = collector.wait(|received| !spans(received).is_empty())?;
        ensure!(spans(&received).len() == 1, "once: {received:?}");
        otlp.finish(Duration::from_secs(10));
    }
    Ok(())
}

/// One test, because the counts are of the process.
#[test]
fn a_collector_that_hangs_or_is_away_costs_spans_that_are_counted_and_no_time() -> Result<()> {
    let hanging = Collector::start(ANYWHERE, Manner::Hangs)?;
    // Nobody listens there any more.
    let away = TcpListener::bind(ANYWHERE)?.local_addr()?;
    for (address, protocol) in [
        (hanging.address(), "http/protobuf"),
        (hanging.address(), "grpc"),
        (away, "http/protobuf"),
    ] {
        let before = Bound::OtlpSpans.hits();
        let otlp = exporting(
            address,
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
                ("OTEL_METRICS_EXPORTER", "none"),
            ],
        )?;
        let record = record()?;
        let started = Instant::now();
        for _ in 0..10_000 {
            otlp.offer(&record);
        }
        let offering = started.elapsed();
        // Of a debug build on a busy machine; a wait for the collector would be
        // the ten seconds of its timeout.
        ensure!(offering < Duration::from_secs(5), "{offering:?}");
        let started = Instant::now();
        otlp.finish(Duration::from_millis(300));
        let finishing = started.elapsed();
        ensure!(finishing < Duration::from_secs(5), "{finishing:?}");
        let lost = Bound::OtlpSpans.hits() - before;
        ensure!(lost == 10_000, "{lost} were counted");
    }
    Ok(())
}
