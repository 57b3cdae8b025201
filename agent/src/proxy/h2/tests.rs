//! The relay between an HTTP/2 client and server: frames in, frames out.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Instant,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::{Reason as Code, RecvStream, SendStream, client, server};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, duplex},
    sync::oneshot,
    task::JoinSet,
};

use super::{
    cork::cork,
    departures::Departures,
    pump::{Outgoing, Passed, pump},
    served::Served,
};
use crate::{
    config::Propagate,
    meter::{
        exchange::Meter,
        prices::PriceTable,
        reason::{Decision, Reason},
        record::{OutcomeKind, Record, RecordSink},
    },
    proxy::testing::{Relayed, Version, within},
};

type Requests = client::SendRequest<Bytes>;
pub(super) type Connection = server::Connection<tokio::net::TcpStream, Bytes>;

/// Runs a test between a client and a server behind the relay, and returns the
/// records that were made.
async fn between<F>(test: impl FnOnce(Requests, Connection) -> F) -> Vec<Record>
where
    F: Future<Output = ()>,
{
    between_in(Relayed::start(Version::Http2).await, test).await
}

async fn between_in<F>(
    mut relayed: Relayed,
    test: impl FnOnce(Requests, Connection) -> F,
) -> Vec<Record>
where
    F: Future<Output = ()>,
{
    let idle = || async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap()
    };
    let client = std::mem::replace(&mut relayed.client, idle().await);
    let server = std::mem::replace(&mut relayed.server, idle().await);
    let (client, server) =
        within(async { tokio::join!(client::handshake(client), server::handshake(server)) }).await;
    let (requests, connection) = client.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    within(test(requests, server.unwrap())).await;
    driver.shutdown().await;
    relayed.records().await
}

pub(super) fn request(path: &str) -> Request<()> {
    Request::post(format!("https://api.openai.com{path}"))
        .body(())
        .unwrap()
}

/// Lets a server connection make progress while it does nothing else.
pub(super) fn drive(mut server: Connection) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { while server.accept().await.is_some() {} });
    tasks
}

/// Sends a whole body as its windows allow.
async fn send(to: &mut SendStream<Bytes>, body: Vec<u8>) {
    let departures = Departures::default();
    departures.end();
    let mut outgoing = Outgoing {
        stream: to,
        unasked: 0,
        departures: &departures,
    };
    outgoing.send(body.into(), true).await.unwrap();
}

async fn read(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(data) = poll_fn(|context| body.poll_data(context)).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    (bytes, body.trailers().await.unwrap())
}

#[tokio::test]
async fn bodies_trailers_and_interim_responses_pass_both_ways() {
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let mut asked = request("/v1/files");
        asked
            .headers_mut()
            .append("cookie", HeaderValue::from_static("a=1"));
        asked
            .headers_mut()
            .append("cookie", HeaderValue::from_static("b=2"));
        asked
            .headers_mut()
            .insert("te", HeaderValue::from_static("trailers"));
        let (mut response, mut body) = requests.send_request(asked, false).unwrap();
        body.send_data(Bytes::from_static(b"request"), false)
            .unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        body.send_trailers(trailers.clone()).unwrap();

        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let _driver = drive(server);
        assert_eq!(request.uri(), "https://api.openai.com/v1/files");
        assert_eq!(request.headers().get_all("cookie").iter().count(), 2);
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(
            read(&mut request.into_body()).await,
            (b"request".to_vec(), Some(trailers))
        );
        let hints = Response::builder()
            .status(103)
            .header("link", "</a>")
            .body(())
            .unwrap();
        respond.send_informational(hints).unwrap();
        let head = Response::builder().header("x-b", "1").body(()).unwrap();
        let mut sending = respond.send_response(head, false).unwrap();
        sending
            .send_data(Bytes::from_static(b"response"), false)
            .unwrap();
        let mut status = HeaderMap::new();
        status.insert("grpc-status", HeaderValue::from_static("0"));
        sending.send_trailers(status.clone()).unwrap();

        let interim = poll_fn(|context| response.poll_informational(context))
            .await
            .unwrap();
        assert_eq!(interim.unwrap().headers()["link"], "</a>");
        let answered = response.await.unwrap();
        assert_eq!(answered.headers()["x-b"], "1");
        assert_eq!(
            read(&mut answered.into_body()).await,
            (b"response".to_vec(), Some(status))
        );
    })
    .await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, OutcomeKind::Complete);
    assert_eq!((records[0].bytes_sent, records[0].bytes_received), (7, 8));
}

/// Keeps no record, and panics at one of them.
struct Panicking;

impl Panicking {
    const STATUS: u16 = 418;
}

impl RecordSink for Panicking {
    fn record(&self, record: Record) {
        assert_ne!(record.status, Some(Self::STATUS), "what this test is about");
    }
}

#[tokio::test]
async fn a_stream_that_panics_leaves_the_others_alone() {
    let relayed = Relayed::start_with(Version::Http2, |proxy| {
        let prices = Arc::new(PriceTable::builtin());
        proxy.meter = Meter::new(Instant::now, Arc::new(Panicking), prices);
    })
    .await;
    let records = between_in(relayed, |requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let (before, _) = requests.send_request(request("/v1/a"), true).unwrap();
        let (_, mut respond_before) = server.accept().await.unwrap().unwrap();
        let (panics, _) = requests.send_request(request("/v1/b"), true).unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(Panicking::STATUS).unwrap();
        respond.send_response(head, true).unwrap();
        let (sender, mut accepted) = tokio::sync::mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(Ok((_, respond))) = server.accept().await {
                sender.send(respond).await.unwrap();
            }
        });
        assert_eq!(panics.await.unwrap().status(), Panicking::STATUS);
        // One that was open, and one that comes later.
        respond_before
            .send_response(Response::new(()), true)
            .unwrap();
        assert_eq!(before.await.unwrap().status(), StatusCode::OK);
        let (after, _) = requests.send_request(request("/v1/c"), true).unwrap();
        let mut respond = accepted.recv().await.unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        assert_eq!(after.await.unwrap().status(), StatusCode::OK);
    })
    .await;
    assert_eq!(records.len(), 0);
}

#[tokio::test]
async fn what_streams_have_to_say_at_once_leaves_at_once() {
    const STREAMS: usize = 8;
    let (near, far) = duplex(64 * 1024);
    let (near, cork) = cork(near);
    let departures = cork.departures();
    let (server, client) = within(async {
        tokio::join!(cork.around(server::handshake(near)), client::handshake(far))
    })
    .await;
    let _client: (Requests, _) = client.unwrap();
    let server: server::Connection<_, Bytes> = server.unwrap();
    let (_upstream, ended) = oneshot::channel();
    let mut served = Served::new(server, cork, ended.shared());
    let early = Arc::new(AtomicUsize::new(0));
    for _ in 0..STREAMS {
        let (early, departure) = (Arc::clone(&early), departures.next());
        served.add(async move {
            if departure.now_or_never().is_none() {
                early.fetch_add(1, Ordering::Relaxed);
            }
            // It has more to do, as one has that waits for what it said to leave.
            poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
        });
    }
    assert!(
        poll_fn(|context| served.poll_event(context))
            .now_or_never()
            .is_none()
    );
    assert_eq!(early.load(Ordering::Relaxed), STREAMS);
}

#[tokio::test]
async fn data_is_seen_only_when_it_has_left() {
    const ROOM: usize = 64 * 1024;
    let mut tasks = JoinSet::new();
    let (near, far) = duplex(ROOM);
    let (client, server) = tokio::join!(client::handshake(near), server::handshake(far));
    let (mut requests, connection) = client.unwrap();
    tasks.spawn(async { connection.await.unwrap() });
    let (_response, mut body) = requests.send_request(request("/"), false).unwrap();
    body.send_data("what it is".into(), true).unwrap();
    let mut server: server::Connection<_, Bytes> = server.unwrap();
    let (asked, _respond) = server.accept().await.unwrap().unwrap();
    tasks.spawn(async move { while server.accept().await.is_some() {} });

    let (near, mut far) = duplex(ROOM);
    let (near, cork) = cork(near);
    let departures = cork.departures();
    let (mut requests, moving) = cork.around(client::handshake(near)).await.unwrap();
    tasks.spawn(async move { cork.around(moving).await.unwrap() });
    let (_response, mut stream) = requests.send_request(request("/"), false).unwrap();
    let mut outgoing = Outgoing {
        stream: &mut stream,
        unasked: 0,
        departures: &departures,
    };
    let mut asked = asked.into_body();
    let mut seen = Vec::new();
    let pumped = pump(&mut asked, &mut outgoing, None, |passed| {
        let Passed::Data(data) = passed else {
            panic!("there are no trailers");
        };
        let mut left = vec![0; ROOM];
        let count = far.read(&mut left).now_or_never().unwrap().unwrap();
        assert!(left[..count].ends_with(data));
        seen.extend_from_slice(data);
    });
    assert!(within(pumped).await.is_ok());
    assert_eq!(seen, b"what it is");
}

#[tokio::test]
async fn a_body_larger_than_every_window_passes() {
    const LENGTH: usize = 12 * 1024 * 1024;
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let (response, mut body) = requests.send_request(request("/v1/files"), false).unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let _driver = drive(server);
        let upload = async {
            send(&mut body, vec![b'x'; LENGTH]).await;
        };
        let mut uploaded = request.into_body();
        let ((), (bytes, _)) = tokio::join!(upload, read(&mut uploaded));
        assert_eq!(bytes.len(), LENGTH);
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        let download = async {
            send(&mut sending, vec![b'y'; LENGTH]).await;
        };
        let mut answered = response.await.unwrap().into_body();
        let ((), (bytes, _)) = tokio::join!(download, read(&mut answered));
        assert_eq!(bytes.len(), LENGTH);
    })
    .await;
    assert_eq!(records[0].bytes_received, LENGTH as u64);
}

#[tokio::test]
async fn a_reset_by_either_end_reaches_the_other_with_its_code() {
    let records = between(|requests, mut server| async move {
        // By upstream, before and after the head.
        let mut requests = requests.ready().await.unwrap();
        let (response, _) = requests.send_request(request("/v1/a"), true).unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        respond.send_reset(Code::HTTP_1_1_REQUIRED);
        let (mut server_task, mut requests) = (JoinSet::new(), requests);
        let (sender, mut accepted) = tokio::sync::mpsc::channel(4);
        server_task.spawn(async move {
            while let Some(Ok(pair)) = server.accept().await {
                sender.send(pair).await.unwrap();
            }
        });
        assert_eq!(
            response.await.unwrap_err().reason(),
            Some(Code::HTTP_1_1_REQUIRED)
        );

        let (response, _) = requests.send_request(request("/v1/b"), true).unwrap();
        let (_, mut respond) = accepted.recv().await.unwrap();
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        sending.send_reset(Code::ENHANCE_YOUR_CALM);
        let error = poll_fn(|context| body.poll_data(context))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.reason(), Some(Code::ENHANCE_YOUR_CALM));

        // By the client, before and after the head.
        for answered in [false, true] {
            let (response, mut body) = requests.send_request(request("/v1/c"), false).unwrap();
            let (_request, mut respond) = accepted.recv().await.unwrap();
            if answered {
                let mut sending = respond.send_response(Response::new(()), false).unwrap();
                let response = response.await.unwrap();
                body.send_reset(Code::CANCEL);
                drop(response);
                let code = poll_fn(|context| sending.poll_reset(context))
                    .await
                    .unwrap();
                assert_eq!(code, Code::CANCEL);
            } else {
                body.send_reset(Code::CANCEL);
                let code = poll_fn(|context| respond.poll_reset(context))
                    .await
                    .unwrap();
                assert_eq!(code, Code::CANCEL);
            }
        }
    })
    .await;
    let outcomes: Vec<_> = records.iter().map(|record| record.outcome).collect();
    let upstream = outcomes
        .iter()
        .filter(|kind| **kind == OutcomeKind::UpstreamGone)
        .count();
    let client = outcomes
        .iter()
        .filter(|kind| **kind == OutcomeKind::ClientGone)
        .count();
    assert_eq!((upstream, client), (2, 2), "{outcomes:?}");
}

#[tokio::test]
async fn a_client_that_leaves_with_all_it_wanted_is_not_gone() {
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let (sender, mut accepted) = tokio::sync::mpsc::channel(4);
        let mut server_task = JoinSet::new();
        server_task.spawn(async move {
            while let Some(Ok(pair)) = server.accept().await {
                sender.send(pair).await.unwrap();
            }
        });
        let document = (("content-length", "4"), "done", "/v1/models");
        let stream = (
            ("content-type", "text/event-stream"),
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            "/v1/messages",
        );
        for ((name, value), said, path) in [document, stream] {
            let (response, mut asking) = requests.send_request(request(path), true).unwrap();
            let (_request, mut respond) = accepted.recv().await.unwrap();
            let head = Response::builder().header(name, value).body(()).unwrap();
            let mut sending = respond.send_response(head, false).unwrap();
            sending
                .send_data(Bytes::from_static(said.as_bytes()), false)
                .unwrap();
            let mut body = response.await.unwrap().into_body();
            let got = poll_fn(|context| body.poll_data(context))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(got, said);
            asking.send_reset(Code::CANCEL);
            drop(body);
            poll_fn(|context| sending.poll_reset(context))
                .await
                .unwrap();
        }
    })
    .await;
    let outcomes: Vec<_> = records.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [OutcomeKind::Complete; 2]);
    assert!(records.iter().all(|record| record.error.is_none()));
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let (slow, _) = requests.send_request(request("/v1/slow"), true).unwrap();
        let (_, mut hold) = server.accept().await.unwrap().unwrap();
        let (fast, _) = requests.send_request(request("/v1/fast"), true).unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        let _driver = drive(server);
        respond.send_response(Response::new(()), true).unwrap();
        assert_eq!(fast.await.unwrap().status(), StatusCode::OK);
        hold.send_response(Response::new(()), true).unwrap();
        assert_eq!(slow.await.unwrap().status(), StatusCode::OK);
    })
    .await;
    assert_eq!(records.len(), 2);
}

#[tokio::test]
async fn a_goaway_lets_streams_finish_and_sends_new_requests_elsewhere() {
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let (first, _) = requests.send_request(request("/v1/a"), true).unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        server.graceful_shutdown();
        let _driver = drive(server);
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        let mut body = first.await.unwrap().into_body();
        // Until the relay has seen the GOAWAY, requests are still taken there;
        // none of them is answered, and none may be left hanging.
        loop {
            let Ok(mut more) = requests.clone().ready().await else {
                break;
            };
            let Ok((response, _)) = more.send_request(request("/v1/b"), true) else {
                break;
            };
            let error = response.await.unwrap_err();
            if error.reason() == Some(Code::REFUSED_STREAM) {
                break;
            }
        }
        sending
            .send_data(Bytes::from_static(b"finished"), true)
            .unwrap();
        assert_eq!(read(&mut body).await.0, b"finished");
    })
    .await;
    let complete = records
        .iter()
        .filter(|record| record.outcome == OutcomeKind::Complete);
    assert_eq!(complete.count(), 1);
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected_and_not_forwarded() {
    let records = between(|requests, server| async move {
        let mut requests = requests.ready().await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut server = server;
            assert!(
                server.accept().await.is_none(),
                "a misdirected request was forwarded"
            );
        });
        for (authority, host) in [
            ("api.anthropic.com", None),
            ("api.openai.com:8443", None),
            ("api.openai.com", Some("api.anthropic.com")),
        ] {
            let mut asked = Request::get(format!("https://{authority}/"))
                .body(())
                .unwrap();
            if let Some(host) = host {
                asked
                    .headers_mut()
                    .insert("host", HeaderValue::from_static(host));
            }
            let (response, _) = requests.send_request(asked, true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(response.headers()["x-weir-reason"], "authority_mismatch");
        }
    })
    .await;
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| {
        (record.decision, record.reason) == (Decision::Refuse, Reason::AuthorityMismatch)
    }));
}

#[tokio::test]
async fn usage_is_asked_for_and_its_traces_are_removed() {
    let chunk = |rest: &str| format!("data: {{\"id\":\"c\",\"model\":\"gpt-4o\",{rest}}}\n\n");
    let content = r#""choices":[{"index":0,"delta":{"content":"hi"}}]"#;
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let body = r#"{"model":"gpt-4o","stream":true}"#;
        let mut asked = request("/v1/chat/completions");
        asked
            .headers_mut()
            .insert("content-length", HeaderValue::from(body.len()));
        asked
            .headers_mut()
            .insert("accept-encoding", HeaderValue::from_static("gzip, br"));
        let (response, mut sending) = requests.send_request(asked, false).unwrap();
        sending
            .send_data(Bytes::from_static(body.as_bytes()), true)
            .unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let _driver = drive(server);
        assert_eq!(request.headers()["accept-encoding"], "identity");
        let length = request.headers()["content-length"]
            .to_str()
            .unwrap()
            .to_owned();
        let (asked, _) = read(&mut request.into_body()).await;
        let expected =
            r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true}}"#;
        assert_eq!(std::str::from_utf8(&asked).unwrap(), expected);
        assert_eq!(length, expected.len().to_string());
        let head = Response::builder().header("content-type", "text/event-stream");
        let mut sending = respond
            .send_response(head.body(()).unwrap(), false)
            .unwrap();
        for event in [
            chunk(&format!("{content},\"usage\":null")),
            chunk(r#""choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}"#),
            "data: [DONE]\n\n".to_owned(),
        ] {
            sending.send_data(event.into(), false).unwrap();
        }
        sending.send_data(Bytes::new(), true).unwrap();
        let (got, _) = read(&mut response.await.unwrap().into_body()).await;
        let expected = chunk(content) + "data: [DONE]\n\n";
        assert_eq!(std::str::from_utf8(&got).unwrap(), expected);
    })
    .await;
    assert_eq!(
        (records[0].input_tokens, records[0].output_tokens),
        (Some(9), Some(1))
    );
    assert_eq!(records[0].rules, ["stream_usage"]);
}

/// The trace contexts that upstream gets of a request with this one, and the
/// record.
async fn carried(propagate: Propagate, context: Option<&'static str>) -> (Vec<String>, Record) {
    let relayed = Relayed::start_with(Version::Http2, |proxy| proxy.propagate = propagate).await;
    let mut got = Vec::new();
    let seen = &mut got;
    let mut records = between_in(relayed, |requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let mut asked = request("/v1/models");
        if let Some(context) = context {
            let context = HeaderValue::from_static(context);
            asked.headers_mut().insert("traceparent", context);
        }
        let (response, _body) = requests.send_request(asked, true).unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let _driver = drive(server);
        let contexts = request.headers().get_all("traceparent").iter();
        seen.extend(contexts.map(|it| it.to_str().unwrap().to_owned()));
        respond.send_response(Response::new(()), true).unwrap();
        response.await.unwrap();
    })
    .await;
    assert_eq!(records.len(), 1);
    (got, records.remove(0))
}

#[tokio::test]
async fn the_trace_context_is_carried_on_only_if_configured() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    for context in [None, Some(PARENT)] {
        let (got, record) = carried(Propagate::On, context).await;
        assert_eq!(got, [record.trace.unwrap().context()]);
        assert_eq!(record.rules, ["trace_context"]);
        let (got, record) = carried(Propagate::Off, context).await;
        assert_eq!(got, Vec::from_iter(context));
        assert!(record.rules.is_empty());
    }
}

/// A call of xAI's over gRPC, with what upstream says in the head, in the body
/// and behind it.
async fn grpc(head: Response<()>, body: &'static [u8], trailers: Option<HeaderMap>) -> Record {
    let records = between(|requests, mut server| async move {
        let mut requests = requests.ready().await.unwrap();
        let mut asked = request("/xai_api.Chat/GetCompletionChunk");
        let grpc = HeaderValue::from_static("application/grpc");
        asked.headers_mut().insert("content-type", grpc.clone());
        let (response, _body) = requests.send_request(asked, true).unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        let _driver = drive(server);
        let mut head = head;
        head.headers_mut().insert("content-type", grpc);
        let mut sending = respond.send_response(head, body.is_empty()).unwrap();
        // Frames that align with no message.
        for piece in body.chunks(7) {
            sending.send_data(Bytes::from_static(piece), false).unwrap();
        }
        if let Some(trailers) = &trailers {
            sending.send_trailers(trailers.clone()).unwrap();
        }
        let answered = response.await.unwrap();
        let got = read(&mut answered.into_body()).await;
        assert_eq!(got, (body.to_vec(), trailers));
    })
    .await;
    let [record] = <[Record; 1]>::try_from(records).expect("one record");
    record
}

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(code),
    )])
}

#[tokio::test]
async fn a_grpc_stream_is_metered_and_its_status_is_the_outcome() {
    const STREAM: &[u8] =
        include_bytes!("../../../../tests/fixtures/llm/xai_grpc/stream/response.body");
    let record = grpc(Response::new(()), STREAM, Some(status("0"))).await;
    assert_eq!(
        (record.input_tokens, record.output_tokens),
        (Some(40), Some(31))
    );
    assert_eq!((record.error, record.stream), (None, Some(true)));
    let record = grpc(Response::new(()), STREAM, Some(status("14"))).await;
    assert_eq!(record.error.as_deref(), Some("UNAVAILABLE"));
    // The status of a call that has nothing else to say is in the head.
    let mut head = Response::new(());
    head.headers_mut().extend(status("8"));
    let record = grpc(head, b"", None).await;
    assert_eq!(record.error.as_deref(), Some("RESOURCE_EXHAUSTED"));
    assert_eq!((record.status, record.input_tokens), (Some(200), None));
}
