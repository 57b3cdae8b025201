//! The wording of refusals is an interface: people act on it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{
    Bodies, CaptureDestination, Config, ConfigError, Destination, OnRefusal, OtlpProtocol, Ports,
    Propagate, Reuse, Semconv, StreamUsage, UpstreamRoot,
};
use crate::llm::catalogue::HostRule;
use weir_common::{OnProxyDown, Quic};

#[test]
fn nothing_written_means_the_defaults() {
    for text in [
        "",
        "\n",
        "# only a comment\n",
        "---\n",
        "{}\n",
        "capture: {}\n",
    ] {
        assert_eq!(Config::parse(text), Ok(Config::default()), "{text:?}");
    }
    let config = Config::load(None).expect("no file is no error");
    assert_eq!(config.capture.ports.as_slice(), [443, 80]);
    assert_eq!(config.capture.quic, Quic::Refuse);
    assert_eq!(config.capture.on_proxy_down, OnProxyDown::Closed);
    assert_eq!(config.tls.upstream_roots.as_slice(), [UpstreamRoot::System]);
    assert_eq!(config.models.stream_usage, StreamUsage::Ask);
    assert_eq!(config.models.bodies, Bodies::Read);
    assert_eq!(config.prices.file, None);
    assert_eq!(config.telemetry.propagate, Propagate::Off);
}

#[test]
fn every_key_is_read() {
    let config = Config::parse(
        "capture:\n  ports: [8443, 443]\n  quic: allow\n  on_proxy_down: open\n\
         tls:\n  upstream_roots: [system, extra.pem]\n  on_refusal: fail\n  pass_for: 90m\n\
         upstream:\n  reuse: off\n  idle_timeout: 2m\n\
         models:\n  hosts:\n    - {host: '*.Example.com', provider: openai}\n  stream_usage: leave\n\
         \x20 must_inspect: [api.openai.com]\n\
         \x20 bodies: leave\n\
         prices:\n  file: prices.json\n\
         telemetry:\n  exchange_log: stderr\n  semconv: draft\n  propagate: on\n\
         \x20 otlp: {endpoint: 'http://c:4317', protocol: grpc, certificate: c.pem}\n\
         \x20 capture:\n    to: said.jsonl\n    body_bytes_max: 1024\n\
         \x20   rules: [{host: '*.example.com', operation: chat, model: 'gpt*', sample: 0.5}]\n",
    )
    .expect("a complete configuration");
    assert_eq!(config.capture.ports.as_slice(), [8443, 443]);
    assert_eq!(config.capture.quic, Quic::Allow);
    assert_eq!(config.capture.on_proxy_down, OnProxyDown::Open);
    assert_eq!(
        config.tls.upstream_roots.as_slice(),
        [UpstreamRoot::System, UpstreamRoot::File("extra.pem".into())]
    );
    assert_eq!(config.tls.on_refusal, OnRefusal::Fail);
    assert_eq!(config.tls.pass_for.get(), Duration::from_secs(90 * 60));
    assert_eq!(config.upstream.reuse, Reuse::Off);
    assert_eq!(config.upstream.idle_timeout.get(), Duration::from_secs(120));
    assert_eq!(config.models.required(), ["api.openai.com"]);
    assert_eq!(
        config.models.rules(),
        [HostRule {
            host: "*.Example.com".to_owned(),
            provider: "openai".to_owned()
        }]
    );
    assert_eq!(config.models.stream_usage, StreamUsage::Leave);
    assert_eq!(config.models.bodies, Bodies::Leave);
    assert_eq!(config.prices.file, Some("prices.json".into()));
    let telemetry = config.telemetry;
    assert_eq!(telemetry.exchange_log, Some(Destination::Stderr));
    assert_eq!(telemetry.semconv, Some(Semconv::Draft));
    assert_eq!(telemetry.propagate, Propagate::On);
    assert_eq!(telemetry.otlp.endpoint.as_deref(), Some("http://c:4317"));
    assert_eq!(telemetry.otlp.protocol, Some(OtlpProtocol::Grpc));
    assert_eq!(telemetry.otlp.certificate, Some("c.pem".into()));
    assert_eq!(
        telemetry.capture.to,
        CaptureDestination::File("said.jsonl".into())
    );
    assert_eq!(telemetry.capture.body_bytes_max.get(), 1024);
    let [rule] = telemetry.capture.rules.as_slice() else {
        panic!("one rule: {:?}", telemetry.capture.rules);
    };
    assert!(rule.host.matches(Some("api.example.com")) && !rule.model.matches(Some("o3")));
    assert!(rule.operation.matches(Some("chat")) && !rule.sample.takes(u64::MAX));
}

#[test]
fn what_is_not_understood_is_named_with_its_place() {
    for (text, refusal) in [
        (
            "upstream: {spare: 9}\n",
            "1:19: upstream.spare: expected between 0 and 8",
        ),
        (
            "upstream: {spare: -1}\n",
            "1:19: upstream.spare: expected between 0 and 8",
        ),
        (
            "upstream: {reuse: off, multiplex: on}\n",
            "1:11: upstream: spare and multiplex need `reuse: on`",
        ),
        (
            "upstream: {idle_timeout: 11m}\n",
            "1:26: upstream.idle_timeout: expected between 1s and 10m",
        ),
        (
            "capture:\n  prots: [1]\n",
            "2:3: capture.prots: unknown key, expected one of ports, quic, on_proxy_down",
        ),
        (
            "proxy: 1\n",
            "1:1: proxy: unknown key, expected one of capture, tls, upstream, models, prices, telemetry",
        ),
        (
            "prices:\n  fiel: x\n",
            "2:3: prices.fiel: unknown key, expected file",
        ),
        (
            "capture:\n  quic: maybe\n",
            "2:9: capture.quic: `maybe` is not possible, expected one of refuse, allow",
        ),
        (
            "capture:\n  quic: allow\n  quic: refuse\n",
            "3:3: capture.quic: given twice, keep one",
        ),
        ("tls: {}\ntls: {}\n", "2:1: tls: given twice, keep one"),
        (
            "capture:\n  ports: 443\n",
            "2:10: capture.ports: expected a list",
        ),
        ("- 443\n", "1:1: expected a mapping of keys to values"),
        (
            "capture:\n  ports: [443, 0]\n",
            "2:10: capture.ports: 0 is not a port, expected 1 to 65535",
        ),
        (
            "capture:\n  ports: [443, 443]\n",
            "2:10: capture.ports: port 443 is given twice, keep one",
        ),
        (
            "capture:\n  ports: []\n",
            "2:10: capture.ports: no port is given, expected at least one, such as 443",
        ),
        (
            "capture:\n  ports: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
            "2:10: capture.ports: 17 ports are given, expected at most 16",
        ),
        (
            "telemetry:\n  semconv: newest\n",
            "2:12: telemetry.semconv: `newest` is not possible, expected one of current, draft",
        ),
        (
            "telemetry:\n  capture:\n    rules: [{sample: 2}]\n",
            "3:22: telemetry.capture.rules[0].sample: expected a share from 0 to 1, such as 0.05",
        ),
        (
            "telemetry:\n  capture:\n    rules: [{host: x}]\n",
            "3:14: telemetry.capture.rules[0]: the key sample is missing",
        ),
        (
            "tls:\n  pass_for: soon\n",
            "2:13: tls.pass_for: not a duration, expected one such as 1h or 30m",
        ),
        (
            "tls:\n  pass_for: 30s\n",
            "2:13: tls.pass_for: expected between 1m and 24h",
        ),
        (
            "models:\n  must_inspect: [a b]\n",
            "2:18: models.must_inspect[0]: \"a b\" is not a host name or pattern: write letters, \
             digits, hyphens, dots and `*`, without scheme, port or path",
        ),
        (
            "tls:\n  upstream_roots: []\n",
            "2:19: tls.upstream_roots: no root is given, expected `system` or the name of a PEM file",
        ),
        (
            "models:\n  hosts:\n    - {host: a.b}\n",
            "3:8: models.hosts[0]: the key provider is missing",
        ),
        (
            "models:\n  hosts:\n    - {host: 'a b', provider: x}\n",
            "3:7: models.hosts[0]: \"a b\" is not a host name or pattern: write letters, digits, hyphens, dots and `*`, without scheme, port or path",
        ),
    ] {
        let refused = Config::parse(text).expect_err(text);
        assert_eq!(refused.to_string(), refusal, "{text:?}");
    }
}

#[test]
fn a_refusal_names_the_file_and_is_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("weir.yaml");
    for text in [
        "capture:\n  prots: [1]\n",
        "capture:\n  ports: [1\n",
        "\t\n a",
        "a: *b",
        "\0",
        "capture:\n  ports: [70000]\n",
    ] {
        fs::write(&file, text).expect("a file");
        let error = Config::load(Some(&file)).expect_err(text).to_string();
        assert!(
            error.starts_with(&format!("{}:", file.display())),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_a_remedy() {
    let error = Config::load(Some("/nonexistent/weir.yaml".as_ref())).expect_err("no such file");
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert_eq!(
        error.to_string(),
        "cannot read the configuration /nonexistent/weir.yaml: No such file or directory (os error 2): name a readable file with --config"
    );
}

#[test]
fn file_names_are_relative_to_the_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("weir.yaml");
    fs::write(
        &file,
        "tls:\n  upstream_roots: [a.pem, /b.pem]\nprices:\n  file: p.json\n",
    )
    .expect("a file");
    let config = Config::load(Some(&file)).expect("a good configuration");
    assert_eq!(
        config.tls.upstream_roots.as_slice(),
        [
            UpstreamRoot::File(directory.path().join("a.pem")),
            UpstreamRoot::File("/b.pem".into())
        ]
    );
    assert_eq!(config.prices.file, Some(directory.path().join("p.json")));
}

#[test]
fn a_whole_list_of_ports_is_taken() {
    let sixteen: Vec<u16> = (1..=16).collect();
    assert_eq!(
        Ports::try_from(sixteen.clone())
            .expect("sixteen is allowed")
            .as_slice(),
        sixteen
    );
}

#[test]
fn the_example_in_deploy_says_the_defaults() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/weir.yaml");
    let config = Config::load(Some(Path::new(example))).unwrap();
    assert_eq!(config, Config::default());
}
