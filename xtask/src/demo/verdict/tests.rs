//! Every way in which the parties can disagree must be found.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::{Value, json};

use super::{Agreement, EXPECTED, Verdict};
use crate::demo::evidence::{Http, Mode, Report, Sent, Told};
use crate::demo::network::UNLISTED;
use crate::demo::session::Session;

/// The accounts of all three, as JSON so that a test can spoil any field.
struct Accounts {
    told: Vec<Told>,
    report: Value,
    ledger: Vec<Value>,
    exit: i32,
}

impl Accounts {
    fn agreeing() -> Self {
        let mut told = Vec::new();
        let mut exchanges = Vec::new();
        let mut ledger = Vec::new();
        for (index, call) in EXPECTED.iter().enumerate() {
            let id = format!("id-{index}");
            let stream = call.mode == Mode::Stream;
            told.push(Told {
                client: call.client.to_owned(),
                api: call.api,
                mode: call.mode,
                id: id.clone(),
            });
            exchanges.push(json!({
                "decision": "intercept", "reason": "catalogue", "host": "api.openai.com",
                "request_model": "m", "response_id": id, "stream": stream,
                "protocol": call.http.as_str(), "input_tokens": 10, "output_tokens": 20,
                "cache_read_tokens": 4, "cache_write_tokens": null, "reasoning_tokens": 5,
                "tokens_provenance": "measured", "cost_usd": 0.001, "cost_provenance": "priced",
                "time_to_first_chunk_ms": stream.then_some(1.5), "bytes_sent": 1,
                "bytes_received": 2, "outcome": "complete", "error": null,
            }));
            ledger.push(json!({
                "api": call.api.as_str(),
                "http": if call.http == Http::H2 { "2" } else { "1.1" },
                "authority": "api.openai.com", "response_id": id, "stream": stream,
                "input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 4,
                "cache_write_tokens": 0, "reasoning_tokens": 5, "ended": "complete",
            }));
        }
        exchanges.push(json!({
            "decision": "splice", "reason": "not_in_catalogue", "host": UNLISTED,
            "protocol": "tls", "tokens_provenance": "unknown", "cost_provenance": "unpriced",
            "bytes_sent": 100, "bytes_received": 200, "outcome": "complete",
        }));
        ledger.push(json!({
            "api": "utility", "http": "2", "authority": UNLISTED, "stream": false,
            "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0,
            "cache_write_tokens": 0, "reasoning_tokens": 0, "ended": "complete",
        }));
        let count = EXPECTED.len();
        let totals = json!({
            "exchanges": count, "input_tokens": 10 * count, "output_tokens": 20 * count,
            "cache_read_tokens": 4 * count, "cost_usd": 0.018,
        });
        Self {
            told,
            report: json!({"exchanges": exchanges, "totals": totals}),
            ledger,
            exit: 0,
        }
    }

    fn verdict(&self) -> Verdict {
        let ledger: Vec<String> = self.ledger.iter().map(Value::to_string).collect();
        let session = Session {
            told: self.told.clone(),
            status: ExitStatus::from_raw(self.exit),
        };
        Verdict::reach(
            &session,
            &Report::parse(&self.report.to_string()).unwrap(),
            &Sent::parse_ledger(&ledger.join("\n")).unwrap(),
        )
    }

    fn exchanges(&mut self) -> &mut Vec<Value> {
        self.report["exchanges"].as_array_mut().unwrap()
    }
}

#[test]
fn accounts_that_agree_have_no_finding() {
    let verdict = Accounts::agreeing().verdict();
    assert_eq!(verdict.findings, Vec::<String>::new());
    assert!(verdict.judge().is_ok());
    assert_eq!(verdict.rows.len(), EXPECTED.len());
    let all_equal = |row: &super::Row| row.agreement == Agreement::Equal;
    assert!(verdict.rows.iter().all(all_equal));
    assert_eq!(verdict.spliced.len(), 1);
}

#[test]
fn rows_are_in_the_order_of_the_table_whatever_the_order_of_the_calls() {
    let mut accounts = Accounts::agreeing();
    let in_order = accounts.verdict().rows;
    accounts.ledger.reverse();
    accounts.exchanges().reverse();
    assert_eq!(accounts.verdict().rows, in_order);
}

#[test]
fn whatever_a_record_should_not_say_is_found() {
    for (field, value) in [
        ("decision", json!("refuse")),
        ("host", json!("api.anthropic.com")),
        ("stream", json!(true)),
        ("stream", json!(null)),
        ("protocol", json!("h2")),
        ("input_tokens", json!(11)),
        ("input_tokens", json!(null)),
        ("output_tokens", json!(19)),
        ("output_tokens", json!(null)),
        ("cache_read_tokens", json!(null)),
        ("cache_write_tokens", json!(1)),
        ("reasoning_tokens", json!(6)),
        ("tokens_provenance", json!("estimated")),
        ("cost_usd", json!(null)),
        ("cost_provenance", json!("unpriced")),
        ("outcome", json!("aborted")),
        ("error", json!("timeout")),
        ("response_id", json!("another")),
        ("response_id", json!(null)),
    ] {
        let mut accounts = Accounts::agreeing();
        accounts.exchanges()[0][field] = value.clone();
        let verdict = accounts.verdict();
        assert!(!verdict.findings.is_empty(), "{field} {value}");
        assert!(verdict.judge().is_err(), "{field} {value}");
    }
}

#[test]
fn only_the_client_of_a_stream_may_leave_before_its_body_ends() {
    for (index, findings) in [(0, 1), (1, 0)] {
        assert_eq!(EXPECTED[index].mode, [Mode::Plain, Mode::Stream][index]);
        let mut accounts = Accounts::agreeing();
        accounts.ledger[index]["ended"] = json!("client_gone");
        assert_eq!(accounts.verdict().findings.len(), findings, "{index}");
    }
}

#[test]
fn every_kind_of_token_decides_about_equality() {
    for field in [
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
    ] {
        let mut accounts = Accounts::agreeing();
        accounts.ledger[0][field] = json!(7);
        assert_eq!(
            accounts.verdict().rows[0].agreement,
            Agreement::Different,
            "{field}"
        );
    }
}

#[test]
fn a_record_too_few_or_too_many_is_found() {
    let mut without = Accounts::agreeing();
    without.exchanges().remove(3);
    assert!(!without.verdict().findings.is_empty());

    let mut twice = Accounts::agreeing();
    let again = twice.exchanges()[3].clone();
    twice.exchanges().push(again);
    let verdict = twice.verdict();
    assert!(verdict.findings.iter().any(|it| it.contains("2 records")));
    assert_eq!(verdict.rows[3].agreement, Agreement::Different);
}

#[test]
fn a_call_that_was_not_made_is_named() {
    let mut accounts = Accounts::agreeing();
    accounts.told.remove(0);
    accounts.ledger.remove(0);
    accounts.exchanges().remove(0);
    let findings = accounts.verdict().findings;
    let named = "python openai chat plain over h1: seen 0 times";
    assert!(findings.iter().any(|it| it.contains(named)), "{findings:?}");
}

#[test]
fn an_answer_that_no_client_got_is_found() {
    let mut accounts = Accounts::agreeing();
    accounts.told.remove(0);
    let findings = accounts.verdict().findings;
    assert!(findings.iter().any(|it| it.contains("no client")));
}

#[test]
fn an_answer_that_was_not_sent_is_found() {
    let mut accounts = Accounts::agreeing();
    accounts.told[0].id = "invented".to_owned();
    let findings = accounts.verdict().findings;
    assert!(findings.iter().any(|it| it.contains("invented")));
}

#[test]
fn the_unlisted_host_must_be_passed_on_and_answered() {
    let last = EXPECTED.len();
    let mut not_recorded = Accounts::agreeing();
    not_recorded.exchanges().remove(last);
    assert_eq!(not_recorded.verdict().findings.len(), 1);

    let mut not_answered = Accounts::agreeing();
    not_answered.ledger.remove(last);
    assert_eq!(not_answered.verdict().findings.len(), 1);

    let mut intercepted = Accounts::agreeing();
    intercepted.exchanges()[last]["decision"] = json!("intercept");
    assert!(!intercepted.verdict().findings.is_empty());

    let mut model_host = Accounts::agreeing();
    model_host.exchanges()[last]["host"] = json!("api.openai.com");
    assert!(!model_host.verdict().findings.is_empty());
}

#[test]
fn totals_that_are_not_the_sums_are_found() {
    for field in [
        "exchanges",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
    ] {
        let mut accounts = Accounts::agreeing();
        accounts.report["totals"][field] = json!(1);
        assert_eq!(accounts.verdict().findings.len(), 1, "{field}");
    }
}

#[test]
fn a_client_that_failed_is_found() {
    let mut accounts = Accounts::agreeing();
    accounts.exit = 1 << 8;
    assert_eq!(accounts.verdict().findings.len(), 1);
}
