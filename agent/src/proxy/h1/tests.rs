//! The relay between two sockets: what one end sends is what the other gets.

use std::{
    cell::RefCell,
    io::ErrorKind,
    mem::MaybeUninit,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::{SockRef, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    config::Propagate,
    llm::inspect::Inspector,
    meter::{
        exchange::Meter,
        prices::PriceTable,
        reason::{Decision, Reason},
        record::{OutcomeKind, Record, RecordSink},
    },
    proxy::{
        Proxy, driven,
        leg::Leg,
        testing::{Relayed, Version, expect, pair, send_split, within},
    },
};

/// Requests and responses that a relay which rewrites messages would change.
const MESSAGES: &[(&str, &[u8], &[u8])] = &[
    (
        "field names keep case, order and spaces",
        b"GET /v1/models?a=1&b=%20 HTTP/1.1\r\nhOsT:api.openai.com\r\nX-B: 1\r\nx-a:\t2 \r\nX-B: 3\r\n\r\n",
        b"HTTP/1.1 200 Fine\r\ncOnTent-Length:2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\nhi",
    ),
    (
        "chunk sizes, extensions and trailers stay",
        b"POST /v1/x HTTP/1.1\r\nHost: api.openai.com\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n\
          3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n\
          1\r\na\r\n002\r\nbc\r\n0\r\ngrpc-status: 0\r\n\r\n",
    ),
    (
        "a trace context stays, and none is added",
        b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\
          TraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ),
    (
        "interim responses come first",
        b"POST /v1/x HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ),
    (
        "a response to HEAD has no body",
        b"HEAD / HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    ),
    (
        "absolute form stays",
        b"GET https://api.openai.com/v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    ),
    (
        "an event stream keeps its line ends",
        b"GET /v1/responses/r?stream=true HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
          15\r\n: hi\r\ndata: {\"a\":1}\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
    ),
];

#[tokio::test]
async fn messages_pass_unchanged_at_every_split() {
    for (name, request, response) in MESSAGES {
        let longest = request.len().max(response.len());
        let mut relayed = Relayed::start(Version::Http1).await;
        for split in 1..longest {
            let what = format!("{name}, split {split}");
            send_split(&mut relayed.client, request, split.min(request.len())).await;
            expect(&mut relayed.server, request, &what).await;
            send_split(&mut relayed.server, response, split.min(response.len())).await;
            expect(&mut relayed.client, response, &what).await;
        }
        // One connection served them all, one record for each.
        let records = relayed.records().await;
        assert_eq!(records.len(), longest - 1, "{name}");
        assert!(
            records
                .iter()
                .all(|record| record.outcome == OutcomeKind::Complete),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let request = b"GET / HTTP/1.0\r\nHost: api.openai.com\r\n\r\n";
    relayed.client.write_all(request).await.unwrap();
    expect(&mut relayed.server, request, "request").await;
    let response = b"HTTP/1.0 200 OK\r\n\r\nuntil the end";
    relayed.server.write_all(response).await.unwrap();
    relayed.server.shutdown().await.unwrap();
    let mut got = Vec::new();
    within(relayed.client.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, response);
    let records = relayed.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, OutcomeKind::Complete);
}

#[tokio::test]
async fn only_upstream_answers_an_expectation() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n\
                 Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    relayed.client.write_all(head).await.unwrap();
    expect(&mut relayed.server, head, "head").await;
    // Nothing answers in upstream's place, however long it takes.
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), relayed.client.read(&mut byte));
    assert!(early.await.is_err(), "weir answered the expectation itself");
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    relayed.server.write_all(interim).await.unwrap();
    expect(&mut relayed.client, interim, "interim").await;
    relayed.client.write_all(b"{}").await.unwrap();
    expect(&mut relayed.server, b"{}", "body").await;
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    relayed.server.write_all(response).await.unwrap();
    expect(&mut relayed.client, response, "response").await;
    assert_eq!(relayed.records().await.len(), 1);
}

#[tokio::test]
async fn a_response_may_come_before_the_request_has_ended() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let head =
        b"POST /v1/files HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 1000000\r\n\r\n";
    relayed.client.write_all(head).await.unwrap();
    relayed.client.write_all(&[b'x'; 1000]).await.unwrap();
    expect(&mut relayed.server, head, "head").await;
    let response = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
    relayed.server.write_all(response).await.unwrap();
    expect(&mut relayed.client, response, "response").await;
    let records = relayed.records().await;
    assert_eq!((records.len(), records[0].status), (1, Some(413)));
}

#[tokio::test]
async fn an_upgraded_connection_is_opaque_and_half_closes() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let request = b"GET /v1/realtime HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
    relayed.client.write_all(request).await.unwrap();
    expect(&mut relayed.server, request, "request").await;
    let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\n\r\n";
    // The first frame rides with the head.
    relayed
        .server
        .write_all(&[&response[..], b"\x81\x02hi"].concat())
        .await
        .unwrap();
    expect(&mut relayed.client, response, "response").await;
    expect(&mut relayed.client, b"\x81\x02hi", "frame").await;
    relayed.client.write_all(b"GET / not http\n").await.unwrap();
    relayed.client.shutdown().await.unwrap();
    expect(&mut relayed.server, b"GET / not http\n", "bytes").await;
    let mut rest = Vec::new();
    within(relayed.server.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    // The other direction is still open.
    relayed.server.write_all(b"bye").await.unwrap();
    expect(&mut relayed.client, b"bye", "after the half-close").await;
    let records = relayed.records().await;
    assert_eq!((records.len(), records[0].status), (1, Some(101)));
    assert_eq!((records[0].bytes_sent, records[0].bytes_received), (15, 7));
}

#[tokio::test]
async fn a_half_close_after_the_request_reaches_upstream_and_the_response_still_comes() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let request = b"GET / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n";
    relayed.client.write_all(request).await.unwrap();
    relayed.client.shutdown().await.unwrap();
    let mut got = Vec::new();
    within(relayed.server.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, request);
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    relayed.server.write_all(response).await.unwrap();
    expect(&mut relayed.client, response, "response").await;
    assert_eq!(relayed.records().await[0].outcome, OutcomeKind::Complete);
}

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                             Transfer-Encoding: chunked\r\n\r\n";
const MESSAGES_REQUEST: &[u8] = b"POST /v1/messages HTTP/1.1\r\nHost: api.openai.com\r\n\
                                  Content-Length: 32\r\n\r\n{\"model\":\"claude\",\"stream\":true}";

#[tokio::test]
async fn a_client_that_is_killed_cancels_upstream_and_leaves_one_record() {
    let mut relayed = Relayed::start(Version::Http1).await;
    relayed.client.write_all(MESSAGES_REQUEST).await.unwrap();
    expect(&mut relayed.server, MESSAGES_REQUEST, "request").await;
    relayed.server.write_all(STREAM_HEAD).await.unwrap();
    expect(&mut relayed.client, STREAM_HEAD, "head").await;
    // What the kernel does for a killed process with unread data.
    SockRef::from(&relayed.client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(std::mem::replace(&mut relayed.client, idle_stream().await));
    let mut rest = Vec::new();
    let ended = within(relayed.server.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    let records = relayed.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, OutcomeKind::ClientGone);
    assert_eq!(records[0].status, Some(200));
}

#[tokio::test]
async fn a_client_that_closes_while_it_is_answered_has_left_first() {
    let mut relayed = Relayed::start(Version::Http1).await;
    relayed.client.write_all(MESSAGES_REQUEST).await.unwrap();
    expect(&mut relayed.server, MESSAGES_REQUEST, "request").await;
    relayed.server.write_all(STREAM_HEAD).await.unwrap();
    expect(&mut relayed.client, STREAM_HEAD, "head").await;
    relayed.client.shutdown().await.unwrap();
    // As servers of event streams do, without an end of the body.
    let mut rest = Vec::new();
    within(relayed.server.read_to_end(&mut rest)).await.unwrap();
    drop(std::mem::replace(&mut relayed.server, idle_stream().await));
    let records = relayed.records().await;
    assert_eq!(
        (records.len(), records[0].outcome),
        (1, OutcomeKind::ClientGone)
    );
}

#[tokio::test]
async fn an_upstream_reset_resets_the_client_and_leaves_one_record() {
    let mut relayed = Relayed::start(Version::Http1).await;
    relayed.client.write_all(MESSAGES_REQUEST).await.unwrap();
    expect(&mut relayed.server, MESSAGES_REQUEST, "request").await;
    relayed.server.write_all(STREAM_HEAD).await.unwrap();
    expect(&mut relayed.client, STREAM_HEAD, "head").await;
    SockRef::from(&relayed.server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(std::mem::replace(&mut relayed.server, idle_stream().await));
    let error = within(relayed.client.read(&mut [0; 16])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let records = relayed.records().await;
    assert_eq!(
        (records.len(), records[0].outcome),
        (1, OutcomeKind::UpstreamGone)
    );
}

#[tokio::test]
async fn a_truncated_response_stays_truncated() {
    let mut relayed = Relayed::start(Version::Http1).await;
    relayed
        .client
        .write_all(b"GET / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n")
        .await
        .unwrap();
    let partial = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    relayed.server.write_all(partial).await.unwrap();
    drop(std::mem::replace(&mut relayed.server, idle_stream().await));
    let mut got = Vec::new();
    // The request was not read, so that closing resets; either way the client
    // gets no more than was there.
    let _ = within(relayed.client.read_to_end(&mut got)).await;
    assert!(partial.starts_with(&got), "{}", got.escape_ascii());
    let records = relayed.records().await;
    assert_eq!(
        (records.len(), records[0].outcome),
        (1, OutcomeKind::UpstreamGone)
    );
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    for request in [
        &b"GET / HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: api.openai.com:8443\r\n\r\n",
        b"GET https://evil.example/ HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let (response, record, forwarded) = refused(request).await;
        assert!(response.starts_with("HTTP/1.1 421 "), "{response}");
        assert!(
            response.contains("x-weir-reason: authority_mismatch\r\n"),
            "{response}"
        );
        assert_eq!(record, (Decision::Refuse, Reason::AuthorityMismatch));
        assert!(forwarded.is_empty(), "{}", forwarded.escape_ascii());
    }
}

#[tokio::test]
async fn requests_that_smuggle_are_refused_and_not_forwarded() {
    for request in [
        &b"POST / HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 5\r\n\
           Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"GET / HTTP/1.1\nHost: api.openai.com\n\n\r\n\r\n",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        let (response, record, forwarded) = refused(request).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        assert_eq!(record, (Decision::Refuse, Reason::BadRequest));
        assert!(forwarded.is_empty(), "{}", forwarded.escape_ascii());
    }
}

#[tokio::test]
async fn an_upgrade_to_http2_is_not_offered_to_upstream() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let request =
        b"GET / HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX: y\r\n\r\n";
    relayed.client.write_all(request).await.unwrap();
    expect(
        &mut relayed.server,
        b"GET / HTTP/1.1\r\nHost: api.openai.com\r\nX: y\r\n\r\n",
        "stripped",
    )
    .await;
    drop(relayed.records().await);
}

#[tokio::test]
async fn usage_is_asked_for_and_its_traces_are_removed() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let body = br#"{"model":"gpt-4o-mini","messages":[],"stream":true}"#;
    let head = |length: usize, coding: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\n\
             content-length: {length}\r\naccept-encoding: {coding}\r\n\r\n"
        )
    };
    let request = [head(body.len(), "gzip, br").as_bytes(), body].concat();
    relayed.client.write_all(&request).await.unwrap();
    let asked = br#"{"model":"gpt-4o-mini","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
    let expected = [head(asked.len(), "identity").as_bytes(), asked].concat();
    expect(&mut relayed.server, &expected, "request").await;
    let chunk = |event: &str| format!("{:x}\r\n{event}\r\n", event.len());
    let first = "data: {\"id\":\"c1\",\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\
                 \"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
    let usage = "data: {\"id\":\"c1\",\"model\":\"gpt-4o-mini\",\"choices\":[],\
                 \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}\n\n";
    let done = "data: [DONE]\n\n";
    relayed.server.write_all(STREAM_HEAD).await.unwrap();
    for event in [first, usage, done] {
        relayed
            .server
            .write_all(chunk(event).as_bytes())
            .await
            .unwrap();
    }
    relayed.server.write_all(b"0\r\n\r\n").await.unwrap();
    expect(&mut relayed.client, STREAM_HEAD, "head").await;
    let mut got = String::new();
    while !got.ends_with("0\r\n\r\n") {
        let mut buffer = [0; 1024];
        let count = within(relayed.client.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "{got}");
        got.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(got.contains("\"content\":\"hi\"}}]}\n\n"), "{got}");
    assert!(!got.contains("usage"), "{got}");
    assert!(got.contains(done), "{got}");
    let records = relayed.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].input_tokens, records[0].output_tokens),
        (Some(9), Some(1))
    );
    assert_eq!(records[0].rules, ["stream_usage"]);
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What upstream gets of a request with these fields when contexts are carried
/// on, and the record.
async fn carried(path: &str, fields: &str) -> (String, Record) {
    let mut relayed = Relayed::start_with(Version::Http1, |proxy| {
        proxy.propagate = Propagate::On;
    })
    .await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: api.openai.com\r\n{fields}\r\n");
    relayed.client.write_all(request.as_bytes()).await.unwrap();
    let mut got = String::new();
    while !got.ends_with("\r\n\r\n") {
        let mut buffer = [0; 1024];
        let count = within(relayed.server.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "{got}");
        got.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let response = b"HTTP/1.1 204 No Content\r\n\r\n";
    relayed.server.write_all(response).await.unwrap();
    expect(&mut relayed.client, response, "response").await;
    let mut records = relayed.records().await;
    assert_eq!(records.len(), 1);
    (got, records.remove(0))
}

#[tokio::test]
async fn the_trace_context_is_carried_on_by_a_rule_that_the_record_names() {
    let context = |record: &Record| record.trace.as_ref().unwrap().context();
    let (got, record) = carried("/v1/models", &format!("TraceParent:{PARENT}\r\nX: 1\r\n")).await;
    let own = context(&record);
    assert!(own.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && own != PARENT);
    assert_eq!(
        got,
        format!(
            "GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\nTraceParent: {own}\r\nX: 1\r\n\r\n"
        )
    );
    assert_eq!(record.rules, ["trace_context"]);

    let (got, record) = carried("/v1/models", "").await;
    assert!(got.ends_with(&format!("\r\ntraceparent: {}\r\n\r\n", context(&record))));
    assert_eq!(record.rules, ["trace_context"]);
}

#[tokio::test]
async fn a_trace_context_that_was_signed_stays() {
    let field = format!("traceparent: {PARENT}\r\n");
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=A/d/r/bedrock/aws4_request, \
                  SignedHeaders=host;traceparent;x-amz-date, Signature=0\r\n";
    for (path, fields) in [
        ("/v1/models", field.clone() + signed),
        (
            "/v1/models",
            field.clone() + "Signature-Input: s=(\"TraceParent\");created=1\r\n",
        ),
        (
            "/v1/models?X-Amz-SignedHeaders=host%3Btraceparent",
            field.clone(),
        ),
    ] {
        let (got, record) = carried(path, &fields).await;
        let sent = format!("GET {path} HTTP/1.1\r\nHost: api.openai.com\r\n{fields}\r\n");
        assert_eq!(got, sent);
        assert!(record.rules.is_empty());
    }
    // Another signature does not mind.
    let unsigned = signed.replace("traceparent;", "");
    let (_, record) = carried("/v1/models", &(field + &unsigned)).await;
    assert_eq!(record.rules, ["trace_context"]);
}

/// Sends a request that must be refused: the answer, what was recorded, and
/// what upstream got.
async fn refused(request: &[u8]) -> (String, (Decision, Reason), Vec<u8>) {
    let mut relayed = Relayed::start(Version::Http1).await;
    relayed.client.write_all(request).await.unwrap();
    let mut response = Vec::new();
    relayed.client.shutdown().await.unwrap();
    within(relayed.client.read_to_end(&mut response))
        .await
        .unwrap();
    let mut forwarded = Vec::new();
    within(relayed.server.read_to_end(&mut forwarded))
        .await
        .unwrap();
    let records = relayed.records().await;
    assert_eq!(records.len(), 1, "{}", request.escape_ascii());
    let decided = (records[0].decision, records[0].reason);
    assert_eq!(
        records[0]
            .status
            .map(|status| status.to_string())
            .as_deref(),
        response
            .get(9..12)
            .and_then(|status| std::str::from_utf8(status).ok())
    );
    (String::from_utf8(response).unwrap(), decided, forwarded)
}

/// A connection to put in the place of one that is to be closed.
async fn idle_stream() -> tokio::net::TcpStream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::net::TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn calls_on_a_websocket_pass_unchanged_and_are_recorded_each() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let request = b"GET /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    relayed.client.write_all(request).await.unwrap();
    expect(&mut relayed.server, request, "request").await;
    let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\n\r\n";
    relayed.server.write_all(response).await.unwrap();
    expect(&mut relayed.client, response, "response").await;
    // `{"type":"response.create"}`, masked.
    let create = b"\x81\x9a\x01\x01\x01\x01z#uxqd#;#sdrqnord/bsd`ud#|";
    relayed.client.write_all(create).await.unwrap();
    expect(&mut relayed.server, create, "create").await;
    let done = "{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\
                \"usage\":{\"input_tokens\":7,\"output_tokens\":2}}}";
    let frame = [
        &[0x81, u8::try_from(done.len()).expect("a short frame")],
        done.as_bytes(),
    ]
    .concat();
    send_split(&mut relayed.server, &frame, 1).await;
    expect(&mut relayed.client, &frame, "completed").await;
    let [call, session] = &relayed.records().await[..] else {
        panic!("one record of the call and one of the connection")
    };
    assert_eq!((call.input_tokens, call.output_tokens), (Some(7), Some(2)));
    assert_eq!(call.outcome, OutcomeKind::Complete);
    assert_eq!(session.operation.as_deref(), Some("session"));
}

#[tokio::test]
async fn a_connection_that_waits_holds_little() {
    // There may be ten thousand, each with a stream that a model writes slowly.
    let ((near, _client), (far, _server)) = (pair().await, pair().await);
    let proxy = driven::proxy(Arc::new(Unread)).unwrap();
    let call = driven::intercepted(Arc::new(proxy));
    let relay = super::relay(near, Leg::Cleartext(far), false, call);
    assert!(size_of_val(&relay) <= 4096, "{}", size_of_val(&relay));
    let inspector = size_of::<Inspector>();
    assert!(inspector <= 4096, "{inspector}");
}

struct Unread;

impl RecordSink for Unread {
    fn record(&self, _: Record) {}
}

/// How connections were counted, once the relay has ended.
async fn counted(spoken: &[u8]) -> Vec<String> {
    let mut metrics = None;
    let change = |proxy: &mut Proxy| metrics = Some(Arc::clone(&proxy.metrics));
    let mut relayed = Relayed::start_with(Version::Http1, change).await;
    for byte in spoken {
        send_split(&mut relayed.client, &[*byte], 1).await;
    }
    relayed.records().await;
    let text = metrics.unwrap().render();
    let lines = text.lines().map(str::to_owned);
    lines
        .filter(|line| line.starts_with("weir_connections_total"))
        .collect()
}

#[tokio::test]
async fn a_connection_is_counted_once_whatever_is_said_on_it() {
    let once = r#"weir_connections_total{decision="intercept",reason="catalogue_host"} 1"#;
    // Nothing; not even the beginning of a request; a part of one.
    for spoken in [&b""[..], b"\r\n\r\n", b"GET /"] {
        assert_eq!(counted(spoken).await, [once], "{}", spoken.escape_ascii());
    }
}

#[tokio::test]
async fn the_status_of_a_response_that_could_not_be_passed_on_is_recorded() {
    let mut relayed = Relayed::start(Version::Http1).await;
    let asked = b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n";
    relayed.client.write_all(asked).await.unwrap();
    expect(&mut relayed.server, asked, "the request").await;
    let broken = b"HTTP/1.1 203 Fine\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n";
    relayed.server.write_all(broken).await.unwrap();
    let mut rest = Vec::new();
    let read = within(relayed.client.read_to_end(&mut rest)).await;
    assert!(read.is_err() && rest.is_empty(), "{read:?}: {rest:?}");
    let records = relayed.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].outcome, records[0].status),
        (OutcomeKind::UpstreamGone, Some(203))
    );
}

thread_local! {
    /// Where a test's client reads, and its server.
    static ENDS: RefCell<Option<[Socket; 2]>> = const { RefCell::new(None) };
    /// How much there was to read for each of them when the clock was read.
    static ARRIVED: RefCell<Vec<[usize; 2]>> = const { RefCell::new(Vec::new()) };
}

/// A clock that looks at what has arrived.
fn looking() -> Instant {
    let arrived = ENDS.with_borrow(|ends| {
        let ends = ends.as_ref().expect("a test has begun");
        ends.each_ref().map(|end| {
            let mut bytes = [MaybeUninit::uninit(); 4096];
            end.peek(&mut bytes).unwrap_or(0)
        })
    });
    ARRIVED.with_borrow_mut(|all| all.push(arrived));
    Instant::now()
}

struct Nobody;

impl RecordSink for Nobody {
    fn record(&self, _: Record) {}
}

#[tokio::test]
async fn what_is_said_is_read_once_it_has_left() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n";
    let mut relayed = Relayed::start_with(Version::Http1, |proxy| {
        proxy.meter = Meter::new(looking, Arc::new(Nobody), Arc::new(PriceTable::builtin()));
    })
    .await;
    let socket = |stream| SockRef::from(stream).try_clone().unwrap();
    let ends = [socket(&relayed.client), socket(&relayed.server)];
    ENDS.set(Some(ends));
    let looked = async |times: usize| {
        within(async {
            while ARRIVED.with_borrow(Vec::len) < times {
                tokio::task::yield_now().await;
            }
        })
        .await;
        ARRIVED.with_borrow(|all| all[times - 1])
    };
    let body = r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true}}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    relayed.client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(looked(1).await, [0, 0], "when the request had come");
    assert_eq!(looked(2).await, [0, request.len()], "when it had left");
    let mut said = 0;
    for (number, text) in [[HEAD, EVENT].concat().as_str(), EVENT, EVENT]
        .into_iter()
        .enumerate()
    {
        relayed.server.write_all(text.as_bytes()).await.unwrap();
        said += text.len();
        let arrived = looked(3 + number).await;
        assert_eq!(arrived, [said, request.len()], "event {number}");
    }
    drop(relayed.client);
}
