//! Sends requests to a collector: protobuf over HTTP/1.1, or gRPC over HTTP/2.
//!
//! One connection, made when it is needed and kept. Its TLS is verified like
//! that of any upstream. These connections are weir's own: the kernel half does
//! not capture them, and nothing of an application is on them.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};

use super::settings::{Compression, Endpoint, Signal};
use crate::{
    config::{OtlpProtocol, UpstreamRoot},
    tls::{
        roots::{self, RootsError},
        upstream::{Handshaken, Upstream, UpstreamTlsError},
    },
};

/// Longest answer that is read: it says how many items were refused, in a line.
const ANSWER_LEN_MAX: usize = 64 * 1024;
/// The first wait before a request is tried again; each next one is twice as long.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// Longest wait that is asked for by the collector and granted.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("{0}")]
    Tls(#[from] UpstreamTlsError),
    #[error("it wants a client certificate, which weir does not present")]
    WantsClientCertificate,
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("cannot make the request: {0}")]
    Request(#[from] http::Error),
    #[error("its answer is longer than {ANSWER_LEN_MAX} bytes")]
    AnswerTooLong,
    #[error("its answer broke off")]
    AnswerBroken,
    #[error("it answered with status {0}")]
    Status(StatusCode, Option<Duration>),
    #[error("it answered with gRPC status {0}")]
    GrpcStatus(i32, Option<Duration>),
    #[error("no answer in time")]
    Timeout,
}

impl SendError {
    /// Whether another try may do better, as the protocol defines it, and how
    /// long the collector wants to be left alone.
    fn retry(&self) -> Option<Option<Duration>> {
        match self {
            Self::Connect(_) | Self::Http(_) | Self::AnswerBroken => Some(None),
            Self::Status(status, after) => {
                matches!(status.as_u16(), 429 | 502 | 503 | 504).then_some(*after)
            }
            // Cancelled, deadline exceeded, aborted, out of range, unavailable and
            // data loss; exhausted only if it says when to come back.
            Self::GrpcStatus(status, after) => match status {
                1 | 4 | 10 | 11 | 14 | 15 => Some(*after),
                8 => after.map(Some),
                _ => None,
            },
            Self::Tls(_)
            | Self::WantsClientCertificate
            | Self::Request(_)
            | Self::AnswerTooLong
            | Self::Timeout => None,
        }
    }
}

/// A collector, for one signal.
pub(super) struct Client {
    endpoint: Endpoint,
    signal: Signal,
    upstream: Upstream,
    connection: Option<Connection>,
}

enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The roots of the endpoint cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The crypto provider is not as it should be.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Client {
    /// A client for the endpoint, which is verified against its own roots, or
    /// `common` ones. Reads files; connects to nothing.
    pub(super) fn new(
        endpoint: Endpoint,
        signal: Signal,
        common: &Arc<RootCertStore>,
    ) -> Result<Self, ClientError> {
        let roots = match &endpoint.certificate {
            Some(file) => roots::load(&[UpstreamRoot::File(file.clone())], &[])?.0,
            None => Arc::clone(common),
        };
        Ok(Self {
            endpoint,
            signal,
            upstream: Upstream::new(roots)?,
            connection: None,
        })
    }

    /// Where it sends to, for messages.
    pub(super) fn uri(&self) -> &Uri {
        &self.endpoint.uri
    }

    /// Sends a message until it is taken, refused for good, or the endpoint's
    /// time is up. Gives the answer.
    pub(super) async fn send(&mut self, message: Vec<u8>) -> Result<Bytes, SendError> {
        let deadline = Instant::now() + self.endpoint.timeout;
        let body = self.body(message);
        let mut wait = RETRY_WAIT;
        loop {
            let tried = match timeout_at(deadline, self.try_once(body.clone())).await {
                Ok(tried) => tried,
                Err(_elapsed) => Err(SendError::Timeout),
            };
            let error = match tried {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Whatever it was, the connection is of no more use.
            self.connection = None;
            let Some(asked) = error.retry() else {
                return Err(error);
            };
            let pause = asked.unwrap_or(wait).min(RETRY_WAIT_MAX);
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "trying the OTLP endpoint again");
            sleep(pause).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn try_once(&mut self, body: Bytes) -> Result<Bytes, SendError> {
        let request = self.request(body)?;
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_open() => connection,
            Some(_) | None => self.connect().await?,
        };
        let response = match &mut connection {
            Connection::Http(http) => {
                http.ready().await?;
                http.send_request(request).await?
            }
            Connection::Grpc(grpc) => {
                grpc.ready().await?;
                grpc.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let after = retry_after(&head.headers);
        let body = Limited::new(body, ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                SendError::AnswerTooLong
            } else {
                SendError::AnswerBroken
            }
        })?;
        if !head.status.is_success() {
            return Err(SendError::Status(head.status, after));
        }
        if self.endpoint.protocol == OtlpProtocol::Grpc {
            // An answer without a body has its status in the head.
            let trailers = body.trailers().unwrap_or(&head.headers);
            match grpc_status(trailers).or_else(|| grpc_status(&head.headers)) {
                Some(0) => {}
                Some(status) => return Err(SendError::GrpcStatus(status, after)),
                None => return Err(SendError::AnswerBroken),
            }
        }
        self.connection = Some(connection);
        let answer = body.to_bytes();
        Ok(match self.endpoint.protocol {
            OtlpProtocol::Http => answer,
            OtlpProtocol::Grpc => answer.slice(answer.len().min(FRAME_LEN)..),
        })
    }

    /// The message in the form it has on the wire.
    fn body(&self, message: Vec<u8>) -> Bytes {
        let compressed = match self.endpoint.compression {
            Compression::None => None,
            Compression::Gzip => gzip(&message).ok(),
        };
        let flag = u8::from(compressed.is_some());
        let message = compressed.unwrap_or(message);
        match self.endpoint.protocol {
            OtlpProtocol::Http => message.into(),
            OtlpProtocol::Grpc => {
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                let mut framed = Vec::with_capacity(message.len().saturating_add(FRAME_LEN));
                framed.push(flag);
                framed.extend_from_slice(&length.to_be_bytes());
                framed.extend_from_slice(&message);
                framed.into()
            }
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let Endpoint { uri, protocol, .. } = &self.endpoint;
        let is_gzip = self.endpoint.compression == Compression::Gzip;
        let mut request = Request::post(match protocol {
            // HTTP/1 wants the path alone.
            OtlpProtocol::Http => uri.path().parse::<Uri>()?,
            OtlpProtocol::Grpc => uri.clone(),
        })
        .header(
            header::USER_AGENT,
            concat!("weir/", env!("CARGO_PKG_VERSION")),
        );
        match protocol {
            OtlpProtocol::Http => {
                request = request
                    .header(header::HOST, uri.authority().map_or("", |it| it.as_str()))
                    .header(header::CONTENT_TYPE, "application/x-protobuf");
                if is_gzip {
                    request = request.header(header::CONTENT_ENCODING, "gzip");
                }
            }
            OtlpProtocol::Grpc => {
                request = request
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .header(header::TE, "trailers");
                if is_gzip {
                    request = request.header("grpc-encoding", "gzip");
                }
            }
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        let uri = &self.endpoint.uri;
        let is_tls = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port))
            .await
            .map_err(SendError::Connect)?;
        tcp.set_nodelay(true).map_err(SendError::Connect)?;
        if !is_tls {
            return self.handshake(tcp).await;
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| SendError::Connect(io::Error::other(error)))?;
        let alpn: &[u8] = match self.endpoint.protocol {
            OtlpProtocol::Http => b"http/1.1",
            OtlpProtocol::Grpc => b"h2",
        };
        match self
            .upstream
            .connect(tcp, name, vec![alpn.to_vec()])
            .await?
        {
            Handshaken::Verified(tls) => self.handshake(*tls).await,
            Handshaken::WantsClientCertificate => Err(SendError::WantsClientCertificate),
        }
    }

    async fn handshake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Connection, SendError> {
        let io = TokioIo::new(stream);
        // Its end shows in the next request.
        match self.endpoint.protocol {
            OtlpProtocol::Http => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(async move { connection.await.inspect_err(closed) });
                Ok(Connection::Http(sender))
            }
            OtlpProtocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(async move { connection.await.inspect_err(closed) });
                Ok(Connection::Grpc(sender))
            }
        }
    }

    /// The signal, for messages.
    pub(super) fn signal(&self) -> Signal {
        self.signal
    }
}

/// Before each message of gRPC: whether it is compressed, and its length.
const FRAME_LEN: usize = 5;

impl Connection {
    fn is_open(&self) -> bool {
        match self {
            Self::Http(http) => !http.is_closed(),
            Self::Grpc(grpc) => !grpc.is_closed(),
        }
    }
}

fn closed(error: &hyper::Error) {
    tracing::debug!(%error, "the connection to the OTLP endpoint ended");
}

fn grpc_status(headers: &HeaderMap<HeaderValue>) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn retry_after(headers: &HeaderMap<HeaderValue>) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn gzip(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(message)?;
    encoder.finish()
}
