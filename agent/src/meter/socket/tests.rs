use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use super::*;
use crate::llm::catalogue::Provider;
use crate::llm::classify::Api;
use crate::llm::usage::Provenance;
use crate::meter::exchange::{Meter, Opening};
use crate::meter::prices::PriceTable;
use crate::meter::reason::{Decision, Reason};
use crate::meter::record::{OutcomeKind, Protocol, Record, RecordSink};

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn record(&self, record: Record) {
        self.0
            .lock()
            .expect("no test panics meanwhile")
            .push(record);
    }
}

impl Kept {
    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().expect("no test panics meanwhile"))
    }
}

fn upgraded(fields: &[(&'static str, &str)]) -> Headers {
    Headers::of_response(|name| {
        let field = fields.iter().find(|(known, _)| *known == name);
        field.map(|(_, value)| (*value).to_owned())
    })
}

const WEBSOCKET: &[(&str, &str)] = &[("upgrade", "websocket")];

fn socket(api: Api, headers: &Headers) -> (Socket, Arc<Kept>) {
    socket_because(Reason::CatalogueHost, api, headers)
}

fn socket_because(reason: Reason, api: Api, headers: &Headers) -> (Socket, Arc<Kept>) {
    let sink = Arc::new(Kept::default());
    let meter = Meter::new(Instant::now, sink.clone(), Arc::new(PriceTable::builtin()));
    let opening = Opening {
        host: Some("api.openai.com".into()),
        provider: Some(Provider::OpenAi),
        port: 443,
        target: Some(api.into()),
        request_headers: Headers::default(),
        decision: Decision::Intercept,
        reason,
        protocol: Protocol::H1,
        process: None,
    };
    let mut exchange = Exchange::open(opening, SystemTime::now(), &meter);
    exchange.request_head_forwarded();
    exchange.response_head(101, headers);
    (Socket::begin(exchange, headers), sink)
}

fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("test messages are short");
    [&[0x81, 126][..], &length.to_be_bytes(), text.as_bytes()].concat()
}

const CREATE: &str = r#"{"type":"response.create","model":"gpt-4o-mini","input":"twelve bytes"}"#;
const CREATED: &str = r#"{"type":"response.created","response":{"id":"r","model":"gpt-4o-mini"}}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","delta":"sixteen bytes .."}"#;
const DONE: &str = r#"{"type":"response.completed","response":{"id":"r","usage":{"input_tokens":1000,"output_tokens":100}}}"#;

fn begun() -> (Socket, Arc<Kept>) {
    let (mut socket, sink) = socket(Api::OpenAiResponsesSocket, &upgraded(WEBSOCKET));
    socket.passed(Side::Client, &frame(CREATE));
    socket.passed(Side::Server, &frame(CREATED));
    socket.passed(Side::Server, &frame(DELTA));
    (socket, sink)
}

#[test]
fn a_call_is_recorded_when_it_ends_and_the_connection_when_it_does() {
    let (mut socket, sink) = begun();
    assert_eq!(sink.take().len(), 0);
    socket.passed(Side::Server, &frame(DONE));
    let [call] = &sink.take()[..] else {
        panic!("one call, one record")
    };
    assert_eq!(call.operation.as_deref(), Some("chat"));
    assert_eq!((call.protocol, call.status), (Protocol::WebSocket, None));
    assert_eq!(
        (call.input_tokens, call.output_tokens),
        (Some(1000), Some(100))
    );
    assert_eq!(call.tokens_provenance, Provenance::Measured);
    assert!(call.cost_usd.is_some() && call.is_billable());
    assert!(call.time_to_first_chunk_ms.is_some());
    assert_eq!((call.bytes_sent, call.bytes_received), (0, 0));
    assert_eq!(call.outcome, OutcomeKind::Complete);

    socket.finish(Outcome::Complete);
    let [session] = &sink.take()[..] else {
        panic!("one connection, one record")
    };
    assert_eq!(session.operation.as_deref(), Some("session"));
    assert_eq!(
        (session.protocol, session.status),
        (Protocol::H1, Some(101))
    );
    assert_eq!(session.tokens_provenance, Provenance::Unknown);
    assert!(!session.is_billable());
    assert_eq!(session.outcome, OutcomeKind::Complete);
    let received = frame(CREATED).len() + frame(DELTA).len() + frame(DONE).len();
    assert_eq!(session.bytes_sent, frame(CREATE).len() as u64);
    assert_eq!(session.bytes_received, received as u64);
    assert_ne!(session.id, call.id);
}

#[test]
fn a_connection_that_is_left_unread_has_no_calls() {
    let (mut socket, sink) = socket_because(
        Reason::BodiesNotRead,
        Api::OpenAiResponsesSocket,
        &upgraded(WEBSOCKET),
    );
    socket.passed(Side::Client, &frame(CREATE));
    socket.passed(Side::Server, &frame(DONE));
    socket.finish(Outcome::Complete);
    let [only] = &sink.take()[..] else {
        panic!("one connection, one record")
    };
    assert_eq!(only.tokens_provenance, Provenance::Unknown);
    assert_eq!(only.request_model, None);
    assert_eq!(only.bytes_received, frame(DONE).len() as u64);
}

#[test]
fn a_call_that_is_cut_has_one_record_that_says_who_left() {
    let client_gone = (OutcomeKind::ClientGone, OutcomeKind::ClientGone);
    let cases: [(fn(&mut Socket), _, _); 5] = [
        (|_| {}, Outcome::ClientGone, client_gone),
        (
            |_| {},
            Outcome::UpstreamGone("upstream: reset".into()),
            (OutcomeKind::UpstreamGone, OutcomeKind::UpstreamGone),
        ),
        (
            |socket| {
                socket.passed(Side::Server, b"\x88\x02\x03\xf3");
                socket.passed(Side::Client, b"\x88\x02\x03\xf3");
                socket.ended(Side::Client);
            },
            Outcome::Complete,
            (OutcomeKind::UpstreamGone, OutcomeKind::Complete),
        ),
        (
            |socket| socket.ended(Side::Server),
            Outcome::Complete,
            (OutcomeKind::UpstreamGone, OutcomeKind::Complete),
        ),
        (
            |socket| socket.ended(Side::Client),
            Outcome::Complete,
            (OutcomeKind::ClientGone, OutcomeKind::Complete),
        ),
    ];
    for (ends, outcome, expected) in cases {
        let (mut socket, sink) = begun();
        ends(&mut socket);
        socket.finish(outcome);
        let [call, session] = &sink.take()[..] else {
            panic!("one record each")
        };
        assert_eq!((call.outcome, session.outcome), expected);
        assert_eq!((call.input_tokens, call.output_tokens), (Some(3), Some(4)));
        assert_eq!(call.tokens_provenance, Provenance::Estimated);
    }
}

#[test]
fn a_connection_that_is_dropped_leaves_a_record_of_each_call() {
    let (socket, sink) = begun();
    drop(socket);
    let [call, session] = &sink.take()[..] else {
        panic!("one record each")
    };
    assert_eq!(call.outcome, OutcomeKind::Aborted);
    assert_eq!(call.output_tokens, Some(4));
    assert_eq!(session.outcome, OutcomeKind::Aborted);
    assert!(session.bytes_sent > 0);
}

#[test]
fn an_error_has_the_status_that_upstream_gives_it() {
    let (mut socket, sink) = socket(Api::OpenAiResponsesSocket, &upgraded(WEBSOCKET));
    socket.passed(Side::Client, &frame(CREATE));
    let error = r#"{"type":"error","status":400,"error":{"code":"invalid_prompt"}}"#;
    socket.passed(Side::Server, &frame(error));
    socket.finish(Outcome::Complete);
    let records = sink.take();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].status, Some(400));
    assert_eq!(records[0].error.as_deref(), Some("invalid_prompt"));
    assert!(!records[0].is_billable());
}

#[test]
fn compression_is_read_if_the_answer_agrees_to_it() {
    // `{}` deflated, and then what only a deflated message may say.
    let deflated = b"\xc1\x04\xaa\xae\x05\x00";
    for (extensions, problems) in [("permessage-deflate", 0), ("x-unknown", 1)] {
        let headers = upgraded(&[
            ("upgrade", "WebSocket"),
            ("sec-websocket-extensions", extensions),
        ]);
        let (mut socket, sink) = socket(Api::OpenAiRealtime, &headers);
        socket.passed(Side::Server, deflated);
        socket.finish(Outcome::Complete);
        let records = sink.take();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].problems.len(), problems, "{extensions}");
    }
}

#[test]
fn what_is_not_read_is_one_exchange_as_ever() {
    let cases = [
        (Api::Other, upgraded(WEBSOCKET)),
        (Api::OpenAiRealtime, upgraded(&[("upgrade", "other")])),
    ];
    for (api, headers) in cases {
        let (mut socket, sink) = socket(api, &headers);
        socket.passed(Side::Client, b"anything");
        socket.passed(Side::Server, b"at all");
        socket.finish(Outcome::Complete);
        let records = sink.take();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].operation.as_deref(), Some(api.operation()));
        assert_eq!((records[0].bytes_sent, records[0].bytes_received), (8, 6));
        assert_eq!(records[0].problems, []);
    }
}
