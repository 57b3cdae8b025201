use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crate::llm::catalogue::Provider;
use crate::llm::classify::classify;
use crate::llm::headers::Headers;
use crate::llm::observation::RpcOutcome;
use crate::meter::exchange::{Exchange, Meter, Opening, Outcome};
use crate::meter::prices::PriceTable;
use crate::meter::reason::{Decision, Reason};
use crate::meter::record::{OutcomeKind, Protocol, Record, RecordSink};

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn record(&self, record: Record) {
        let mut kept = self.0.lock().expect("no test panics meanwhile");
        kept.push(record);
    }
}

impl Kept {
    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().expect("no test panics meanwhile"))
    }

    #[track_caller]
    fn only(&self) -> Record {
        let mut records = self.take();
        assert_eq!(records.len(), 1, "exactly one record: {records:?}");
        records.remove(0)
    }
}

thread_local!(static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) });

fn now() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now) + PASSED.get()
}

fn pass(ms: u64) {
    PASSED.set(PASSED.get() + Duration::from_millis(ms));
}

/// A server of the Model Context Protocol, as weir sees it.
struct Server {
    meter: Meter,
    sink: Arc<Kept>,
}

const SESSION: &[(&str, &str)] = &[("mcp-session-id", "s-1")];

impl Server {
    fn new() -> Self {
        let sink = Arc::new(Kept::default());
        let meter = Meter::new(now, sink.clone(), Arc::new(PriceTable::builtin()));
        Self { meter, sink }
    }

    fn open(&self, method: &str, path: &str, fields: &[(&'static str, &str)]) -> Exchange {
        let provider = Provider::named("rivers");
        let request_headers = Headers::of_request(|name| {
            let field = fields.iter().find(|(known, _)| *known == name);
            field.map(|(_, value)| (*value).to_owned())
        });
        let opening = Opening {
            host: Some("mcp.example".into()),
            port: 443,
            target: Some(classify(method, path, Some(&provider), &request_headers)),
            provider: Some(provider),
            request_headers,
            decision: Decision::Intercept,
            reason: Reason::CatalogueHost,
            protocol: Protocol::H1,
            process: None,
        };
        let mut exchange = Exchange::open(opening, SystemTime::now(), &self.meter);
        exchange.request_head_forwarded();
        exchange
    }

    fn post(&self, path: &str, fields: &[(&'static str, &str)], body: &str) -> Exchange {
        let mut exchange = self.open("POST", path, fields);
        exchange.request_body(body.as_bytes());
        exchange.request_end();
        exchange
    }

    /// The stream of the first revision.
    fn stream(&self) -> Exchange {
        let mut stream = self.open("GET", "/sse", &[]);
        stream.request_end();
        stream.response_head(200, &typed("text/event-stream"));
        stream.response_body(b"event: endpoint\ndata: /messages/?session_id=s-1\n\n");
        stream
    }

    /// A message of its session, acknowledged.
    fn acknowledged(&self, body: &str) {
        let mut message = self.post("/messages/?session_id=s-1", &[], body);
        message.response_head(202, &typed("text/plain"));
        message.response_body(b"Accepted");
        message.finish(Outcome::Complete);
    }
}

fn typed(content_type: &str) -> Headers {
    Headers::of_response(|name| (name == "content-type").then(|| content_type.to_owned()))
}

fn call(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"measure","arguments":{{"id":0}}}}}}"#
    )
}

fn event(document: &str) -> Vec<u8> {
    format!("event: message\ndata: {document}\n\n").into_bytes()
}

fn result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"id":8}}]}}}}"#)
}

#[track_caller]
fn check(record: &Record, outcome: OutcomeKind, of_call: Option<RpcOutcome>, error: Option<&str>) {
    let rpc = record.rpc.as_ref().expect("it is a call");
    assert_eq!(rpc.method.as_deref(), Some("tools/call"), "{record:?}");
    assert_eq!(rpc.tool.as_deref(), Some("measure"), "{record:?}");
    assert_eq!(record.operation.as_deref(), Some("execute_tool"));
    assert_eq!(
        (record.outcome, rpc.outcome, record.error.as_deref()),
        (outcome, of_call, error),
        "{record:?}"
    );
}

#[test]
fn a_call_lasts_until_the_stream_brings_its_answer() {
    let failed = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"isError":true}}"#;
    let refused = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no river"}}"#;
    for (answer, outcome, error) in [
        (&*result("7"), RpcOutcome::Ok, None),
        (failed, RpcOutcome::ToolError, None),
        (refused, RpcOutcome::Error, Some("-32602")),
    ] {
        let server = Server::new();
        let mut stream = server.stream();
        server.acknowledged(&call("7"));
        assert_eq!(server.sink.take(), []);
        pass(250);
        stream.response_body(&event(answer));
        let record = server.sink.only();
        check(&record, OutcomeKind::Complete, Some(outcome), error);
        assert_eq!(record.status, Some(202));
        assert_eq!(record.duration_ms, Duration::from_millis(250).into());
        // Whatever it brought is not about the stream itself.
        stream.finish(Outcome::ClientGone);
        let record = server.sink.only();
        assert_eq!(record.rpc, Some(crate::llm::observation::Rpc::default()));
        assert_eq!(
            (record.outcome, record.error),
            (OutcomeKind::Complete, None)
        );
    }
}

#[test]
fn an_answer_may_overtake_the_acknowledgement() {
    let server = Server::new();
    let mut stream = server.stream();
    let mut message = server.post("/messages/?session_id=s-1", &[], &call("7"));
    pass(10);
    stream.response_body(&event(&result("7")));
    pass(10);
    message.response_head(202, &typed("text/plain"));
    message.finish(Outcome::Complete);
    let record = server.sink.only();
    check(&record, OutcomeKind::Complete, Some(RpcOutcome::Ok), None);
    assert_eq!(record.duration_ms, Duration::from_millis(20).into());
}

#[test]
fn calls_side_by_side_are_told_apart() {
    let server = Server::new();
    let mut stream = server.stream();
    for id in ["1", "\"1\"", "2"] {
        server.acknowledged(&call(id));
    }
    stream.response_body(&event(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
    assert_eq!(
        server.sink.take(),
        [],
        "a question of the server's is no answer"
    );
    pass(1);
    stream.response_body(&event(&result("\"1\"")));
    pass(1);
    stream.response_body(&[event(&result("2")), event(&result("1"))].concat());
    let lasted: Vec<_> = server.sink.take().iter().map(|it| it.duration_ms).collect();
    assert_eq!(lasted, [1, 2, 2].map(|ms| Duration::from_millis(ms).into()));
}

#[test]
fn the_end_of_the_stream_ends_calls_without_an_answer() {
    let ended = "upstream: the stream ended before the answer";
    let gone = || Outcome::UpstreamGone("upstream: reset".into());
    for (ending, outcome, error) in [
        (Outcome::Complete, OutcomeKind::UpstreamGone, ended),
        (gone(), OutcomeKind::UpstreamGone, ended),
        (
            Outcome::ClientGone,
            OutcomeKind::ClientGone,
            "client disconnected",
        ),
    ] {
        let server = Server::new();
        let mut stream = server.stream();
        server.acknowledged(&call("7"));
        // That another was answered does not help this one.
        stream.response_body(&event(&result("6")));
        pass(40);
        stream.finish(ending);
        let records = server.sink.take();
        let [of_stream, of_call] = &records[..] else {
            panic!("one record each: {records:?}");
        };
        assert_eq!(of_stream.operation.as_deref(), Some("mcp"));
        check(of_call, outcome, None, Some(error));
        assert_eq!(of_call.duration_ms, Duration::from_millis(40).into());
    }
}

#[test]
fn what_is_still_open_at_the_end_is_recorded_as_aborted() {
    let server = Server::new();
    let stream = server.stream();
    server.acknowledged(&call("7"));
    drop(stream);
    let records = server.sink.take();
    assert_eq!(records.len(), 2, "{records:?}");
    check(&records[1], OutcomeKind::Aborted, None, Some("aborted"));

    let mut message = server.post("/mcp", SESSION, &call("8"));
    message.response_head(200, &typed("text/event-stream"));
    message.finish(Outcome::Complete);
    let Server { meter, sink } = server;
    assert_eq!(sink.take(), []);
    drop(meter);
    check(&sink.only(), OutcomeKind::Aborted, None, Some("aborted"));
}

#[test]
fn a_call_that_is_taken_back_ends_there() {
    let server = Server::new();
    let mut stream = server.stream();
    server.acknowledged(&call("7"));
    pass(30);
    server.acknowledged(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
    );
    let records = server.sink.take();
    let [notification, of_call] = &records[..] else {
        panic!("one record each: {records:?}");
    };
    let method = |record: &Record| record.rpc.as_ref().and_then(|rpc| rpc.method.clone());
    assert_eq!(
        method(notification).as_deref(),
        Some("notifications/cancelled")
    );
    let error = Some("client cancelled the call");
    check(of_call, OutcomeKind::ClientGone, None, error);
    assert_eq!(of_call.duration_ms, Duration::from_millis(30).into());
    stream.response_body(&event(&result("7")));
    assert_eq!(server.sink.take(), [], "the answer is too late");
}

#[test]
fn what_needs_no_answer_is_recorded_at_once() {
    let server = Server::new();
    // A call of a session whose stream was not seen.
    server.acknowledged(&call("7"));
    check(&server.sink.only(), OutcomeKind::Complete, None, None);
    let _stream = server.stream();
    for message in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        // An answer of the application's.
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        "[]",
    ] {
        server.acknowledged(message);
        let record = server.sink.only();
        assert_eq!(record.outcome, OutcomeKind::Complete, "{message}");
    }
    let mut refused = server.post("/messages/?session_id=s-1", &[], &call("7"));
    refused.response_head(404, &typed("text/plain"));
    refused.finish(Outcome::Complete);
    let record = server.sink.only();
    check(
        &record,
        OutcomeKind::Complete,
        Some(RpcOutcome::Error),
        None,
    );
    let cut = server.post("/messages/?session_id=s-1", &[], &call("7"));
    cut.finish(Outcome::ClientGone);
    let error = Some("client disconnected");
    check(&server.sink.only(), OutcomeKind::ClientGone, None, error);
}

#[test]
fn a_call_goes_on_where_its_stream_is_resumed_and_is_not_counted_again() {
    let server = Server::new();
    let mut message = server.post("/mcp", SESSION, &call("7"));
    message.response_head(200, &typed("text/event-stream"));
    message.response_body(b"id: 1\ndata:\n\n");
    pass(5);
    message.finish(Outcome::Complete);
    assert_eq!(server.sink.take(), []);
    let resumed = |documents: &[&str]| {
        let mut stream = server.open("GET", "/mcp", SESSION);
        stream.request_end();
        stream.response_head(200, &typed("text/event-stream"));
        for document in documents {
            stream.response_body(&event(document));
        }
        stream.finish(Outcome::Complete);
        server.sink.take()
    };
    pass(5);
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
    assert_eq!(resumed(&[progress]).len(), 1, "the stream's own");
    pass(5);
    let records = resumed(&[&result("7")]);
    assert_eq!(records.len(), 2, "{records:?}");
    let ok = Some(RpcOutcome::Ok);
    check(&records[0], OutcomeKind::Complete, ok, None);
    assert_eq!(records[0].duration_ms, Duration::from_millis(15).into());
    let again = resumed(&[progress, &result("7")]);
    assert_eq!(again.len(), 1, "a replay is the stream's own: {again:?}");
    assert_eq!(again[0].rpc, Some(crate::llm::observation::Rpc::default()));
}

#[test]
fn the_client_ends_a_session_and_its_calls() {
    let server = Server::new();
    let mut message = server.post("/mcp", SESSION, &call("7"));
    message.response_head(200, &typed("text/event-stream"));
    message.finish(Outcome::Complete);
    let mut end = server.open("DELETE", "/mcp", SESSION);
    end.request_end();
    end.response_head(200, &Headers::default());
    end.finish(Outcome::Complete);
    let records = server.sink.take();
    assert_eq!(records.len(), 2, "{records:?}");
    let error = Some("client ended the session");
    check(&records[1], OutcomeKind::ClientGone, None, error);
}

/// A stream that names nothing but where calls go.
fn nameless(server: &Server) -> Exchange {
    let mut stream = server.open("GET", "/sse", &[]);
    stream.request_end();
    stream.response_head(200, &typed("text/event-stream"));
    stream.response_body(b"event: endpoint\ndata: /rivers\n\n");
    stream
}

fn sent(server: &Server, id: &str) {
    let mut posted = server.post("/rivers", &[], &call(id));
    posted.response_head(202, &typed("text/plain"));
    posted.response_body(b"Accepted");
    posted.finish(Outcome::Complete);
}

#[test]
fn a_stream_without_a_name_brings_the_answers_to_its_address() {
    let server = Server::new();
    // Nobody has named it yet.
    sent(&server, "1");
    assert_eq!(server.sink.only().rpc, None);

    let mut stream = nameless(&server);
    sent(&server, "2");
    assert!(server.sink.take().is_empty(), "it waits for its answer");
    pass(30);
    stream.response_body(&event(&result("2")));
    let record = server.sink.only();
    check(&record, OutcomeKind::Complete, Some(RpcOutcome::Ok), None);
    assert_eq!(record.duration_ms.duration(), Duration::from_millis(30));
}

#[test]
fn of_two_streams_of_one_address_neither_is_taken_for_a_calls() {
    let server = Server::new();
    let (mut one, mut other) = (nameless(&server), nameless(&server));
    sent(&server, "1");
    check(&server.sink.only(), OutcomeKind::Complete, None, None);
    one.response_body(&event(&result("1")));
    other.response_body(&event(&result("1")));
    assert!(server.sink.take().is_empty());

    other.finish(Outcome::Complete);
    server.sink.take();
    sent(&server, "2");
    one.response_body(&event(&result("2")));
    let record = server.sink.only();
    check(&record, OutcomeKind::Complete, Some(RpcOutcome::Ok), None);
}
