//! Health, readiness and metrics, for whoever operates weir.
//!
//! On a port of its own, which the proxy never dials and the kernel never
//! redirects to. A request that names another host than an address or
//! `localhost` is refused, so that a page in a browser cannot read it by
//! pointing a name of its own here (DNS rebinding).

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use weir_common::FlowReason;

use crate::export::prometheus::Metrics;

/// Scrapes at once; more than a few is not a scraper.
const CONNECTIONS_MAX: usize = 32;
/// A scraper that takes longer to send its request has hung.
const HEADER_WAIT: Duration = Duration::from_secs(10);
/// The exposition format of Prometheus, version 0.0.4.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reads what the kernel half has counted, in the order of `FlowReason::ALL`;
/// none while it does not answer.
pub type KernelCounters = Box<dyn Fn() -> Option<[u64; FlowReason::COUNT]> + Send + Sync>;

/// What is served.
pub struct Admin {
    /// Rendered on each request to `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Asked before that.
    pub kernel: KernelCounters,
    /// Whether interception works.
    pub readiness: Arc<Readiness>,
}

/// Whether interception works, or why not.
#[derive(Debug)]
pub struct Readiness(Mutex<Result<(), String>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Err("interception is not proven yet".to_owned())))
    }
}

impl Readiness {
    /// It works.
    pub fn ready(&self) {
        *self.lock() = Ok(());
    }

    /// It does not, for this reason.
    pub fn not_ready(&self, reason: &str) {
        *self.lock() = Err(reason.to_owned());
    }

    fn now(&self) -> Result<(), String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admin {
    /// Serves until dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // The semaphore is never closed, and a failed accept is a client
            // that left or a moment without descriptors.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let Ok((tcp, _peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let admin = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = admin.answer(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_WAIT)
                    .serve_connection(TokioIo::new(tcp), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "an admin connection broke");
                }
                drop(permit);
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        if !host.is_none_or(is_local) {
            return text(StatusCode::FORBIDDEN, "ask by address, not by name\n");
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match request.uri().path() {
            "/metrics" => {
                if let Some(counts) = (self.kernel)() {
                    self.metrics.set_kernel_flows(&counts);
                }
                let mut response = text(StatusCode::OK, self.metrics.render());
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    http::HeaderValue::from_static(EXPOSITION),
                );
                response
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.readiness.now() {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "there is /metrics, /healthz and /readyz\n",
            ),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Whether a `Host` is an address or `localhost`, with or without a port.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_addresses_and_localhost_are_served() {
        for (host, expected) in [
            ("127.0.0.1:15020", true),
            ("127.0.0.1", true),
            ("10.1.2.3:15020", true),
            ("[::1]:15020", true),
            ("[::1]", true),
            ("localhost:15020", true),
            ("rebound.example:15020", false),
            ("localhost.example", false),
            ("", false),
        ] {
            assert_eq!(is_local(host), expected, "{host}");
        }
    }
}
