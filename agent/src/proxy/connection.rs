//! One connection of an application, from acceptance to relay: origin, first
//! bytes, decision, both handshakes.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::AsFd,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    Intercepted, Proxy, authority,
    decide::{Plan, decide, relays},
    dial::{DialError, dial, tune},
    h1, h2,
    io::{Connection, Prefixed},
    pool::Route,
    refusers::Client,
    splice::splice,
    supply::{Spoken, Supplied, SupplyError},
};
use crate::{
    llm::{catalogue::Provider, headers::Headers},
    meter::{
        exchange::{Exchange, Opening, Outcome},
        reason::{Decision, Reason},
        record::{Process, Protocol},
    },
    sniff::{TlsStack, sniff},
    sys::origin,
    tls::{alert::Alert, stream::ServerStream, upstream::UpstreamTlsError},
};

/// A client that has said nothing for this long may be waiting for the server
/// to speak first; from then on both are listened to.
const SILENCE_WAIT: Duration = Duration::from_millis(300);
/// How long a first flight may take once it has begun. Slower ones are spliced:
/// weir does not decide how slow a client may be, only how long it looks.
const FIRST_FLIGHT_WAIT: Duration = Duration::from_secs(10);
/// How long the application's handshake may take; it is on this machine.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(15);

/// A connection that was accepted, and where it was going.
struct Accepted {
    proxy: Arc<Proxy>,
    tcp: TcpStream,
    origin: SocketAddr,
    process: Process,
    /// cgroup v2 id of the task that connected.
    cgroup: u64,
    /// What was read of the client's first flight.
    first: BytesMut,
    /// The destination, once it had to be dialled early.
    upstream: Option<TcpStream>,
}

/// Serves one accepted connection to its end.
pub(super) async fn serve(proxy: Arc<Proxy>, tcp: TcpStream) {
    let flow = match origin::flow(tcp.as_fd()) {
        Ok(Some(flow)) => flow,
        Ok(None) => {
            // Somebody connected to our port itself. Where would it go?
            proxy.metrics.connection(Decision::Refuse, Reason::NoOrigin);
            tracing::warn!(peer = ?tcp.peer_addr().ok(), "refused a connection without an origin");
            tcp.reset_on_close();
            return;
        }
        Err(error) => {
            proxy.metrics.connection(Decision::Refuse, Reason::NoOrigin);
            tracing::warn!(%error, "cannot ask for the origin of a connection");
            tcp.reset_on_close();
            return;
        }
    };
    if proxy
        .canary
        .as_ref()
        .is_some_and(|canary| canary.receives(&flow))
    {
        return;
    }
    let origin = origin::destination(&flow);
    if let Err(error) = tune(&tcp) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let mut accepted = Accepted {
        proxy,
        tcp,
        origin,
        process: Process {
            pid: Some(flow.pid),
            exe: None,
        },
        cgroup: flow.cgroup,
        first: BytesMut::new(),
        upstream: None,
    };
    if let Some(objection) = accepted.proxy.forbidden.objection(origin) {
        let error = DialError::Forbidden(origin, objection);
        accepted.refuse(
            None,
            None,
            Protocol::Tcp,
            Reason::ForbiddenDestination,
            &error,
        );
        return;
    }
    let processes = accepted.proxy.processes.clone();
    let (plan, exe) = tokio::join!(accepted.plan(), processes.executable(flow.pid));
    accepted.process.exe = exe;
    match plan {
        // Boxed: it needs more room than reading the first flight.
        Ok(plan) => Box::pin(accepted.carry_out(plan)).await,
        Err(error) => tracing::debug!(%error, "the client left before it said anything"),
    }
}

impl Accepted {
    /// Reads until there is a plan.
    async fn plan(&mut self) -> io::Result<Plan> {
        let mut deadline = None;
        loop {
            match decide(sniff(&self.first), &self.proxy.catalogue) {
                Plan::Wait => {}
                Plan::ReadHead => return self.plan_cleartext().await,
                plan @ (Plan::InterceptTls { .. }
                | Plan::Cleartext { .. }
                | Plan::Splice { .. }) => return Ok(plan),
            }
            let until = if self.first.is_empty() {
                Instant::now() + SILENCE_WAIT
            } else {
                *deadline.get_or_insert_with(|| Instant::now() + FIRST_FLIGHT_WAIT)
            };
            match timeout_at(until, self.tcp.read_buf(&mut self.first)).await {
                // Only made, or half-closed before it said what it is: passed on.
                Ok(Ok(0)) => return Ok(opaque(Reason::NotTlsOrHttp)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_elapsed) if self.first.is_empty() => {
                    if self.server_speaks_first().await? {
                        return Ok(opaque(Reason::ServerFirst));
                    }
                }
                Err(_elapsed) => return Ok(opaque(Reason::NotTlsOrHttp)),
            }
        }
    }

    /// Listens to both ends; whether the server spoke first.
    async fn server_speaks_first(&mut self) -> io::Result<bool> {
        let upstream = match self.upstream.take() {
            Some(upstream) => upstream,
            None => match dial(self.origin, &self.proxy.forbidden).await {
                Ok(upstream) => upstream,
                // There is no server to speak: the splice finds out again, and records it.
                Err(_) => return Ok(true),
            },
        };
        let server_first = tokio::select! {
            biased;
            readable = self.tcp.readable() => { readable?; false }
            readable = upstream.readable() => { readable?; true }
        };
        self.upstream = Some(upstream);
        Ok(server_first)
    }

    /// HTTP/1 without TLS: the host is in the first head.
    async fn plan_cleartext(&mut self) -> io::Result<Plan> {
        let deadline = Instant::now() + FIRST_FLIGHT_WAIT;
        loop {
            match h1::read_request_head(&self.first) {
                Ok(Some(head)) => {
                    let host = head
                        .host
                        .as_deref()
                        .or_else(|| authority::of_absolute_form(&head.target))
                        .map(authority::host);
                    return Ok(Plan::Cleartext { host });
                }
                Ok(None) if self.first.len() < h1::HEAD_LEN_MAX => {}
                Ok(None) | Err(_) => return Ok(opaque(Reason::NotTlsOrHttp)),
            }
            match timeout_at(deadline, self.tcp.read_buf(&mut self.first)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) | Err(_) => return Ok(opaque(Reason::NotTlsOrHttp)),
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// What each step needs is on the heap and is given back behind it, so that a
    /// connection that is relayed for an hour holds what the relay needs.
    async fn carry_out(self, plan: Plan) {
        let relaying = match plan {
            Plan::InterceptTls {
                host,
                provider,
                alpn,
                stack,
            } => {
                let client = self.client(host.into(), stack);
                if self.proxy.lets_through(&client) {
                    let reason = Reason::ClientRefusedCertificate;
                    Some(self.splice(Some(client.host), reason, Protocol::Tls))
                } else {
                    Box::pin(self.intercept_tls(client, provider, alpn)).await
                }
            }
            Plan::Cleartext { host } => {
                let provider = host
                    .as_deref()
                    .and_then(|host| self.proxy.catalogue.provider(host))
                    .cloned();
                match (host, provider) {
                    (Some(host), Some(provider)) => {
                        Box::pin(self.intercept_cleartext(host.into(), provider)).await
                    }
                    (host, _) => {
                        let reason = Reason::NotInCatalogue;
                        Some(self.splice(host.map(Into::into), reason, Protocol::H1))
                    }
                }
            }
            Plan::Splice {
                host,
                reason,
                protocol,
            } => Some(self.splice(host.map(Into::into), reason, protocol)),
            // `plan` goes on until there is another one.
            Plan::Wait | Plan::ReadHead => None,
        };
        if let Some(relaying) = relaying {
            relaying.await;
        }
    }

    fn splice(self, host: Option<Arc<str>>, reason: Reason, protocol: Protocol) -> Relaying {
        Box::pin(self.spliced(host, reason, protocol))
    }

    async fn spliced(mut self, host: Option<Arc<str>>, reason: Reason, protocol: Protocol) {
        if let Some(host) = host.clone()
            && self.proxy.catalogue.must_inspect(&host)
        {
            let error = format!("{host} is in models.must_inspect and cannot be inspected");
            let provider = self.proxy.catalogue.provider(&host).cloned();
            self.refuse(Some(host), provider, protocol, reason, &error);
            return;
        }
        let upstream = match self.upstream.take() {
            Some(upstream) => upstream,
            None => match dial(self.origin, &self.proxy.forbidden).await {
                Ok(upstream) => upstream,
                Err(error) => {
                    self.refuse(host, None, protocol, Reason::UpstreamUnreachable, &error);
                    return;
                }
            },
        };
        self.proxy.metrics.connection(Decision::Splice, reason);
        let opening = self.opening(host, None, Decision::Splice, reason, protocol);
        let mut exchange = Exchange::open(opening, SystemTime::now(), &self.proxy.meter);
        let tunnelled = splice(Prefixed::new(self.first, self.tcp), upstream).await;
        exchange.spliced(tunnelled.sent, tunnelled.received);
        exchange.finish(tunnelled.outcome());
    }

    async fn intercept_cleartext(mut self, host: Arc<str>, provider: Provider) -> Option<Relaying> {
        let route = self.route(Arc::clone(&host), None);
        let upstream = match self.supplied(&route).await {
            Ok(upstream) => upstream,
            Err(error) => {
                let reason = Reason::UpstreamUnreachable;
                self.refuse(Some(host), Some(provider), Protocol::H1, reason, &error);
                return None;
            }
        };
        let (call, client) = self.intercepted(route, provider, None);
        Some(relay(client, upstream, call))
    }

    /// Upstream first: what it is decides what the client is told.
    async fn intercept_tls(
        mut self,
        client: Client,
        provider: Provider,
        alpn: Vec<Vec<u8>>,
    ) -> Option<Relaying> {
        let protocol = Protocol::Tls;
        let host = Arc::clone(&client.host);
        let route = self.route(Arc::clone(&host), Some(alpn));
        let upstream = match self.supplied(&route).await {
            Ok(upstream) => upstream,
            Err(SupplyError::Name(_)) => {
                let reason = Reason::ClientHelloInvalid;
                return Some(self.splice(Some(host), reason, protocol));
            }
            Err(SupplyError::WantsClientCertificate) => {
                // Only the application can have it: let it handshake itself.
                let reason = Reason::UpstreamWantsClientCert;
                return Some(self.splice(Some(host), reason, protocol));
            }
            Err(error @ (SupplyError::Dial(_) | SupplyError::Http2(_))) => {
                let reason = Reason::UpstreamUnreachable;
                self.refuse(Some(host), Some(provider), protocol, reason, &error);
                return None;
            }
            Err(SupplyError::Handshake(error)) => {
                self.refuse_handshake(host, provider, &error).await;
                return None;
            }
        };
        let picked = upstream.spoken.alpn().map(<[u8]>::to_vec);
        if !relays(picked.as_deref()) {
            return Some(self.splice(Some(host), Reason::AlpnNotHttp, protocol));
        }
        let config = self.proxy.downstream.answering(picked.as_deref());
        let (call, client) = self.intercepted(route, provider, Some(client));
        let accept = ServerStream::accept(config, client);
        let failed = match tokio::time::timeout(HANDSHAKE_WAIT, accept).await {
            Ok(Ok(client)) => return Some(relay(client, upstream, call)),
            Ok(Err(error)) => error,
            Err(_elapsed) => io::ErrorKind::TimedOut.into(),
        };
        call.not_handshaken(&failed);
        if upstream.is_kept {
            // Nothing was said on it.
            call.keep(upstream.spoken, None);
        }
        None
    }

    /// The connection upstream that there is already, or one for this route.
    async fn supplied(&mut self, route: &Route) -> Result<Supplied, SupplyError> {
        match self.upstream.take() {
            Some(tcp) => self.proxy.supply_dialled(tcp, route).await,
            None => self.proxy.supply(route).await,
        }
    }

    fn route(&self, host: Arc<str>, offered: Option<Vec<Vec<u8>>>) -> Route {
        Route {
            origin: self.origin,
            host,
            offered,
        }
    }

    async fn refuse_handshake(
        mut self,
        host: Arc<str>,
        provider: Provider,
        error: &UpstreamTlsError,
    ) {
        let reason = if error.is_certificate() {
            Reason::UpstreamCertificate
        } else {
            Reason::UpstreamUnreachable
        };
        self.proxy.metrics.connection(Decision::Refuse, reason);
        Alert::for_upstream(error).send(&mut self.tcp).await;
        let opening = self.opening(
            Some(host),
            Some(provider),
            Decision::Refuse,
            reason,
            Protocol::Tls,
        );
        Exchange::open(opening, SystemTime::now(), &self.proxy.meter).finish(Outcome::Refused {
            reason,
            error: error.to_string(),
        });
    }

    fn refuse(
        &self,
        host: Option<Arc<str>>,
        provider: Option<Provider>,
        protocol: Protocol,
        reason: Reason,
        error: &dyn fmt::Display,
    ) {
        self.proxy.metrics.connection(Decision::Refuse, reason);
        let opening = self.opening(host, provider, Decision::Refuse, reason, protocol);
        Exchange::open(opening, SystemTime::now(), &self.proxy.meter).finish(Outcome::Refused {
            reason,
            error: error.to_string(),
        });
        self.tcp.reset_on_close();
    }

    fn opening(
        &self,
        host: Option<Arc<str>>,
        provider: Option<Provider>,
        decision: Decision,
        reason: Reason,
        protocol: Protocol,
    ) -> Opening {
        Opening {
            host: host.or_else(|| Some(self.origin.to_string().into())),
            provider,
            port: self.origin.port(),
            target: None,
            request_headers: Headers::default(),
            decision,
            reason,
            protocol,
            process: Some(self.process.clone()),
        }
    }

    fn client(&self, host: Arc<str>, stack: TlsStack) -> Client {
        Client {
            cgroup: self.cgroup,
            exe: self.process.exe.clone(),
            stack,
            host,
        }
    }

    fn intercepted(
        self,
        route: Route,
        provider: Provider,
        client: Option<Client>,
    ) -> (Intercepted, Prefixed) {
        let call = Intercepted {
            proxy: self.proxy,
            route,
            provider,
            process: self.process,
            client,
            is_counted: AtomicBool::new(false),
        };
        (call, Prefixed::new(self.first, self.tcp))
    }
}

/// What goes on until one of both ends leaves.
type Relaying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// As what upstream speaks.
fn relay<C: Connection>(client: C, upstream: Supplied, call: Intercepted) -> Relaying {
    let is_kept = upstream.is_kept;
    match upstream.spoken {
        Spoken::Http2(session) => Box::pin(h2::relay(client, session, call)),
        Spoken::Http1(leg) => Box::pin(h1::relay(client, leg, is_kept, call)),
    }
}

fn opaque(reason: Reason) -> Plan {
    Plan::Splice {
        host: None,
        reason,
        protocol: Protocol::Tcp,
    }
}
