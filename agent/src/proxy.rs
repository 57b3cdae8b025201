//! The proxy: accepts what the kernel redirected, and relays it.
//!
//! In call order: [`Proxy::serve`] accepts; `connection` asks the kernel for the
//! origin, reads the first bytes and carries out what `decide` says; `dial`
//! reaches the origin; `splice`, `h1` and `h2` relay. Plain async functions over
//! concrete types: there is no framework in between.

mod authority;
mod canary;
mod connection;
mod decide;
mod dial;
pub mod driven;
mod h1;
mod h2;
pub mod invariant;
mod io;
mod leg;
mod peak;
mod pipe;
mod pool;
mod processes;
mod refusal;
mod refusers;
mod splice;
mod supply;
#[cfg(test)]
mod testing;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::MissedTickBehavior,
};

use self::io::Connection as _;
use self::refusers::{Client, Learnt, Refusal as CertificateRefusal, Verdict};
pub use self::{
    canary::{Canary, CanaryError},
    dial::Forbidden,
    processes::{ProcessQuery, Processes},
    refusers::Refusers,
    supply::UpstreamPool,
};
use self::{leg::Leg, peak::Peak, pool::Route, supply::Spoken};
use crate::{
    config::{Bodies, Propagate},
    export::prometheus::Metrics,
    llm::{
        catalogue::{Catalogue, Provider},
        classify::{Api, Target},
        headers::Headers,
        stream_usage::is_asked_of,
    },
    meter::{
        exchange::{Exchange, Meter, Opening, Outcome},
        reason::{Decision, Reason},
        record::{Process, Protocol},
    },
    sys::memory,
    tls::{
        downstream::{Downstream, refused_certificate},
        upstream::Upstream,
    },
};

/// Connections served at once. Each needs two descriptors and some 100 KB at
/// most; beyond it new ones are reset, and counted.
pub const CONNECTIONS_MAX: usize = 16_384;
/// How long connections get to end by themselves when the proxy stops.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
/// How long, and for how many bytes, a client that is still sending is listened
/// to after weir's answer: closing at once would reset the connection or stream,
/// and destroy the answer before the client reads it.
const LINGER_WAIT: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How soon the end of a connection that is kept for the next call is noticed,
/// and the end of a peak.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Accepting fails when descriptors run out; trying again at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Everything that connections share.
pub struct Proxy {
    /// Which hosts are model providers.
    pub catalogue: Catalogue,
    /// TLS towards applications.
    pub downstream: Downstream,
    /// TLS towards providers.
    pub upstream: Upstream,
    /// Makes records.
    pub meter: Meter,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
    /// What is never dialled.
    pub forbidden: Forbidden,
    /// Awaits the proofs of interception.
    pub canary: Option<Arc<Canary>>,
    /// Names of processes.
    pub processes: Processes,
    /// Who does not accept our certificates and is let through; `None` if nobody
    /// is.
    pub refusers: Option<Mutex<Refusers>>,
    /// Whether usage is asked for in streams that would carry none.
    pub stream_usage: bool,
    /// Whether the bodies of calls are read.
    pub bodies: Bodies,
    /// Whether calls carry their span as trace context.
    pub propagate: Propagate,
    /// Connections to providers that wait for the next call; `None` if none does.
    pub pool: Option<UpstreamPool>,
    /// Those that are open, counted.
    pub connections: Arc<Connections>,
}

/// The connections of applications, counted.
#[derive(Debug)]
pub struct Connections {
    permits: Arc<Semaphore>,
    accepted: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            accepted: AtomicU64::new(0),
        }
    }
}

impl Connections {
    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        CONNECTIONS_MAX.saturating_sub(self.permits.available_permits())
    }

    /// How many were accepted so far, those that were turned away included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// One more, unless there are too many.
    fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

impl Proxy {
    /// Accepts and serves until `stop` resolves, then gives connections a
    /// moment to end; those that do not are dropped, and recorded as aborted.
    pub async fn serve(
        self: Arc<Self>,
        listeners: Arc<[TcpListener]>,
        stop: impl Future<Output = ()>,
    ) {
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut peak = Peak::default();
        loop {
            peak.note(self.connections.open());
            let has_kept = self.has_kept();
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = sweep.tick(), if has_kept || peak.is_awaited() => {
                    self.sweep();
                    if peak.is_over(self.connections.open(), Instant::now()) {
                        tokio::task::spawn_blocking(memory::give_back);
                    }
                }
                // Before accepting, so that a flood does not pile up what has ended.
                Some(_) = connections.join_next() => {}
                accepted = accept_any(&listeners) => match accepted {
                    Ok(tcp) => self.admit(tcp, &mut connections),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
        drop(listeners);
        self.clear();
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_WAIT, ended).await.is_err() {
            connections.shutdown().await;
        }
    }

    /// Whether a connection of `client` is to be let through, because it would
    /// refuse our certificate.
    fn lets_through(&self, client: &Client) -> bool {
        !self.catalogue.must_inspect(&client.host)
            && self
                .refusers()
                .is_some_and(|mut known| known.verdict(client, Instant::now()) == Verdict::Pass)
    }

    fn refusers(&self) -> Option<MutexGuard<'_, Refusers>> {
        let refusers = self.refusers.as_ref()?;
        Some(refusers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the bodies of a provider's calls are read.
    fn reads(&self, host: &str) -> bool {
        self.bodies == Bodies::Read || self.catalogue.must_inspect(host)
    }

    /// Why connections to a provider are intercepted.
    fn reason(&self, host: &str) -> Reason {
        if self.reads(host) {
            Reason::CatalogueHost
        } else {
            Reason::BodiesNotRead
        }
    }

    fn admit(self: &Arc<Self>, tcp: TcpStream, connections: &mut JoinSet<()>) {
        let Some(permit) = self.connections.admit() else {
            self.metrics
                .connection(Decision::Refuse, Reason::TooManyConnections);
            tcp.reset_on_close();
            return;
        };
        connections.spawn(serve_one(Arc::clone(self), tcp, permit));
    }
}

async fn serve_one(proxy: Arc<Proxy>, tcp: TcpStream, permit: OwnedSemaphorePermit) {
    connection::serve(proxy, tcp).await;
    drop(permit);
}

/// The next connection of any listener; there are one or two.
async fn accept_any(listeners: &[TcpListener]) -> std::io::Result<TcpStream> {
    std::future::poll_fn(|context| {
        for listener in listeners {
            if let std::task::Poll::Ready(accepted) = listener.poll_accept(context) {
                return std::task::Poll::Ready(accepted.map(|(tcp, _peer)| tcp));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// A connection whose requests are read: what each of its exchanges begins with.
pub(crate) struct Intercepted {
    proxy: Arc<Proxy>,
    /// Where to, and the verified name, lower case.
    route: Route,
    provider: Provider,
    process: Process,
    /// Who was shown our certificate; `None` without TLS.
    client: Option<Client>,
    /// In the metrics, as what it turned out to be.
    is_counted: AtomicBool,
}

impl Intercepted {
    fn opening(&self, protocol: Protocol, target: Target, request_headers: Headers) -> Opening {
        Opening {
            host: Some(Arc::clone(&self.route.host)),
            provider: Some(self.provider.clone()),
            port: self.route.origin.port(),
            target: Some(target),
            request_headers,
            decision: Decision::Intercept,
            reason: self.proxy.reason(&self.route.host),
            protocol,
            process: Some(self.process.clone()),
        }
    }

    /// Whether streams of this provider are asked for their usage.
    fn asks_usage(&self) -> bool {
        self.proxy.stream_usage && self.proxy.reads(&self.route.host) && is_asked_of(&self.provider)
    }

    /// A new connection in the place of a kept one, which `error` has ended before
    /// it was of use.
    async fn another(&self, error: &std::io::Error) -> Option<Leg> {
        tracing::debug!(%error, "a kept connection had been closed");
        match self.proxy.supply_new(&self.route).await {
            Ok(leg) if leg.alpn() != Some(b"h2") => Some(leg),
            Ok(_other) => None,
            Err(error) => {
                tracing::debug!(%error, "nor is there a new one");
                None
            }
        }
    }

    /// Keeps what upstream is for the next connection of the application.
    fn keep(&self, upstream: Spoken, hint: Option<Duration>) {
        self.proxy.keep(&self.route, upstream, hint);
    }

    /// The application has sent something over our TLS, or without any.
    fn accepted_by_client(&self) {
        self.count(Decision::Intercept, self.proxy.reason(&self.route.host));
        if let Some(client) = &self.client
            && let Some(mut known) = self.proxy.refusers()
        {
            known.accepted(client);
        }
    }

    /// The application does not accept our certificate: recorded, because it
    /// means that calls fail that would not fail without weir.
    fn refused_by_client(&self, error: &std::io::Error) {
        // First of all: its next connection may be on its way.
        self.learn(CertificateRefusal::Alert);
        tracing::warn!(
            host = %self.route.host, exe = ?self.process.exe, %error,
            "an application does not trust weir's certificate authority"
        );
        self.without_request(Reason::ClientRefusedCertificate, error.to_string());
    }

    /// The application's handshake came to nothing.
    fn not_handshaken(&self, error: &std::io::Error) {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if refused_certificate(error) {
            self.refused_by_client(error);
        } else if matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ) {
            self.closed_by_client();
        } else {
            tracing::debug!(%error, "the application's handshake failed");
            self.without_request(Reason::ClientHandshakeFailed, error.to_string());
        }
    }

    /// The application ended the connection in its handshake or after it, and has
    /// sent nothing over it.
    fn closed_by_client(&self) {
        let Some(client) = &self.client else { return };
        if self
            .proxy
            .refusers()
            .is_some_and(|known| known.accepts(client))
        {
            // It made a connection ahead and did not need it.
            return;
        }
        self.learn(CertificateRefusal::Silence);
        let error = "the client ended the connection without a request";
        self.without_request(Reason::ClosedBeforeRequest, error.into());
    }

    fn learn(&self, how: CertificateRefusal) {
        let Some(client) = &self.client else { return };
        let Some(mut known) = self.proxy.refusers() else {
            return;
        };
        if let Learnt::PassFor(time) = known.refused(client, how, Instant::now()) {
            tracing::warn!(
                host = %client.host, exe = ?client.exe, minutes = time.as_secs() / 60,
                "an application is let through uninspected, because it goes on refusing weir's \
                 certificates"
            );
        }
    }

    /// Counts the connection, if that was not done.
    fn count(&self, decision: Decision, reason: Reason) {
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            self.proxy.metrics.connection(decision, reason);
        }
    }

    /// Records a connection that ended before its first request, for this reason.
    fn without_request(&self, reason: Reason, error: String) {
        self.count(Decision::Refuse, reason);
        let outcome = Outcome::Refused { reason, error };
        let opening = Opening {
            target: None,
            ..self.opening(Protocol::Tls, Api::Other.into(), Headers::default())
        };
        Exchange::open(opening, std::time::SystemTime::now(), &self.proxy.meter).finish(outcome);
    }
}

impl Drop for Intercepted {
    /// One that ended before anything came of it is counted as what was intended.
    fn drop(&mut self) {
        self.count(Decision::Intercept, self.proxy.reason(&self.route.host));
    }
}
