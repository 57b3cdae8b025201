//! HTTP/2.

use std::future::poll_fn;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response, header};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::server::TlsStream;

use super::http1::asks_for_usage;
use super::said::Said;
use crate::answer::{Answer, FIELD, asked_for};

/// Of a stream and of a connection: uploads do not wait for it on a link without length.
const WINDOW: u32 = 4 * 1024 * 1024;
/// More than any case asks for at once.
const STREAMS_MAX: u32 = 4096;
/// Of bytes that mean nothing, sent at once.
const PIECE: usize = 64 * 1024;

/// Serves a connection until the client closes it.
pub(super) async fn serve(tls: TlsStream<TcpStream>, said: &Arc<Said>) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .handshake::<_, Bytes>(tls)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let said = Arc::clone(said);
        tokio::spawn(async move {
            // What a client makes of it is the client's to report.
            let _ended = exchange(request, respond, &said).await;
        });
    }
    Ok(())
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    said: &Said,
) -> Result<()> {
    let field = request.headers().get(FIELD);
    let answer = asked_for(field.map(|value| value.to_str()).transpose()?)?;
    let mut body = request.into_body();
    let mut wants_usage = false;
    while let Some(data) = body.data().await {
        let data = data?;
        wants_usage |= asks_for_usage(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    let content_type = match answer {
        Answer::Document { .. } => "application/json",
        Answer::Events { .. } => "text/event-stream",
        Answer::Bytes { .. } => "application/octet-stream",
    };
    let head = Response::builder().header(header::CONTENT_TYPE, content_type);
    match answer {
        Answer::Document { bytes } => {
            let mut out = Vec::with_capacity(bytes);
            said.document(bytes, &mut out);
            let head = head.header(header::CONTENT_LENGTH, out.len());
            let mut stream = respond.send_response(head.body(())?, false)?;
            send(&mut stream, out.into(), true).await
        }
        Answer::Bytes { count } => {
            let mut stream = respond.send_response(head.body(())?, false)?;
            let piece = Bytes::from(vec![0x5a; PIECE]);
            let mut left = count;
            while left > 0 {
                let here = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                left -= here as u64;
                send(&mut stream, piece.slice(..here), left == 0).await?;
            }
            Ok(())
        }
        Answer::Events { count, gap } => {
            let mut stream = respond.send_response(head.body(())?, false)?;
            let mut events = said.stream(count, wants_usage);
            let mut due = Instant::now();
            let mut event = Vec::with_capacity(512);
            while events.event(&mut event)? {
                send(&mut stream, std::mem::take(&mut event).into(), false).await?;
                if !gap.is_zero() {
                    due += gap;
                    sleep_until(due).await;
                }
            }
            events.end(&mut event);
            send(&mut stream, event.into(), true).await
        }
    }
}

/// Sends as the window allows.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, is_end: bool) -> Result<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let allowed = poll_fn(|context| stream.poll_capacity(context)).await;
        let allowed = allowed.context("the stream was reset")??.min(data.len());
        let part = data.split_to(allowed);
        stream.send_data(part, is_end && data.is_empty())?;
    }
    Ok(())
}
