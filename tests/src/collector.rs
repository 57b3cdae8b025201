//! An OpenTelemetry collector, as far as it receives: OTLP over HTTP and gRPC,
//! strict about both, with everything it was sent decoded.
//!
//! A request that breaks the protocol gets the refusal it deserves and is kept as
//! a complaint, so that a test that waits for telemetry says why there is none.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::output::PATIENCE;

/// How a request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Protobuf in HTTP/1.1.
    Http,
    /// gRPC.
    Grpc,
}

/// A message, decoded.
#[derive(Clone, Debug)]
pub enum Telemetry {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

/// One request that was taken.
#[derive(Clone, Debug)]
pub struct Received {
    /// How it arrived.
    pub transport: Transport,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The message as it was on the wire, without compression.
    pub wire: Bytes,
    /// What it said.
    pub telemetry: Telemetry,
}

/// How the collector treats requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Takes them.
    #[default]
    Takes,
    /// Answers that it is unavailable, so many times, and then takes them.
    IsBusy(u32),
    /// Reads them and never answers.
    Hangs,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    complaints: Vec<String>,
    busy: u32,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    hangs: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running collector. It ends when this is dropped.
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Listens on `address`, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The address is not to be had.
    pub fn start(address: SocketAddr, manner: Manner) -> Result<Self> {
        Self::with(address, manner, None)
    }

    /// The same with TLS.
    ///
    /// # Errors
    /// The address is not to be had.
    pub fn start_tls(address: SocketAddr, tls: Arc<ServerConfig>) -> Result<Self> {
        Self::with(address, Manner::Takes, Some(tls.into()))
    }

    fn with(address: SocketAddr, manner: Manner, tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                busy: match manner {
                    Manner::IsBusy(times) => times,
                    Manner::Takes | Manner::Hangs => 0,
                },
                ..State::default()
            }),
            hangs: manner == Manner::Hangs,
            ..Shared::default()
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, tls, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it has taken so far.
    ///
    /// # Errors
    /// A request broke the protocol.
    pub fn received(&self) -> Result<Vec<Received>> {
        let state = self.shared.lock();
        ensure!(state.complaints.is_empty(), "{:?}", state.complaints);
        Ok(state.received.clone())
    }

    /// Waits until it has taken what the test is waiting for.
    ///
    /// # Errors
    /// It took too long, or a request broke the protocol.
    pub fn wait(&self, mut until: impl FnMut(&[Received]) -> bool) -> Result<Vec<Received>> {
        let state = self.shared.lock();
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| {
                state.complaints.is_empty() && !until(&state.received)
            })
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(state.complaints.is_empty(), "{:?}", state.complaints);
        ensure!(!timeout.timed_out(), "there is only {:?}", state.received);
        Ok(state.received.clone())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

async fn accept(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _peer)) = listener.accept().await {
        tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
    }
}

/// Tells the two transports apart by ALPN, or by the preface of HTTP/2.
async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    if let Some(tls) = tls {
        match tls.accept(stream).await {
            Ok(stream) => {
                let transport = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Transport::Grpc,
                    Some(_) | None => Transport::Http,
                };
                serve_http(stream, transport, shared).await;
            }
            Err(error) => {
                shared.lock().complaints.push(format!("TLS: {error}"));
                shared.changed.notify_all();
            }
        }
        return;
    }
    let mut first = [0; 3];
    while !matches!(stream.peek(&mut first).await, Ok(0 | 3) | Err(_)) {
        tokio::task::yield_now().await;
    }
    let transport = if &first == b"PRI" {
        Transport::Grpc
    } else {
        Transport::Http
    };
    serve_http(stream, transport, shared).await;
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    transport: Transport,
    shared: Arc<Shared>,
) {
    let io = TokioIo::new(stream);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, transport, &shared).await) }
    });
    // A client that leaves is the test's own business.
    match transport {
        Transport::Http => {
            let _left = server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        }
        Transport::Grpc => {
            let _left = server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await;
        }
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    transport: Transport,
    shared: &Shared,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    if shared.hangs {
        std::future::pending::<()>().await;
    }
    let is_busy = {
        let mut state = shared.lock();
        let is_busy = state.busy > 0;
        state.busy = state.busy.saturating_sub(1);
        is_busy
    };
    if is_busy {
        return response(transport, 503, "14");
    }
    let read = body
        .map_err(|error| anyhow!("a body broke off: {error}"))
        .and_then(|body| read(&head, &body, transport));
    let mut state = shared.lock();
    let answer = match read {
        Ok((wire, telemetry)) => {
            state.received.push(Received {
                transport,
                headers: head.headers,
                wire,
                telemetry,
            });
            response(transport, 200, "0")
        }
        Err(complaint) => {
            let complaint = format!("{} {}: {complaint:#}", head.method, head.uri);
            state.complaints.push(complaint);
            response(transport, 400, "3")
        }
    };
    shared.changed.notify_all();
    answer
}

/// An answer that says nothing but how it went.
fn response(transport: Transport, http: u16, grpc: &'static str) -> Response<Body> {
    let mut response = match transport {
        Transport::Http => Response::new(Full::new(Bytes::new()).boxed()),
        Transport::Grpc => {
            // An empty message, and the status behind it.
            let message = Frame::data(Bytes::from_static(&[0; 5]));
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static(grpc));
            let frames = [message, Frame::trailers(trailers)].map(Ok::<_, Infallible>);
            Response::new(Frames(frames.into_iter()).boxed())
        }
    };
    let (status, kind) = match transport {
        Transport::Http => (http, "application/x-protobuf"),
        Transport::Grpc => (200, "application/grpc"),
    };
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(kind));
    response
}

/// Frames of a body that are there already.
struct Frames(std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// The message of a request that keeps to the protocol.
fn read(
    head: &http::request::Parts,
    body: &Bytes,
    transport: Transport,
) -> Result<(Bytes, Telemetry)> {
    ensure!(head.method == "POST", "the method");
    let field = |name: &str| {
        let value = head.headers.get(name).map(http::HeaderValue::to_str);
        value.transpose().map(|it| it.unwrap_or_default())
    };
    let (message, coding) = match transport {
        Transport::Http => {
            ensure!(
                field("content-type")? == "application/x-protobuf",
                "the type"
            );
            ensure!(!field("host")?.is_empty(), "no host");
            (body.clone(), field("content-encoding")?)
        }
        Transport::Grpc => {
            ensure!(field("content-type")? == "application/grpc", "the type");
            ensure!(field("te")? == "trailers", "no promise to read trailers");
            let (frame, message) = body.split_at_checked(5).context("no frame")?;
            let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
            ensure!(message.len() == usize::try_from(length)?, "the length");
            ensure!(frame[0] <= 1, "the flag");
            let coding = match frame[0] {
                0 => "",
                _ => field("grpc-encoding")?,
            };
            (body.slice(5..), coding)
        }
    };
    let message = match coding {
        "" => message,
        "gzip" => {
            let mut plain = Vec::new();
            GzDecoder::new(message.as_ref()).read_to_end(&mut plain)?;
            plain.into()
        }
        other => bail!("the coding {other}"),
    };
    let telemetry = match head.uri.path() {
        "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
            Telemetry::Traces(Message::decode(message.clone())?)
        }
        "/v1/metrics" | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            Telemetry::Metrics(Message::decode(message.clone())?)
        }
        "/v1/logs" | "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
            Telemetry::Logs(Message::decode(message.clone())?)
        }
        _ => bail!("the path"),
    };
    let is_http_path = head.uri.path().starts_with("/v1/");
    ensure!(
        is_http_path == (transport == Transport::Http),
        "a path of the other transport"
    );
    Ok((message, telemetry))
}

/// All spans that were received.
#[must_use]
pub fn spans(received: &[Received]) -> Vec<&Span> {
    received
        .iter()
        .filter_map(|it| match &it.telemetry {
            Telemetry::Traces(traces) => Some(traces),
            Telemetry::Metrics(_) | Telemetry::Logs(_) => None,
        })
        .flat_map(|traces| &traces.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect()
}

/// The metrics of the last export that had any.
#[must_use]
pub fn metrics(received: &[Received]) -> Vec<&Metric> {
    let last = received.iter().rev().find_map(|it| match &it.telemetry {
        Telemetry::Metrics(metrics) => Some(metrics),
        Telemetry::Traces(_) | Telemetry::Logs(_) => None,
    });
    last.into_iter()
        .flat_map(|metrics| &metrics.resource_metrics)
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .collect()
}

/// All log records that were received.
#[must_use]
pub fn logs(received: &[Received]) -> Vec<&LogRecord> {
    received
        .iter()
        .filter_map(|it| match &it.telemetry {
            Telemetry::Logs(logs) => Some(logs),
            Telemetry::Traces(_) | Telemetry::Metrics(_) => None,
        })
        .flat_map(|logs| &logs.resource_logs)
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records)
        .collect()
}

/// An attribute as text; a list as its members with commas between.
#[must_use]
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    found.value.as_ref().map(shown)
}

fn shown(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => {
            let members: Vec<_> = list.values.iter().map(shown).collect();
            members.join(",")
        }
        other => format!("{other:?}"),
    }
}
