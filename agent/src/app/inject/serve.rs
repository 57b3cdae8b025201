//! `weir inject serve`: the admission webhook.
//!
//! Deciding is `inject::review`'s, a function of the request. Here are the
//! sockets, the certificate that changes under way, and the bounds.

mod identity;
mod metrics;

use std::convert::Infallible;
use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use self::identity::Identity;
use self::metrics::{Metrics, Outcome};
use super::super::socket::listen;
use super::super::{log, say};
use crate::cli::ServeArgs;
use crate::inject::options::{Image, Options};
use crate::inject::review::review;

/// Connections at once. An API server keeps a few open, and there are a few.
const CONNECTIONS_MAX: usize = 256;
/// Reviews of one connection at once.
const STREAMS_MAX: u32 = 100;
/// Bytes of a review. An API server takes objects of up to 3 MiB, and a review
/// can hold an old one as well.
const REVIEW_BYTES_MAX: usize = 7 * 1024 * 1024;
/// An API server gives a webhook ten seconds by default, and thirty at most.
const REVIEW_WAIT: Duration = Duration::from_secs(10);
/// A handshake, and the head of a request.
const CLIENT_WAIT: Duration = Duration::from_secs(10);
/// How long reviews under way may take when it is told to end.
const DRAIN_WAIT: Duration = Duration::from_secs(15);

/// Serves until a signal.
///
/// # Errors
/// There is no certificate, or a port is taken.
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    log::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let webhook = Webhook {
            options: args.chosen.options(Image::Fixed),
            own_namespace: env::var("POD_NAMESPACE").ok(),
            identity: Identity::load(&args.certificate, &args.key)?,
        };
        let bind = |addr: SocketAddr| {
            let bound = listen(addr).and_then(TcpListener::from_std);
            bound.with_context(|| format!("cannot listen on {addr}: name a free address"))
        };
        let (reviews, admin) = (bind(args.listen)?, bind(args.admin)?);
        say(&format!("answering on {}", reviews.local_addr()?));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        webhook.serve(reviews, admin, stop).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The webhook, before it serves.
pub struct Webhook {
    options: Options,
    own_namespace: Option<String>,
    identity: Identity,
}

/// What every connection shares.
struct Shared {
    options: Options,
    own_namespace: Option<String>,
    metrics: Metrics,
}

impl Webhook {
    /// A webhook with the certificate and the key of these files, which are
    /// looked at again for each connection.
    ///
    /// # Errors
    /// They are not there, or do not fit together.
    pub fn new(
        options: Options,
        own_namespace: Option<String>,
        certificate: &std::path::Path,
        key: &std::path::Path,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            options,
            own_namespace,
            identity: Identity::load(certificate, key)?,
        })
    }

    /// Answers on `reviews`, over TLS, and on `admin` in plain, until `stop`;
    /// then what is under way is finished.
    pub async fn serve(
        self,
        reviews: TcpListener,
        admin: TcpListener,
        stop: impl Future<Output = ()>,
    ) {
        let shared = Arc::new(Shared {
            options: self.options,
            own_namespace: self.own_namespace,
            metrics: Metrics::new(),
        });
        let (stopping, stopped) = watch::channel(());
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let accepting = accept(reviews, self.identity, &shared, &permits, &stopped);
        let telling = serve_admin(admin, Arc::clone(&shared), stopped.clone());
        tokio::select! {
            () = accepting => {}
            () = telling => {}
            () = stop => {}
        }
        drop(stopping);
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        // What takes longer is cut off.
        let _cut = tokio::time::timeout(DRAIN_WAIT, permits.acquire_many(all)).await;
    }
}

async fn accept(
    listener: TcpListener,
    mut identity: Identity,
    shared: &Arc<Shared>,
    permits: &Arc<Semaphore>,
    stopped: &watch::Receiver<()>,
) {
    loop {
        // The semaphore is never closed, and a failed accept is a client that
        // left or a moment without descriptors.
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            return;
        };
        let Ok((tcp, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        match identity.refresh() {
            Ok(identity::Refreshed::Same) => {}
            Ok(identity::Refreshed::Renewed) => say("the certificate was renewed"),
            Err(error) => {
                shared.metrics.certificate_unusable();
                tracing::warn!(%error, "the certificate that is there cannot be used");
            }
        }
        shared.metrics.certificate_ends(identity.not_after());
        let acceptor = TlsAcceptor::from(identity.config());
        let shared = Arc::clone(shared);
        let stopped = stopped.clone();
        tokio::spawn(async move {
            connection(tcp, acceptor, shared, stopped).await;
            drop(permit);
        });
    }
}

async fn connection(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
) {
    let handshake = tokio::time::timeout(CLIENT_WAIT, acceptor.accept(tcp));
    let tls = match handshake.await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            // A probe of a load balancer, or a caller that does not trust us.
            shared.metrics.handshake_failed();
            tracing::debug!(%error, "a handshake failed");
            return;
        }
        Err(_elapsed) => return shared.metrics.handshake_failed(),
    };
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_WAIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX);
    let served = builder.serve_connection(TokioIo::new(tls), service);
    let mut served = std::pin::pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        // The sender is gone: finish what is under way, take nothing more.
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    if request.uri().path() != "/inject" {
        return text(StatusCode::NOT_FOUND, "there is /inject\n");
    }
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n");
    }
    let started = Instant::now();
    let body = Limited::new(request.into_body(), REVIEW_BYTES_MAX).collect();
    let body = match tokio::time::timeout(REVIEW_WAIT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            shared
                .metrics
                .reviewed(Outcome::TooLarge, started.elapsed());
            return text(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("more than {REVIEW_BYTES_MAX} bytes\n"),
            );
        }
        Ok(Err(_)) | Err(_) => {
            shared.metrics.reviewed(Outcome::Cut, started.elapsed());
            return text(StatusCode::REQUEST_TIMEOUT, "the request did not end\n");
        }
    };
    let reviewed = review(&body, shared.own_namespace.as_deref(), &shared.options);
    let (outcome, response) = match reviewed {
        Ok(reviewed) => match serde_json::to_vec(&reviewed.answer) {
            Ok(json) => (Outcome::Reviewed(reviewed.verdict), answered(json)),
            Err(error) => (
                Outcome::Malformed,
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            ),
        },
        Err(error) => (
            Outcome::Malformed,
            text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        ),
    };
    shared.metrics.reviewed(outcome, started.elapsed());
    response
}

/// Health and metrics, over plain HTTP.
async fn serve_admin(listener: TcpListener, shared: Arc<Shared>, stopped: watch::Receiver<()>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((tcp, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = match request.uri().path() {
                    "/healthz" | "/readyz" => text(StatusCode::OK, "ok\n"),
                    "/metrics" => text(StatusCode::OK, shared.metrics.render()),
                    _ => text(
                        StatusCode::NOT_FOUND,
                        "there is /metrics, /healthz and /readyz\n",
                    ),
                };
                async { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(CLIENT_WAIT)
                .serve_connection(TokioIo::new(tcp), service);
            tokio::select! {
                _ended = served => {}
                _ = stopped.changed() => {}
            }
            drop(permit);
        });
    }
}

fn answered(json: Vec<u8>) -> Response<Full<Bytes>> {
    typed(StatusCode::OK, "application/json", json)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; version=0.0.4; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
