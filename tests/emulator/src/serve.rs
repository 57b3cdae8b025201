//! From an accepted connection to its exchanges.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::api::{self, Call, Memory, Refusal};
use crate::builder::Ids;
use crate::coding::REQUEST_BYTES_MAX;
use crate::controls::Controls;
use crate::fault::Fault;
use crate::ledger::{Api, Ended, Entry, Ledger, Told, UsageTold};
use crate::wire::fields::Fields;
use crate::wire::socket::Socket;
use crate::wire::{BodyError, Framing, Head, HeadPace, Origin, Request, Wire, http1, http2};
use crate::{delivery, sockets, utility};

/// What a client sends first to speak HTTP/2 without ALPN (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all exchanges of an emulator share.
pub(crate) struct Emulation {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) memory: Memory,
    pub(crate) defaults: Controls,
    pub(crate) ids: Ids,
}

impl Emulation {
    /// What has part in the seed of an exchange besides its content.
    pub(crate) fn salt(&self, number: u64) -> String {
        match self.ids {
            Ids::ByContent => String::new(),
            Ids::Unique => number.to_string(),
        }
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(mut socket: Socket, origin: Origin, emulation: Arc<Emulation>) {
    match origin.alpn.as_deref() {
        Some("h2") => serve_http2(socket, origin, emulation).await,
        Some(_) => serve_http1(socket, BytesMut::new(), origin, emulation).await,
        None => {
            let mut inbound = BytesMut::new();
            while HTTP2_PREFACE.starts_with(&inbound) && inbound.len() < HTTP2_PREFACE.len() {
                match socket.read_buf(&mut inbound).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
            if inbound.starts_with(HTTP2_PREFACE) {
                let (read, write) = tokio::io::split(socket);
                let read = std::io::Cursor::new(inbound).chain(read);
                serve_http2(tokio::io::join(read, write), origin, emulation).await;
            } else {
                serve_http1(socket, inbound, origin, emulation).await;
            }
        }
    }
}

async fn serve_http1(socket: Socket, inbound: BytesMut, origin: Origin, emulation: Arc<Emulation>) {
    let mut connection = http1::Connection::new(socket, origin, inbound);
    loop {
        match connection.request().await {
            Ok(Some(request)) => {
                exchange(request, Wire::Http1(&mut connection), &emulation).await;
                if !connection.reusable().await {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "request refused");
                refuse_head(&mut connection, &error).await;
                break;
            }
        }
    }
    connection.close().await;
}

/// Answers a head that cannot be parsed; it makes no exchange.
async fn refuse_head(connection: &mut http1::Connection, error: &http1::HeadError) {
    let body = format!("{error}\n");
    let head = Head {
        status: error.status(),
        fields: Fields::new()
            .with("Content-Type", "text/plain")
            .with("Content-Length", body.len().to_string())
            .with("x-weir-emulator", "1"),
    };
    let mut wire = Wire::Http1(connection);
    let sent = async {
        wire.head(&head, Framing::UntilClose, HeadPace::AtOnce)
            .await?;
        wire.write(Bytes::from(body)).await
    };
    // A client that sent this may not wait for the answer.
    sent.await.ok();
}

async fn serve_http2<S>(socket: S, origin: Origin, emulation: Arc<Emulation>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let handshake = h2::server::Builder::new()
        .initial_window_size(http2::WINDOW_BYTES)
        .initial_connection_window_size(http2::WINDOW_BYTES)
        .max_concurrent_streams(http2::STREAMS_MAX)
        .enable_connect_protocol()
        .handshake::<_, Bytes>(socket);
    let mut connection = match handshake.await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "HTTP/2 handshake failed");
            return;
        }
    };
    // Streams end with their connection: the set aborts them when dropped.
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (request, stream) = http2::open(request, respond, &origin);
                    let emulation = Arc::clone(&emulation);
                    streams.spawn(async move {
                        exchange(request, Wire::Http2(Box::new(stream)), &emulation).await;
                    });
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "HTTP/2 connection ended by an error");
                    break;
                }
                None => break,
            },
            Some(ended) = streams.join_next() => report(ended),
        }
    }
    // What is still open sees the connection gone, and says so in the ledger.
    drop(connection);
    while let Some(ended) = streams.join_next().await {
        report(ended);
    }
}

/// A task that panicked must not pass for one that ended.
pub(crate) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of the emulator panicked");
    }
}

/// Answers one request.
async fn exchange(request: Request, mut wire: Wire<'_>, emulation: &Emulation) {
    let api = api::surface(&request.method, request.path());
    let number = emulation.ledger.number();
    let entry = Entry::open(
        Arc::clone(&emulation.ledger),
        Told {
            number,
            api,
            request: format!("{} {}", request.method, request.path()),
            http: match request.version {
                http::Version::HTTP_2 => "2",
                http::Version::HTTP_10 => "1.0",
                _ => "1.1",
            }
            .to_owned(),
            authority: request.authority.clone(),
            server_name: request.origin.server_name.clone(),
            response_id: None,
            model: None,
            stream: false,
            status: None,
            input_tokens: 0,
            output_tokens: 0,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            reasoning_tokens: 0,
            usage_told: UsageTold::No,
            fault: None,
            ended: Ended::Stopped,
        },
    );
    let accept = request.header(header::ACCEPT_ENCODING.as_str());
    let controls = match Controls::of_request(&request.headers, &emulation.defaults) {
        Ok(controls) => controls,
        Err(error) => {
            let body = format!("{error}\n");
            let answer = Answer::plain(StatusCode::BAD_REQUEST, Fields::new(), "text/plain", body);
            let plain = Controls::default();
            return delivery::deliver(answer, accept, &plain, &mut wire, entry).await;
        }
    };
    if api == Api::Utility {
        return utility::answer(&request, &controls, &mut wire, entry).await;
    }
    if matches!(api, Api::ResponsesSocket | Api::Realtime | Api::GeminiLive) {
        return sockets::answer(api, &request, &controls, &mut wire, entry, emulation).await;
    }
    let provider = api::Provider::of(&request);
    let answer = if controls.fault == Some(Fault::ExpectRefuse) {
        Refusal::expectation().answer(provider)
    } else {
        match read_body(&mut wire).await {
            Ok(body) => {
                let call = Call {
                    request: &request,
                    received: OffsetDateTime::now_utc(),
                    controls: &controls,
                    salt: emulation.salt(number),
                    memory: &emulation.memory,
                };
                api::answer(api, &call, body)
            }
            Err(Unread::Body(BodyError::Gone(_))) => return entry.end(Ended::ClientGone),
            Err(Unread::Body(error @ BodyError::Malformed(_))) => {
                Refusal::invalid(error.to_string(), None).answer(provider)
            }
            Err(Unread::TooLarge) => Refusal::too_large().answer(provider),
        }
    };
    delivery::deliver(answer, accept, &controls, &mut wire, entry).await;
}

/// Why a body is not there.
enum Unread {
    Body(BodyError),
    TooLarge,
}

/// The whole request body.
async fn read_body(wire: &mut Wire<'_>) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(piece) = wire.body().await.map_err(Unread::Body)? {
        if body.len() + piece.len() > REQUEST_BYTES_MAX {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}
