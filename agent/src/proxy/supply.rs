//! Connections to providers, kept from an earlier call or newly made.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::{
    Proxy,
    dial::{DialError, dial},
    h2::Session,
    leg::Leg,
    pool::{Kept, Pool, Route},
};
use crate::{
    export::prometheus::Source,
    tls::upstream::{Handshaken, UpstreamTlsError},
};

/// A connection to a provider, by what it speaks.
#[derive(Debug)]
pub(crate) enum Spoken {
    /// HTTP/1, or whatever else was agreed on: nothing has been said yet, or
    /// exchanges that are over.
    Http1(Leg),
    /// HTTP/2, both prefaces sent.
    Http2(Session),
}

impl Spoken {
    /// What ALPN agreed on.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Http1(leg) => leg.alpn(),
            Self::Http2(_) => Some(b"h2"),
        }
    }
}

impl Kept for Spoken {
    fn is_alive(&mut self) -> bool {
        match self {
            Self::Http1(leg) => leg.is_quiet(),
            Self::Http2(session) => session.is_alive(),
        }
    }

    fn close(self) {
        match self {
            Self::Http1(leg) => leg.close(),
            Self::Http2(session) => session.close(),
        }
    }
}

/// A connection to a provider, and where it is from.
#[derive(Debug)]
pub(crate) struct Supplied {
    pub(super) spoken: Spoken,
    /// It has served a call before.
    pub(super) is_kept: bool,
}

impl Supplied {
    pub(super) fn new(leg: Leg) -> Self {
        Self {
            spoken: Spoken::Http1(leg),
            is_kept: false,
        }
    }
}

/// Why there is no connection to a provider.
#[derive(Debug, thiserror::Error)]
pub(super) enum SupplyError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Handshake(#[from] UpstreamTlsError),
    /// Only the application can have the certificate that the provider asks for.
    #[error("the provider asks for a client certificate")]
    WantsClientCertificate,
    /// Such as one with an underscore.
    #[error("no certificate can carry the name {0}")]
    Name(String),
}

impl Proxy {
    /// A connection for a call: one that was kept, or else a new one.
    pub(super) async fn supply(&self, route: &Route) -> Result<Supplied, SupplyError> {
        let kept = self.with_kept(|kept| kept.take(route, Instant::now()));
        if let Some(spoken) = kept.flatten() {
            self.metrics.upstream(Source::Kept);
            return Ok(Supplied {
                spoken,
                is_kept: true,
            });
        }
        self.supply_new(route).await.map(Supplied::new)
    }

    /// A new connection for a call.
    pub(super) async fn supply_new(&self, route: &Route) -> Result<Leg, SupplyError> {
        let tcp = dial(route.origin, &self.forbidden).await?;
        self.prepare(tcp, route).await
    }

    /// Makes of a new TCP connection what the route asks for.
    pub(super) async fn prepare(&self, tcp: TcpStream, route: &Route) -> Result<Leg, SupplyError> {
        let Some(offered) = &route.offered else {
            self.metrics.upstream(Source::New);
            return Ok(Leg::Cleartext(tcp));
        };
        let name = ServerName::try_from(route.host.to_string())
            .map_err(|_invalid| SupplyError::Name(route.host.to_string()))?;
        match self.upstream.connect(tcp, name, offered.clone()).await? {
            Handshaken::Verified(stream) => {
                self.metrics.upstream(Source::New);
                Ok(Leg::Tls(stream))
            }
            Handshaken::WantsClientCertificate => Err(SupplyError::WantsClientCertificate),
        }
    }

    /// Keeps a connection that a call has done with. `hint` is how long the
    /// provider says that it waits.
    pub(super) fn keep(&self, route: &Route, spoken: Spoken, hint: Option<Duration>) {
        if self.pool.is_none() {
            spoken.close();
            return;
        }
        self.with_kept(|kept| kept.keep(route, spoken, hint, Instant::now()));
    }

    /// Ends kept connections that are over their time or were ended by their
    /// provider.
    pub(super) fn sweep(&self) {
        self.with_kept(|kept| kept.sweep(Instant::now()));
    }

    /// Ends all kept connections.
    pub(super) fn clear(&self) {
        self.with_kept(Pool::clear);
    }

    /// Whether any connection is kept.
    pub(super) fn has_kept(&self) -> bool {
        let kept = self.pool.as_ref().map(UpstreamPool::lock);
        kept.is_some_and(|kept| kept.len() > 0)
    }

    fn with_kept<T>(&self, act: impl FnOnce(&mut Pool<Spoken>) -> T) -> Option<T> {
        let mut kept = self.pool.as_ref()?.lock();
        let result = act(&mut kept);
        self.metrics.upstream_kept(kept.len());
        Some(result)
    }
}

/// Connections to providers that wait for the next call.
#[derive(Debug)]
pub struct UpstreamPool(Mutex<Pool<Spoken>>);

impl UpstreamPool {
    /// Keeps each no longer than `idle_timeout`.
    #[must_use]
    pub fn new(idle_timeout: Duration) -> Self {
        Self(Mutex::new(Pool::new(idle_timeout)))
    }

    fn lock(&self) -> MutexGuard<'_, Pool<Spoken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
