//! The endpoints with which a proxy's transparency is tested.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_emulator::Ended;

use crate::client::{
    BOTH, Http, LIMIT, bare, body_of, call, dial, dial_http2, emulator, exchange_bare, get, read,
    read_until, request, send, split_chunks,
};

#[tokio::test]
async fn echo_returns_the_head_byte_for_byte_on_every_request_of_a_connection() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    let heads = [
        "GET /emulator/echo HTTP/1.1\r\nhOsT: a\r\nX-B: 1\r\nx-a:   2  \r\nX-B: 3\r\n\r\n",
        "GET /emulator/echo?second HTTP/1.1\r\nHost: b\r\nUPPER: \t x\r\n\r\n",
    ];
    // Both at once: the second waits for its turn.
    socket
        .write_all(heads.concat().as_bytes())
        .await
        .expect("sent");
    let replies = read_until(&mut socket, heads[1]).await;
    let (first, second) = replies.split_at(replies.rfind("HTTP/1.1 200 OK").expect("two"));
    for (head, reply) in heads.iter().zip([first, second]) {
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert_eq!(body_of(reply.as_bytes()), head.as_bytes());
    }
    let reply = call(
        &emulator,
        Http::Two,
        get("/emulator/echo", &[("x-one", "1")]),
    )
    .await;
    assert!(
        reply
            .text()
            .starts_with(":method: GET\n:scheme: https\n:authority: api.openai.com\n")
    );
    assert!(reply.text().contains("\nx-one: 1\n"));
}

#[tokio::test]
async fn a_connection_carries_one_exchange_after_another() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    for number in 0..3 {
        let request = format!(
            "POST /emulator/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{number}"
        );
        socket.write_all(request.as_bytes()).await.expect("sent");
        let reply = read_until(&mut socket, "\"}").await;
        assert!(reply.contains("\"bytes\":1"), "{reply}");
    }
    let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 3).await;
    assert!(
        entries
            .expect("three entries")
            .iter()
            .all(|told| told.ended == Ended::Complete)
    );
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let emulator = emulator().await;
    let request = "POST /emulator/trailers HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\nTrailer: X-Mine\r\n\r\n\
                   5\r\nhello\r\n0\r\nX-Mine: yes\r\n\r\n";
    let reply = exchange_bare(&emulator, request).await;
    let (_, chunks) = split_chunks(&reply);
    assert_eq!(chunks.concat(), b"hello");
    let text = String::from_utf8(reply).expect("UTF-8");
    assert!(text.ends_with("\r\nx-echo-x-mine: yes\r\n\r\n"), "{text}");
    assert!(text.contains("\r\nX-Body-Bytes: 5\r\n"), "{text}");

    let mut sender = dial_http2(&emulator).await;
    let request = Request::post("http://h/emulator/trailers")
        .body(())
        .expect("a request");
    let (response, mut body) = sender.send_request(request, false).expect("sent");
    body.send_data("hello".into(), false).expect("sent");
    let mut mine = HeaderMap::new();
    mine.insert("x-mine", "yes".parse().expect("a value"));
    body.send_trailers(mine).expect("sent");
    let mut reply = response.await.expect("a reply").into_body();
    assert_eq!(reply.data().await.expect("data").expect("data"), "hello");
    assert!(reply.data().await.is_none());
    let trailers = reply.trailers().await.expect("read").expect("trailers");
    assert_eq!(trailers["x-echo-x-mine"], "yes");
    assert_eq!(trailers["x-body-bytes"], "5");
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one() {
    let emulator = emulator().await;
    let request = bare("GET", "/emulator/informational?count=2", &[], "");
    let reply = String::from_utf8(exchange_bare(&emulator, request).await).expect("UTF-8");
    let heads: Vec<_> = reply
        .split("\r\n\r\n")
        .map(|head| head.lines().next())
        .collect();
    assert_eq!(
        heads[..3],
        [
            Some("HTTP/1.1 103 Early Hints"),
            Some("HTTP/1.1 103 Early Hints"),
            Some("HTTP/1.1 200 OK"),
        ]
    );

    let mut sender = dial_http2(&emulator).await;
    let uri = "http://h/emulator/informational?count=2";
    let request = Request::get(uri).body(()).expect("a request");
    let (mut response, _) = sender.send_request(request, true).expect("sent");
    for number in ["1", "2"] {
        let interim = std::future::poll_fn(|context| response.poll_informational(context)).await;
        let interim = interim.expect("an interim response").expect("no error");
        assert_eq!(interim.status(), 103);
        assert_eq!(interim.headers()["x-hint-number"], number);
    }
    assert_eq!(response.await.expect("a reply").status(), 200);
}

#[tokio::test]
async fn no_interim_response_follows_the_final_head() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    let head = "POST /emulator/reflect HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
        Content-Length: 4\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("sent");
    let answer = read_until(&mut socket, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    socket.write_all(b"body").await.expect("sent");
    assert_eq!(
        read_until(&mut socket, "0\r\n\r\n").await,
        "4\r\nbody\r\n0\r\n\r\n"
    );
}

#[tokio::test]
async fn the_answer_to_head_is_its_head() {
    let emulator = emulator().await;
    for http in BOTH {
        let mut request = get("/emulator/download?bytes=1000", &[]);
        *request.method_mut() = http::Method::HEAD;
        let reply = call(&emulator, http, request).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
        assert_eq!(reply.headers["content-length"], "1000");
    }
}

#[tokio::test]
async fn an_expectation_is_met_before_the_body_or_refused_without_it() {
    let emulator = emulator().await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut socket = dial(&emulator).await;
    socket
        .write_all(head("/emulator/upload").as_bytes())
        .await
        .expect("sent");
    assert_eq!(
        read_until(&mut socket, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    socket.write_all(b"body").await.expect("sent");
    assert!(read_until(&mut socket, "}").await.contains("\"bytes\":4"));

    for (path, fault) in [
        ("/emulator/informational?expect=refuse", ""),
        ("/v1/messages", "x-emulator-fault: expect-refuse\r\n"),
    ] {
        let head = head(path).replace("Expect", &format!("{fault}Expect"));
        let reply = exchange_bare(&emulator, head).await;
        let reply = String::from_utf8(reply).expect("UTF-8");
        assert!(reply.starts_with("HTTP/1.1 417 "), "{reply}");
        assert!(reply.contains("Connection: close\r\n"), "{reply}");
    }
}

#[tokio::test]
async fn an_upload_is_digested() {
    let emulator = emulator().await;
    // SHA-256 of the three bytes "abc" (FIPS 180-2, appendix B.1).
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for http in BOTH {
        let mut upload = request("/emulator/upload", &serde_json::Value::Null, &[]);
        *upload.body_mut() = http_body_util::Full::new("abc".into());
        let reply = call(&emulator, http, upload).await;
        assert_eq!(reply.json(), serde_json::json!({"bytes": 3, "sha256": abc}));
    }
}

#[tokio::test]
async fn a_download_has_the_bytes_asked_for_or_breaks_off_half_way() {
    let emulator = emulator().await;
    const BYTES: usize = 300_000;
    let path = format!("/emulator/download?bytes={BYTES}");
    for http in BOTH {
        let reply = call(&emulator, http, get(&path, &[])).await;
        assert_eq!(reply.headers["content-length"], BYTES.to_string());
        assert_eq!(reply.body.len(), BYTES);
        assert!(
            reply
                .body
                .iter()
                .zip((0..251).cycle())
                .all(|(byte, expected)| *byte == expected)
        );
        for fault in ["reset-mid-stream", "close-early"] {
            let broken = send(&emulator, http, get(&path, &[("x-emulator-fault", fault)])).await;
            let whole = match broken {
                Ok(response) => read(response).await.is_ok(),
                Err(_) => false,
            };
            assert!(!whole, "{http:?} {fault}");
        }
    }
}

#[tokio::test]
async fn a_body_is_reflected_while_it_is_still_being_sent() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    let head = "POST /emulator/reflect HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("sent");
    read_until(&mut socket, "\r\n\r\n").await;
    for piece in ["one", "two"] {
        socket
            .write_all(format!("3\r\n{piece}\r\n").as_bytes())
            .await
            .expect("sent");
        assert_eq!(
            read_until(&mut socket, &format!("{piece}\r\n")).await,
            format!("3\r\n{piece}\r\n")
        );
    }
    socket.write_all(b"0\r\n\r\n").await.expect("sent");
    assert_eq!(read_until(&mut socket, "\r\n\r\n").await, "0\r\n\r\n");

    let mut sender = dial_http2(&emulator).await;
    let request = Request::post("http://h/emulator/reflect")
        .body(())
        .expect("a request");
    let (response, mut body) = sender.send_request(request, false).expect("sent");
    let mut reply = response.await.expect("a reply before the body").into_body();
    for piece in ["one", "two"] {
        body.send_data(piece.into(), false).expect("sent");
        assert_eq!(reply.data().await.expect("data").expect("data"), piece);
    }
}

#[tokio::test]
async fn a_client_may_close_its_half_and_still_be_answered() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    let request = "GET /emulator/half-close HTTP/1.1\r\nHost: h\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    read_until(&mut socket, "open\n\r\n").await;
    socket.shutdown().await.expect("half closed");
    let mut rest = String::new();
    socket
        .read_to_string(&mut rest)
        .await
        .expect("read to the end");
    assert!(rest.contains("the client has closed its half\n"), "{rest}");

    let mut sender = dial_http2(&emulator).await;
    let request = Request::post("http://h/emulator/half-close")
        .body(())
        .expect("a request");
    let (response, mut body) = sender.send_request(request, false).expect("sent");
    let mut reply = response.await.expect("a reply before the body").into_body();
    assert_eq!(reply.data().await.expect("data").expect("data"), "open\n");
    body.send_data(Bytes::new(), true).expect("half closed");
    let rest = reply.data().await.expect("data").expect("data");
    assert_eq!(rest, "the client has closed its half\n");
}

#[tokio::test]
async fn the_index_names_every_endpoint() {
    let emulator = emulator().await;
    let index = call(&emulator, Http::One, get("/emulator/", &[])).await;
    for line in index.text().lines().filter(|line| line.starts_with('/')) {
        let path = line.split([' ', '?']).next().expect("a path");
        let response = send(&emulator, Http::Two, get(path, &[]))
            .await
            .expect("a reply");
        assert_ne!(response.status(), 404, "{path}");
    }
    let unknown = call(&emulator, Http::One, get("/emulator/unknown", &[])).await;
    assert_eq!(unknown.status, 404);
    let mut body = send(&emulator, Http::One, get("/emulator/", &[]))
        .await
        .expect("a reply");
    assert!(body.frame().await.is_some());
}
