//! HTTP/1.1, as far as the client and the proxies of the benchmark speak it.

use std::io::Write;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::server::TlsStream;

use super::said::Said;
use crate::answer::{Answer, FIELD, asked_for};
use crate::framing::{self, Body};

/// Room for one read: most requests come in one.
const READ: usize = 4 * 1024;
/// A body up to this size is looked into: whether it asks for usage.
const READ_WHOLE_MAX: usize = 64 * 1024;
/// Of bytes that mean nothing, written at once.
const PIECE: usize = 64 * 1024;

/// A request that was read to its end.
struct Asked {
    answer: Answer,
    wants_usage: bool,
}

/// Serves a connection until the client closes it.
pub(super) async fn serve(mut tls: TlsStream<TcpStream>, said: &Said) -> Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(asked) = read(&mut tls, &mut buffer).await? {
        answer(&mut tls, said, &asked).await?;
    }
    Ok(())
}

async fn read(tls: &mut TlsStream<TcpStream>, buffer: &mut BytesMut) -> Result<Option<Asked>> {
    let head = loop {
        if let Some(head) = framing::head(buffer) {
            break head;
        }
        buffer.reserve(READ);
        if tls.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let answer = asked_for(head.field(FIELD))?;
    let mut left = match head.body()? {
        Body::Sized(length) => length,
        Body::None => 0,
        Body::Chunked => bail!("a request in chunks"),
    };
    let mut wants_usage = false;
    if left <= READ_WHOLE_MAX {
        while buffer.len() < left {
            buffer.reserve(left - buffer.len());
            if tls.read_buf(buffer).await? == 0 {
                bail!("cut short");
            }
        }
        let body = buffer.split_to(left);
        wants_usage = asks_for_usage(&body);
    } else {
        loop {
            let here = left.min(buffer.len());
            buffer.advance(here);
            left -= here;
            if left == 0 {
                break;
            }
            buffer.reserve(PIECE);
            if tls.read_buf(buffer).await? == 0 {
                bail!("cut short");
            }
        }
    }
    Ok(Some(Asked {
        answer,
        wants_usage,
    }))
}

/// Whether a body of chat completions does, in the way that all write it.
pub(super) fn asks_for_usage(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"\"include_usage\"").is_some()
}

async fn answer(tls: &mut TlsStream<TcpStream>, said: &Said, asked: &Asked) -> Result<()> {
    match asked.answer {
        Answer::Document { bytes } => {
            let mut body = Vec::new();
            said.document(bytes, &mut body);
            let mut out = Vec::with_capacity(body.len() + 256);
            write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )?;
            out.append(&mut body);
            tls.write_all(&out).await?;
            tls.flush().await?;
        }
        Answer::Bytes { count } => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                 Content-Length: {count}\r\n\r\n"
            );
            tls.write_all(head.as_bytes()).await?;
            let piece = vec![0x5a; PIECE];
            let mut left = count;
            while left > 0 {
                let here = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let part = piece.get(..here).context("no more than a piece")?;
                tls.write_all(part).await?;
                left -= here as u64;
            }
            tls.flush().await?;
        }
        Answer::Events { count, gap } => {
            // nginx passes such an answer on as it comes, however it is set.
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            tls.write_all(head.as_bytes()).await?;
            let mut stream = said.stream(count, asked.wants_usage);
            let mut due = Instant::now();
            let mut event = Vec::with_capacity(512);
            let mut out = Vec::with_capacity(512);
            while stream.event(&mut event)? {
                chunk(&mut out, &mut event)?;
                tls.write_all(&out).await?;
                tls.flush().await?;
                out.clear();
                if !gap.is_zero() {
                    due += gap;
                    sleep_until(due).await;
                }
            }
            stream.end(&mut event);
            chunk(&mut out, &mut event)?;
            out.extend_from_slice(b"0\r\n\r\n");
            tls.write_all(&out).await?;
            tls.flush().await?;
        }
    }
    Ok(())
}

/// Moves `payload` into a chunk behind `out`.
fn chunk(out: &mut Vec<u8>, payload: &mut Vec<u8>) -> Result<()> {
    write!(out, "{:x}\r\n", payload.len())?;
    out.append(payload);
    out.extend_from_slice(b"\r\n");
    Ok(())
}
