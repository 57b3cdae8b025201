//! The client: some streams at once, and how late each event of theirs was.
//!
//! It runs as a process of its own, under weir or not, and knows of neither. A
//! turn is asked for by a line on standard input and answered by one on standard
//! output.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use weir_tests::bench::clock::{delay_ns, now_ns};
use weir_tests::bench::tls::{self, Sessions};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::Http;
use weir_tests::world::PROVIDER;

use crate::{GAP, STREAMS, TOKENS};

/// The argument by which this program is the client.
pub(crate) const ARGUMENT: &str = "--client";

/// The line that asks for a turn.
pub(crate) fn turn(http: Http, surface: Surface) -> String {
    format!("{http:?} {surface:?}")
}

/// Serves turns until its input ends.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let roots = tls::roots()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let asked = |http: &Http, surface: &Surface| turn(*http, *surface) == line;
        let (http, surface) = Http::ALL
            .into_iter()
            .flat_map(|http| Surface::ALL.map(|surface| (http, surface)))
            .find(|(http, surface)| asked(http, surface))
            .with_context(|| format!("no turn is called {line:?}"))?;
        let delays = runtime.block_on(measure(&roots, http, surface))?;
        let said: Vec<String> = delays.iter().map(ToString::to_string).collect();
        println!("{}", said.join(" "));
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn measure(roots: &Arc<RootCertStore>, http: Http, surface: Surface) -> Result<Vec<u64>> {
    let connector = tls::connector(roots, http, Sessions::Resumed);
    let provider = SocketAddr::new(PROVIDER, 443);
    let mut streams = JoinSet::new();
    match http {
        Http::H1 => {
            for number in 0..STREAMS {
                let connection = tls::connect(&connector, provider, surface.host()).await?;
                streams.spawn(over_http1(connection, surface, number));
            }
        }
        Http::H2 => {
            let connection = tls::connect(&connector, provider, surface.host()).await?;
            let (sender, connection) = h2::client::handshake(connection).await?;
            tokio::spawn(connection);
            for number in 0..STREAMS {
                streams.spawn(over_http2(sender.clone(), surface, number));
            }
        }
    }
    let mut delays = Vec::new();
    while let Some(stream) = streams.join_next().await {
        delays.extend(stream??);
    }
    Ok(delays)
}

/// The call of a stream: no two are the same.
fn call(surface: Surface, http: Http, number: usize) -> Call {
    Call::new(surface, Mode::Streamed, http, &number.to_string())
        .header("x-emulator-gap-ms", &GAP.as_millis().to_string())
        .header("x-emulator-tokens", &TOKENS.to_string())
        .header("x-emulator-stamp", "1")
}

async fn over_http1(
    mut connection: TlsStream<TcpStream>,
    surface: Surface,
    number: usize,
) -> Result<Vec<u64>> {
    let call = call(surface, Http::H1, number);
    let body = call.body().to_string();
    let mut request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
        surface.path(),
        surface.host(),
        body.len()
    );
    for (name, value) in call.headers() {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(&body);
    connection.write_all(request.as_bytes()).await?;
    connection.flush().await?;

    let mut events = Events::default();
    let mut chunks = Chunks::default();
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    while !chunks.ended {
        buffer.reserve(16 * 1024);
        ensure!(connection.read_buf(&mut buffer).await? > 0, "cut short");
        let arrived = now_ns();
        chunks.take(&mut buffer, |payload| events.see(payload, arrived))?;
    }
    Ok(events.delays)
}

async fn over_http2(
    sender: h2::client::SendRequest<Bytes>,
    surface: Surface,
    number: usize,
) -> Result<Vec<u64>> {
    let call = call(surface, Http::H2, number);
    let uri = format!("https://{}{}", surface.host(), surface.path());
    let mut request = http::Request::post(uri);
    for (name, value) in call.headers() {
        request = request.header(name, value);
    }
    let mut sender = sender.ready().await?;
    let (response, mut body) = sender.send_request(request.body(())?, false)?;
    body.send_data(call.body().to_string().into(), true)?;
    let response = response.await?;
    ensure!(response.status() == 200, "{response:?}");

    let mut events = Events::default();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        events.see(&data, now_ns())?;
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(events.delays)
}

/// Takes a head and then chunks of HTTP/1 apart as they arrive.
#[derive(Default)]
struct Chunks {
    has_head: bool,
    /// Of the chunk under way, the line end behind it included.
    left: usize,
    ended: bool,
}

impl Chunks {
    fn take(
        &mut self,
        buffer: &mut BytesMut,
        mut see: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            if self.left > 0 {
                const LINE_END: usize = 2;
                let here = self.left.min(buffer.len());
                let payload = self.left.saturating_sub(LINE_END).min(here);
                see(&buffer[..payload])?;
                buffer.advance(here);
                self.left -= here;
                if self.left > 0 {
                    return Ok(());
                }
            }
            let separator: &[u8] = if self.has_head { b"\r\n" } else { b"\r\n\r\n" };
            let Some(at) = find(buffer, separator) else {
                return Ok(());
            };
            let line = buffer.split_to(at + separator.len());
            if !self.has_head {
                ensure!(line.starts_with(b"HTTP/1.1 200 "), "{line:?}");
                self.has_head = true;
                continue;
            }
            let size = std::str::from_utf8(&line)?.trim();
            self.left = match usize::from_str_radix(size, 16)? {
                0 => {
                    self.ended = true;
                    return Ok(());
                }
                size => size + 2,
            };
        }
    }
}

/// Events as they become complete.
#[derive(Default)]
struct Events {
    pending: BytesMut,
    seen: usize,
    delays: Vec<u64>,
}

impl Events {
    /// Takes what `arrived` at a time on the monotonic clock.
    fn see(&mut self, payload: &[u8], arrived: u64) -> Result<()> {
        self.pending.extend_from_slice(payload);
        while let Some(at) = find(&self.pending, b"\n\n") {
            let event = self.pending.split_to(at + 2);
            self.seen += 1;
            // The first waits for the head, and not for a gap.
            if self.seen > 1 {
                self.delays.push(delay_ns(&event, arrived)?);
            }
        }
        Ok(())
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|it| it == part)
}
