//! Unknown is never zero, from the bytes of an answer to what people and
//! Prometheus are shown: a call without a price adds nothing to a sum, and is
//! counted as one that does not.

use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use rust_decimal::Decimal;
use weir::export::prometheus::Metrics;
use weir::llm::catalogue::Provider;
use weir::llm::classify::Api;
use weir::llm::headers::Headers;
use weir::meter::exchange::{Exchange, Meter, Opening, Outcome};
use weir::meter::prices::PriceTable;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{CostProvenance, Protocol, Record, RecordSink};
use weir::meter::report::Report;

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn record(&self, record: Record) {
        self.0
            .lock()
            .expect("nobody panics holding it")
            .push(record);
    }
}

/// The record of a chat whose answer is `body`, sent with `status`.
fn record(status: u16, content_type: &str, body: &str, outcome: Outcome) -> Record {
    let sink = Arc::new(Kept::default());
    let prices = Arc::new(PriceTable::builtin());
    let meter = Meter::new(
        Instant::now,
        Arc::clone(&sink) as Arc<dyn RecordSink>,
        prices,
    );
    let opening = Opening {
        host: Some("api.openai.com".into()),
        provider: Some(Provider::OpenAi),
        port: 443,
        target: Some(Api::OpenAiChat.into()),
        request_headers: Headers::default(),
        decision: Decision::Intercept,
        reason: Reason::CatalogueHost,
        protocol: Protocol::H1,
        process: None,
    };
    let mut exchange = Exchange::open(opening, SystemTime::UNIX_EPOCH, &meter);
    exchange.request_head_forwarded();
    exchange.request_body(br#"{"model":"gpt-99","messages":[]}"#);
    exchange.request_end();
    let headers =
        Headers::of_response(|name| (name == "content-type").then(|| content_type.to_owned()));
    exchange.response_head(status, &headers);
    exchange.response_body(body.as_bytes());
    exchange.finish(outcome);
    let mut records = sink.0.lock().expect("nobody panics holding it");
    assert_eq!(records.len(), 1, "exactly one record");
    records.remove(0)
}

fn answered(body: &str) -> Record {
    record(200, "application/json", body, Outcome::Complete)
}

/// Answers that were charged for, by nobody knows how much.
fn unpriced() -> Vec<(&'static str, Record)> {
    const USED: &str = r#""usage":{"prompt_tokens":1000,"completion_tokens":100}"#;
    let with = |rest: &str| answered(&format!("{{{USED}{rest}}}"));
    vec![
        (
            "a model that is not in the table",
            with(r#","model":"gpt-99""#),
        ),
        ("no model at all", with("")),
        (
            "a service tier without a price",
            with(r#","model":"gpt-4o","service_tier":"scale""#),
        ),
        (
            "a tier that was asked for and not given",
            with(r#","model":"gpt-4o","service_tier":"auto""#),
        ),
        ("no usage", answered(r#"{"model":"gpt-4o","choices":[]}"#)),
        (
            "usage without output",
            answered(r#"{"model":"gpt-4o","usage":{"prompt_tokens":1000}}"#),
        ),
        ("nothing that can be read", answered("<html>")),
        (
            "a stream of an unknown model, cut",
            record(
                200,
                "text/event-stream",
                "data: {\"model\":\"gpt-99\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
                Outcome::ClientGone,
            ),
        ),
    ]
}

#[test]
fn a_cost_that_is_not_known_is_null_and_counted() {
    for (what, record) in unpriced() {
        assert_eq!(record.cost_usd, None, "{what}");
        assert_eq!(record.cost_provenance, CostProvenance::Unpriced, "{what}");
        let json = serde_json::to_value(&record).expect("a record is JSON");
        assert!(json["cost_usd"].is_null(), "{what}: {json}");
        assert_eq!(json["cost_provenance"], "unpriced", "{what}");

        let metrics = Metrics::new();
        metrics.observe(&record);
        let text = metrics.render();
        assert!(
            text.lines()
                .any(|line| line == "weir_exchanges_unpriced_total 1"),
            "{what}: {text}"
        );
        let is_cost = |line: &&str| line.starts_with("weir_cost");
        assert_eq!(text.lines().find(is_cost), None, "{what}");

        let mut report = Report::new();
        report.add(record);
        let sums = &report.totals().sums;
        assert_eq!(
            (sums.cost_usd, sums.unpriced_exchanges),
            (None, 1),
            "{what}"
        );
    }
}

#[test]
fn a_sum_is_of_what_is_known_and_says_what_is_not() {
    let mut report = Report::new();
    let metrics = Metrics::new();
    let priced = answered(
        r#"{"model":"gpt-4o-2024-08-06","usage":{"prompt_tokens":1000,"completion_tokens":100}}"#,
    );
    // 1000 * 2.5 + 100 * 10 millionths.
    let usd: Decimal = "0.0035".parse().expect("a decimal");
    assert_eq!(priced.cost_usd, Some(usd));
    let unpriced: Vec<_> = unpriced().into_iter().map(|(_, record)| record).collect();
    let count = unpriced.len() as u64;
    for record in unpriced.into_iter().chain([priced]) {
        metrics.observe(&record);
        report.add(record);
    }
    let sums = &report.totals().sums;
    assert_eq!(sums.cost_usd, Some(usd));
    assert_eq!(sums.unpriced_exchanges, count);
    let line = format!("weir_exchanges_unpriced_total {count}");
    let text = metrics.render();
    assert!(text.lines().any(|other| other == line), "{text}");
}

#[test]
fn a_refused_call_is_neither_charged_nor_unpriced() {
    let refused = record(
        429,
        "application/json",
        r#"{"error":{"code":"rate_limit_exceeded"}}"#,
        Outcome::Complete,
    );
    let mut report = Report::new();
    assert_eq!(refused.cost_usd, None);
    report.add(refused);
    assert_eq!(report.totals().sums.unpriced_exchanges, 0);
}
