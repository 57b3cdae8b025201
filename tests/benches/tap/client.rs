//! The client: makes the calls of a turn one after the other, on one connection.
//!
//! It runs as a process of its own, under weir or not, and knows of neither. A
//! turn is asked for by a line of JSON on standard input and answered by one on
//! standard output.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use serde::{Deserialize, Serialize};
use weir_tests::bench::clock::{delay_ns, now_ns};
use weir_tests::bench::tls::{self, Sessions};
use weir_tests::calls::Call;
use weir_tests::curl::Http;
use weir_tests::world::PROVIDER;

use crate::shape::Shape;

/// A turn to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Index into [`Shape::ALL`].
    pub(crate) shape: usize,
    /// With pauses between the events, for their delays.
    pub(crate) paced: bool,
}

/// What the client has got.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Got {
    /// Of bodies, as received, in bytes.
    pub(crate) received: u64,
    /// Of bodies, as sent, in bytes.
    pub(crate) sent: u64,
    /// Events, where they can be seen.
    pub(crate) events: u64,
    /// Of all bodies received.
    pub(crate) digest: u64,
    /// From the writing of each event to its arrival, in nanoseconds.
    pub(crate) delays_ns: Vec<u64>,
}

/// Serves turns until its input ends.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let roots = tls::roots()?;
    for line in std::io::stdin().lock().lines() {
        let turn: Turn = serde_json::from_str(&line?)?;
        let got = runtime.block_on(make(&roots, turn))?;
        println!("{}", serde_json::to_string(&got)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn make(roots: &Arc<RootCertStore>, turn: Turn) -> Result<Got> {
    let shape = *Shape::ALL.get(turn.shape).context("no such shape")?;
    let calls: Vec<Call> = if turn.paced {
        vec![shape.paced_call()]
    } else {
        (0..shape.calls).map(|number| shape.call(number)).collect()
    };
    let connector = tls::connector(roots, shape.http, Sessions::Resumed);
    let (provider, host) = (SocketAddr::new(PROVIDER, 443), shape.surface.host());
    let io = TokioIo::new(tls::connect(&connector, provider, host).await?);
    let mut got = Got::default();
    let mut digest = DefaultHasher::new();
    match shape.http {
        Http::H1 => {
            let (mut sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            for call in &calls {
                sender.ready().await?;
                let request = request(call, &mut got)?;
                let response = sender.send_request(request).await?;
                read(response, shape, turn, &mut got, &mut digest).await?;
            }
        }
        Http::H2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            for call in &calls {
                sender.ready().await?;
                let request = request(call, &mut got)?;
                let response = sender.send_request(request).await?;
                read(response, shape, turn, &mut got, &mut digest).await?;
            }
        }
    }
    got.digest = digest.finish();
    Ok(got)
}

fn request(call: &Call, got: &mut Got) -> Result<Request<Full<Bytes>>> {
    let (host, path) = (call.surface.host(), call.surface.path());
    let mut request = match call.http {
        Http::H1 => Request::post(path).header(header::HOST, host),
        Http::H2 => Request::post(format!("https://{host}{path}")),
    };
    for (name, value) in call.headers() {
        request = request.header(name, value);
    }
    let body = call.body().to_string();
    got.sent += body.len() as u64;
    Ok(request.body(Full::new(body.into()))?)
}

async fn read(
    response: Response<Incoming>,
    shape: Shape,
    turn: Turn,
    got: &mut Got,
    digest: &mut DefaultHasher,
) -> Result<()> {
    let status = response.status();
    let mut incoming = response.into_body();
    let (mut body, mut seen, mut is_first) = (Vec::new(), 0, true);
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let arrived = now_ns();
        body.extend_from_slice(&data);
        if !shape.has_events() {
            continue;
        }
        while let Some(length) = memchr::memmem::find(&body[seen..], b"\n\n") {
            let event = &body[seen..seen + length];
            // The first waits for the head, and not for a gap.
            if turn.paced && !std::mem::take(&mut is_first) {
                got.delays_ns.push(delay_ns(event, arrived)?);
            }
            got.events += 1;
            seen += length + 2;
        }
    }
    ensure!(
        status == 200,
        "{shape}: {status}: {}",
        String::from_utf8_lossy(&body)
    );
    got.received += body.len() as u64;
    digest.write(&body);
    digest.write_usize(body.len());
    Ok(())
}
