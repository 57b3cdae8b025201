use std::sync::Mutex;

use super::*;
use crate::llm::classify::Api;
use crate::llm::observation::RpcOutcome;
use crate::llm::tokens::Method;
use crate::llm::usage::Provenance;
use crate::meter::record::CostProvenance;

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn record(&self, record: Record) {
        self.0
            .lock()
            .expect("no test panics while it holds this")
            .push(record);
    }
}

impl Kept {
    fn only(&self) -> Record {
        let records = self.0.lock().expect("no test panics while it holds this");
        assert_eq!(records.len(), 1, "exactly one record");
        records[0].clone()
    }
}

/// A clock that a test moves, per thread.
mod clock {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    thread_local!(static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) });
    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    pub(super) fn now() -> Instant {
        *ORIGIN.get_or_init(Instant::now) + PASSED.get()
    }

    pub(super) fn pass(ms: u64) {
        PASSED.set(PASSED.get() + Duration::from_millis(ms));
    }
}

fn meter() -> (Meter, Arc<Kept>) {
    let sink = Arc::new(Kept::default());
    (
        Meter::new(clock::now, sink.clone(), Arc::new(PriceTable::builtin())),
        sink,
    )
}

fn typed(content_type: &str) -> Headers {
    Headers::of_response(|name| (name == "content-type").then(|| content_type.to_owned()))
}

fn opening() -> Opening {
    Opening {
        host: Some("api.openai.com".into()),
        provider: Some(Provider::OpenAi),
        port: 443,
        target: Some(Api::OpenAiChat.into()),
        request_headers: Headers::default(),
        decision: Decision::Intercept,
        reason: Reason::CatalogueHost,
        protocol: Protocol::H1,
        process: Some(Process {
            pid: Some(7),
            exe: None,
        }),
    }
}

fn open(opening: Opening) -> (Exchange, Arc<Kept>) {
    let (meter, sink) = meter();
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_178_096_789);
    (Exchange::open(opening, started, &meter), sink)
}

#[test]
fn a_client_that_counts_its_attempts_is_quoted() {
    for (said, expected) in [
        (None, None),
        (Some("0"), None),
        (Some("2"), Some(2)),
        (Some("many"), None),
    ] {
        let mut opening = opening();
        opening.request_headers = Headers::of_request(|name| {
            let said = said.filter(|_| name == "x-stainless-retry-count");
            said.map(str::to_owned)
        });
        let (exchange, sink) = open(opening);
        exchange.finish(Outcome::Complete);
        let record = sink.only();
        assert_eq!(record.retry, expected, "{said:?}");
        assert_eq!(record.price_table, None, "nothing was priced");
    }
}

const REQUEST: &[u8] = br#"{"model":"gpt-4o-mini","stream":true,"messages":[{"content":"hello"}]}"#;
const CHUNK: &[u8] = b"data: {\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
const LAST: &[u8] =
    b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100}}\n\n\
    data: [DONE]\n\n";

#[test]
fn an_exchange_ends_in_a_record() {
    let (mut exchange, sink) = open(opening());
    clock::pass(5);
    exchange.request_head_forwarded();
    exchange.request_body(REQUEST);
    exchange.request_end();
    exchange.rule_applied("stream_usage");
    exchange.rule_applied("stream_usage");
    clock::pass(100);
    exchange.response_head(200, &typed("text/event-stream"));
    exchange.response_body(b": keep-alive\n\n");
    clock::pass(20);
    exchange.response_body(CHUNK);
    clock::pass(300);
    exchange.response_body(LAST);
    exchange.overhead(Duration::from_micros(40));
    exchange.overhead(Duration::from_micros(60));
    exchange.finish(Outcome::Complete);

    let record = sink.only();
    assert_eq!(record.ts.to_string(), "2026-11-20T12:34:56.789Z");
    assert_eq!(record.id.len(), 28);
    assert_eq!(record.provider.as_deref(), Some("openai"));
    assert_eq!(record.operation.as_deref(), Some("chat"));
    assert_eq!(
        (record.input_tokens, record.output_tokens),
        (Some(1000), Some(100))
    );
    assert_eq!(record.tokens_provenance, Provenance::Measured);
    // 1000 * 0.15 + 100 * 0.6 millionths.
    assert_eq!(record.cost_usd, Some("0.00021".parse().expect("a decimal")));
    assert_eq!(record.cost_provenance, CostProvenance::Priced);
    assert_eq!(
        record.price_table.as_ref(),
        Some(PriceTable::builtin().version())
    );
    // From the head going out to the first event; the comment is none.
    assert_eq!(
        record.time_to_first_chunk_ms,
        Some(Duration::from_millis(120).into())
    );
    assert_eq!(record.duration_ms, Duration::from_millis(425).into());
    assert_eq!(record.weir_overhead_us, Some(100));
    assert_eq!(record.rules, ["stream_usage"]);
    assert_eq!(record.bytes_sent, REQUEST.len() as u64);
    assert_eq!(
        record.bytes_received,
        (14 + CHUNK.len() + LAST.len()) as u64
    );
    assert_eq!(
        (record.outcome, record.error),
        (OutcomeKind::Complete, None)
    );
}

#[test]
fn of_bodies_that_are_not_read_nothing_but_bytes_and_times_is_known() {
    let (mut exchange, sink) = open(Opening {
        reason: Reason::BodiesNotRead,
        ..opening()
    });
    exchange.request_head_forwarded();
    exchange.request_body(REQUEST);
    exchange.request_end();
    exchange.response_head(200, &typed("text/event-stream"));
    exchange.response_body(CHUNK);
    exchange.response_body(LAST);
    clock::pass(7);
    exchange.finish(Outcome::Complete);
    let record = sink.only();
    assert_eq!(record.reason, Reason::BodiesNotRead);
    assert_eq!(record.operation.as_deref(), Some("chat"));
    assert_eq!((record.status, record.stream), (Some(200), None));
    assert_eq!(record.bytes_received, (CHUNK.len() + LAST.len()) as u64);
    assert_eq!(record.duration_ms, Duration::from_millis(7).into());
    assert_eq!((record.request_model, record.response_model), (None, None));
    assert_eq!(record.tokens_provenance, Provenance::Unknown);
    assert_eq!((record.input_tokens, record.cost_usd), (None, None));
    assert!(record.problems.is_empty());
}

#[test]
fn an_exchange_that_is_dropped_is_recorded_as_aborted() {
    let (mut exchange, sink) = open(opening());
    exchange.request_body(REQUEST);
    exchange.request_end();
    exchange.response_head(200, &typed("text/event-stream"));
    exchange.response_body(CHUNK);
    drop(exchange);
    let record = sink.only();
    assert_eq!(record.outcome, OutcomeKind::Aborted);
    assert_eq!(record.error.as_deref(), Some("aborted"));
    assert_eq!(record.tokens_provenance, Provenance::Estimated);
    assert_eq!(record.tokens_method, Some(Method::O200kBase));
    assert_eq!(
        (record.input_tokens, record.output_tokens),
        (Some(1), Some(1))
    );
}

#[test]
fn a_panic_in_the_task_that_carries_it_still_leaves_one_record() {
    let (exchange, sink) = open(opening());
    let carried = catch_unwind(AssertUnwindSafe(move || {
        let _exchange = exchange;
        std::panic::resume_unwind(Box::new("the task fails"));
    }));
    assert!(carried.is_err());
    assert_eq!(sink.only().outcome, OutcomeKind::Aborted);
}

#[test]
fn peers_that_leave_are_outcomes() {
    for (outcome, kind, error) in [
        (
            Outcome::ClientGone,
            OutcomeKind::ClientGone,
            "client disconnected",
        ),
        (
            Outcome::UpstreamGone("connection reset".into()),
            OutcomeKind::UpstreamGone,
            "connection reset",
        ),
    ] {
        let (exchange, sink) = open(opening());
        exchange.finish(outcome);
        let record = sink.only();
        assert_eq!(
            (record.outcome, record.error.as_deref()),
            (kind, Some(error))
        );
        assert_eq!(record.tokens_provenance, Provenance::Unknown);
        assert_eq!((record.cost_usd, record.input_tokens), (None, None));
    }
}

#[test]
fn a_refusal_replaces_the_decision() {
    let (exchange, sink) = open(opening());
    exchange.finish(Outcome::Refused {
        reason: Reason::AuthorityMismatch,
        error: "x".repeat(1000) + "\u{20ac}",
    });
    let record = sink.only();
    assert_eq!(record.decision, Decision::Refuse);
    assert_eq!(record.reason, Reason::AuthorityMismatch);
    assert_eq!(record.error.map(|error| error.len()), Some(ERROR_LEN_MAX));
}

#[test]
fn a_connection_that_was_not_read_has_one_record_too() {
    let (mut exchange, sink) = open(Opening {
        provider: None,
        target: None,
        decision: Decision::Splice,
        reason: Reason::NotInCatalogue,
        protocol: Protocol::Tls,
        ..opening()
    });
    exchange.spliced(100, 2000);
    exchange.finish(Outcome::Complete);
    let record = sink.only();
    assert_eq!((record.bytes_sent, record.bytes_received), (100, 2000));
    assert_eq!(
        (record.operation, record.stream, record.status),
        (None, None, None)
    );
    assert_eq!(record.tokens_provenance, Provenance::Unknown);
}

#[test]
fn the_error_of_the_provider_is_recorded_by_its_code() {
    let (mut exchange, sink) = open(opening());
    exchange.response_head(429, &typed("application/json"));
    exchange
        .response_body(br#"{"error":{"message":"you said: secret","code":"rate_limit_exceeded"}}"#);
    exchange.finish(Outcome::Complete);
    let record = sink.only();
    assert_eq!(record.error.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(
        (record.status, record.outcome),
        (Some(429), OutcomeKind::Complete)
    );
}

#[test]
fn a_panic_of_the_inspector_costs_the_inspection_only() {
    let (mut exchange, sink) = open(opening());
    exchange.inspect(|_| std::panic::resume_unwind(Box::new("a defect")));
    exchange.request_body(REQUEST);
    exchange.response_head(200, &typed("text/event-stream"));
    exchange.response_body(CHUNK);
    exchange.response_body(LAST);
    exchange.finish(Outcome::Complete);
    let record = sink.only();
    assert_eq!(record.problems, [Problem::Panicked]);
    assert_eq!(record.tokens_provenance, Provenance::Unknown);
    assert_eq!(record.bytes_sent, REQUEST.len() as u64);
    assert_eq!(
        (record.status, record.outcome),
        (Some(200), OutcomeKind::Complete)
    );
}

#[test]
fn ids_are_unique_and_sort_by_time() {
    let (meter, sink) = meter();
    for ms in [1, 1, 2, 70_000] {
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        Exchange::open(opening(), started, &meter).finish(Outcome::Complete);
    }
    let records = sink.0.lock().expect("not poisoned");
    let times: Vec<&str> = records.iter().map(|record| &record.id[..12]).collect();
    assert!(times.is_sorted(), "{times:?}");
    let distinct: std::collections::HashSet<&str> =
        records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(distinct.len(), records.len());
}

#[test]
fn a_response_made_in_the_background_is_counted_once_however_often_it_is_fetched() {
    let (meter, sink) = meter();
    let exchange = |api: Api, request: &str, response: &str| {
        let opening = Opening {
            target: Some(api.into()),
            ..opening()
        };
        let mut exchange = Exchange::open(opening, SystemTime::UNIX_EPOCH, &meter);
        exchange.request_body(request.as_bytes());
        exchange.request_end();
        exchange.response_head(200, &typed("application/json"));
        exchange.response_body(response.as_bytes());
        exchange.finish(Outcome::Complete);
    };
    let queued = r#"{"id":"resp_1","status":"queued","model":"gpt-4o-mini","usage":null}"#;
    let done = r#"{"id":"resp_1","status":"completed","model":"gpt-4o-mini",
        "usage":{"input_tokens":1000,"output_tokens":100}}"#;
    exchange(
        Api::OpenAiResponses,
        r#"{"model":"gpt-4o-mini","input":"hello","background":true}"#,
        queued,
    );
    exchange(Api::OpenAiResponsesFetch, "", queued);
    exchange(Api::OpenAiResponsesFetch, "", done);
    exchange(Api::OpenAiResponsesFetch, "", done);
    let counted: Vec<_> = sink
        .0
        .lock()
        .expect("no test panics with it")
        .iter()
        .map(|record| (record.input_tokens, record.cost_usd.is_some()))
        .collect();
    assert_eq!(
        counted,
        [
            (None, false),
            (None, false),
            (Some(1000), true),
            (None, false)
        ]
    );
}

/// The record of an answer to a request of this API.
fn answered(api: Api, request: &str, answer: &str) -> Record {
    let (mut exchange, sink) = open(Opening {
        target: Some(api.into()),
        ..opening()
    });
    exchange.request_body(request.as_bytes());
    exchange.request_end();
    exchange.response_head(200, &typed("application/json"));
    exchange.response_body(answer.as_bytes());
    exchange.finish(Outcome::Complete);
    sink.only()
}

#[test]
fn what_two_models_used_has_not_the_price_of_one() {
    let cost = |tools: &str| {
        let record = answered(
            Api::OpenAiResponses,
            &format!(r#"{{"model":"gpt-4o-mini","input":"draw","tools":{tools}}}"#),
            r#"{"id":"resp_1","status":"completed","model":"gpt-4o-mini",
                "usage":{"input_tokens":10,"output_tokens":5},
                "tool_usage":{"image_gen":{"input_tokens":20,"output_tokens":1000,
                    "input_tokens_details":{"image_tokens":0,"text_tokens":20},
                    "output_tokens_details":{"image_tokens":1000,"text_tokens":0}}}}"#,
        );
        assert_eq!(
            (record.input_tokens, record.output_tokens),
            (Some(30), Some(1005))
        );
        record.cost_usd
    };
    assert_eq!(cost(r#"[{"type":"image_generation"}]"#), None);
    // 10 * 0.15 + 5 * 0.6, and 20 * 5 + 1000 * 32 millionths.
    assert_eq!(
        cost(r#"[{"type":"image_generation","model":"gpt-image-1.5"}]"#),
        Some("0.0321045".parse().expect("a decimal"))
    );
}

#[test]
fn what_is_charged_by_other_terms_has_no_price() {
    let cost = |status: &str| {
        let record = answered(
            Api::AnthropicMessages,
            r#"{"model":"claude-sonnet-4-6","messages":[]}"#,
            &format!(
                r#"{{"id":"msg_1","model":"gpt-4o-mini","stop_reason":"end_turn","usage":{{
                    "input_tokens":1000,"output_tokens":100,
                    "fallback_credit":{{"status":{{"type":"{status}"}}}}}}}}"#
            ),
        );
        assert_eq!(record.tokens_provenance, Provenance::Measured);
        record.cost_usd
    };
    assert_eq!(
        cost("not_applied"),
        Some("0.00021".parse().expect("a decimal"))
    );
    assert_eq!(cost("redeemed"), None);
}

#[test]
fn a_tool_call_is_recorded_by_method_tool_and_outcome() {
    let check = |method: &str, operation: &str, tool: Option<&str>| {
        let (mut exchange, sink) = open(Opening {
            target: Some(Api::Mcp.into()),
            ..opening()
        });
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"measure"}}}}"#
        );
        exchange.request_body(request.as_bytes());
        exchange.request_end();
        exchange.response_head(200, &typed("application/json"));
        exchange.response_body(br#"{"jsonrpc":"2.0","id":1,"result":{"isError":true}}"#);
        exchange.finish(Outcome::Complete);
        let record = sink.only();
        assert_eq!(record.operation.as_deref(), Some(operation));
        assert!(!record.is_billable());
        let rpc = record.rpc.expect("an exchange of that protocol");
        assert_eq!(rpc.method.as_deref(), Some(method));
        assert_eq!(rpc.tool.as_deref(), tool);
        assert_eq!(rpc.outcome, Some(RpcOutcome::ToolError));
    };
    check("tools/call", "execute_tool", Some("measure"));
    check("prompts/get", "mcp", None);
}

#[test]
fn an_error_in_the_trailers_is_recorded() {
    let (mut exchange, sink) = open(Opening {
        target: Some(Api::XAiGrpc.into()),
        ..opening()
    });
    exchange.response_head(200, &typed("application/grpc"));
    exchange.response_trailers(&Headers::of_response(|name| {
        (name == "grpc-status").then(|| "8".to_owned())
    }));
    exchange.finish(Outcome::Complete);
    assert_eq!(sink.only().error.as_deref(), Some("RESOURCE_EXHAUSTED"));
}
