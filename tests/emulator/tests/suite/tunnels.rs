//! Connections that leave HTTP.

use bytes::Bytes;
use http::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Http, call, dial, emulator, get, read_until};

#[tokio::test]
async fn an_upgraded_connection_returns_every_byte_until_it_is_closed() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    // The first bytes of the new protocol come with the request.
    let request = "GET /emulator/upgrade HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
                   Upgrade: weir-test\r\n\r\nearly";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let reply = read_until(&mut socket, "early").await;
    assert!(
        reply.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{reply}"
    );
    assert!(reply.contains("\r\nUpgrade: weir-test\r\n"), "{reply}");
    socket.write_all(b"\x00\xff late").await.expect("sent");
    socket.shutdown().await.expect("half closed");
    let mut rest = Vec::new();
    socket
        .read_to_end(&mut rest)
        .await
        .expect("read to the end");
    assert_eq!(rest, b"\x00\xff late");
    let refused = call(&emulator, Http::One, get("/emulator/upgrade", &[])).await;
    assert_eq!(refused.status, 426);
}

/// RFC 6455, section 5.7: "Hello" as a client sends it, and as a server does.
const HELLO: [u8; 11] = [
    0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
];
const HELLO_BACK: &[u8] = b"\x81\x05Hello";
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
const CLOSE_BACK: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

#[tokio::test]
async fn a_websocket_returns_messages_and_closes_when_asked() {
    let emulator = emulator().await;
    let mut socket = dial(&emulator).await;
    let request = "GET /emulator/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let reply = read_until(&mut socket, "\r\n\r\n").await;
    assert!(
        reply.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{reply}"
    );
    for byte in HELLO {
        socket.write_all(&[byte]).await.expect("sent");
    }
    socket.write_all(&CLOSE).await.expect("sent");
    let mut rest = Vec::new();
    socket
        .read_to_end(&mut rest)
        .await
        .expect("read to the end");
    assert_eq!(rest, [HELLO_BACK, &CLOSE_BACK].concat());
}

#[tokio::test]
async fn a_websocket_runs_over_http2_too() {
    let emulator = emulator().await;
    let (sender, mut connection) = h2::client::handshake(dial(&emulator).await)
        .await
        .expect("a handshake");
    // Extended CONNECT is open once the server's settings have arrived.
    let mut sender = sender.ready().await.expect("ready");
    while !sender.is_extended_connect_protocol_enabled() {
        std::future::poll_fn(|context| {
            let ended = std::pin::Pin::new(&mut connection).poll(context);
            assert!(ended.is_pending(), "{ended:?}");
            if sender.is_extended_connect_protocol_enabled() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
    tokio::spawn(connection);
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "http://h/emulator/websocket".parse().expect("a URI");
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut body) = sender.send_request(request, false).expect("sent");
    let response = response.await.expect("a reply");
    assert_eq!(response.status(), 200);
    let mut reply = response.into_body();
    body.send_data(Bytes::copy_from_slice(&HELLO), false)
        .expect("sent");
    assert_eq!(reply.data().await.expect("data").expect("data"), HELLO_BACK);
    body.send_data(Bytes::copy_from_slice(&CLOSE), false)
        .expect("sent");
    assert_eq!(
        reply.data().await.expect("data").expect("data"),
        &CLOSE_BACK[..]
    );
    while let Some(rest) = reply.data().await {
        assert_eq!(rest.expect("an end without an error"), "");
    }
}
