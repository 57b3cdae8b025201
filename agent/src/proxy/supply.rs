//! Connections to providers, kept from an earlier call or newly made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    Proxy,
    dial::{DialError, dial},
    h2::{Lent, Session},
    leg::Leg,
    pool::{Kept, Pool, Route},
};
use crate::{
    config::{Multiplex, Reuse, UpstreamConfig},
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

/// A connection to a provider for a call.
#[derive(Debug)]
pub(crate) struct Supplied {
    pub(super) spoken: Spoken,
    /// It was there before the call.
    pub(super) is_kept: bool,
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
    #[error("upstream HTTP/2 does not begin: {0}")]
    Http2(#[from] h2::Error),
}

impl Proxy {
    /// A connection for a call: one that was kept or can be shared, or else a new
    /// one.
    pub(super) async fn supply(self: &Arc<Self>, route: &Route) -> Result<Supplied, SupplyError> {
        let there = self.with_pool(|pool| pool.supply(route)).flatten();
        let is_kept = there.is_some();
        let spoken = match there {
            Some((spoken, source)) => {
                self.metrics.upstream(source);
                spoken
            }
            None => self.spoken(self.supply_new(route).await?).await?,
        };
        self.dial_ahead(route);
        Ok(self.supplied(route, spoken, is_kept))
    }

    /// What was dialled for a call before it was known what it asks for, as a
    /// connection for it.
    pub(super) async fn supply_dialled(
        &self,
        tcp: TcpStream,
        route: &Route,
    ) -> Result<Supplied, SupplyError> {
        let spoken = self.spoken(self.prepare(tcp, route).await?).await?;
        Ok(self.supplied(route, spoken, false))
    }

    fn supplied(&self, route: &Route, spoken: Spoken, is_kept: bool) -> Supplied {
        if let Spoken::Http2(session) = &spoken {
            self.with_pool(|pool| pool.lend(route, session));
        }
        Supplied { spoken, is_kept }
    }

    /// A new connection for a call.
    pub(super) async fn supply_new(&self, route: &Route) -> Result<Leg, SupplyError> {
        let tcp = dial(route.origin, &self.forbidden).await?;
        self.prepare(tcp, route).await
    }

    /// Makes of a TCP connection for a call what the route asks for.
    async fn prepare(&self, tcp: TcpStream, route: &Route) -> Result<Leg, SupplyError> {
        let leg = self.handshake(tcp, route).await?;
        self.metrics.upstream(Source::New);
        Ok(leg)
    }

    async fn handshake(&self, tcp: TcpStream, route: &Route) -> Result<Leg, SupplyError> {
        let Some(offered) = &route.offered else {
            return Ok(Leg::Cleartext(tcp));
        };
        let name = ServerName::try_from(route.host.to_string())
            .map_err(|_invalid| SupplyError::Name(route.host.to_string()))?;
        match self.upstream.connect(tcp, name, offered.clone()).await? {
            Handshaken::Verified(stream) => Ok(Leg::Tls(stream)),
            Handshaken::WantsClientCertificate => Err(SupplyError::WantsClientCertificate),
        }
    }

    /// Begins to speak what was agreed on.
    async fn spoken(&self, leg: Leg) -> Result<Spoken, SupplyError> {
        if leg.alpn() == Some(b"h2") {
            Ok(Spoken::Http2(Session::begin(leg).await?))
        } else {
            Ok(Spoken::Http1(leg))
        }
    }

    /// Keeps a connection that a call has done with. `hint` is how long the
    /// provider says that it waits.
    pub(super) fn keep(&self, route: &Route, spoken: Spoken, hint: Option<Duration>) {
        if self.pool.is_none() {
            spoken.close();
            return;
        }
        self.with_pool(|pool| pool.keep(route, spoken, hint));
    }

    /// Makes a connection ahead of the next call, if fewer wait than are wanted.
    /// Nobody waits for it.
    fn dial_ahead(self: &Arc<Self>, route: &Route) {
        self.with_pool(|pool| {
            if let Some(dialling) = pool.wants_another(route) {
                dialling.spawn(Arc::clone(self).dialled_ahead(route.clone()));
            }
        });
    }

    async fn dialled_ahead(self: Arc<Self>, route: Route) {
        let made = async {
            let tcp = dial(route.origin, &self.forbidden).await?;
            let leg = self.handshake(tcp, &route).await?;
            self.spoken(leg).await
        };
        match made.await {
            Ok(spoken) => {
                self.metrics.upstream(Source::Ahead);
                self.keep(&route, spoken, None);
            }
            // The next call finds out by itself.
            Err(error) => tracing::debug!(%error, "no connection was made ahead"),
        }
    }

    /// Ends kept connections that are over their time or were ended by their
    /// provider.
    pub(super) fn sweep(&self) {
        self.with_pool(|pool| pool.kept.sweep(Instant::now()));
    }

    /// Ends all kept connections.
    pub(super) fn clear(&self) {
        self.with_pool(|pool| {
            pool.dialling.clear();
            pool.kept.clear();
        });
    }

    /// Whether any connection is kept.
    pub(super) fn has_kept(&self) -> bool {
        let pool = self.pool.as_ref().map(UpstreamPool::lock);
        pool.is_some_and(|pool| pool.kept.len() > 0)
    }

    fn with_pool<T>(&self, act: impl FnOnce(&mut Upstreams) -> T) -> Option<T> {
        let mut pool = self.pool.as_ref()?.lock();
        let result = act(&mut pool);
        self.metrics.upstream_kept(pool.kept.len());
        Some(result)
    }
}

/// Connections to providers that wait for the next call, or can serve another.
#[derive(Debug)]
pub struct UpstreamPool(Mutex<Upstreams>);

#[derive(Debug)]
struct Upstreams {
    kept: Pool<Spoken>,
    /// Those of HTTP/2 that are used; `None` if each serves one connection of the
    /// application.
    lent: Option<HashMap<Route, Vec<Lent>>>,
    /// How many are to wait of a route.
    spare: usize,
    /// Those that are being made ahead.
    dialling: HashMap<Route, JoinSet<()>>,
}

impl UpstreamPool {
    /// As configured; `None` if none is kept.
    #[must_use]
    pub fn new(config: &UpstreamConfig) -> Option<Self> {
        (config.reuse == Reuse::On).then(|| {
            Self(Mutex::new(Upstreams {
                kept: Pool::new(config.idle_timeout.get()),
                lent: (config.multiplex == Multiplex::On).then(HashMap::new),
                spare: config.spare.get(),
                dialling: HashMap::new(),
            }))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Upstreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstreams {
    /// One that there is: rather one that is used, so that few are.
    fn supply(&mut self, route: &Route) -> Option<(Spoken, Source)> {
        let lent = self.lent.as_ref().and_then(|lent| lent.get(route));
        if let Some(session) = lent.into_iter().flatten().find_map(Lent::join) {
            return Some((Spoken::Http2(session), Source::Shared));
        }
        let kept = self.kept.take(route, Instant::now())?;
        Some((kept, Source::Kept))
    }

    fn keep(&mut self, route: &Route, spoken: Spoken, hint: Option<Duration>) {
        if let Spoken::Http2(session) = &spoken {
            if session.is_shared() {
                // Its last user keeps it.
                return;
            }
            if let Some(lent) = self.lent.as_mut().and_then(|lent| lent.get_mut(route)) {
                lent.retain(|lent| !lent.is(session));
            }
        }
        self.kept.keep(route, spoken, hint, Instant::now());
    }

    /// Lets other connections of the application use it, if they may.
    fn lend(&mut self, route: &Route, session: &Session) {
        let Some(lent) = &mut self.lent else { return };
        lent.retain(|_, sessions| {
            sessions.retain(Lent::is_used);
            !sessions.is_empty()
        });
        let sessions = lent.entry(route.clone()).or_default();
        if !sessions.iter().any(|lent| lent.is(session)) {
            sessions.push(session.lend());
        }
    }

    /// Where another one is to be made, if one is.
    fn wants_another(&mut self, route: &Route) -> Option<&mut JoinSet<()>> {
        if self.spare == 0 {
            return None;
        }
        self.dialling.retain(|_, dialling| {
            while dialling.try_join_next().is_some() {}
            !dialling.is_empty()
        });
        let dialling = self.dialling.get(route).map_or(0, JoinSet::len);
        if self.kept.idle(route) + dialling >= self.spare || !self.kept.has_room() {
            return None;
        }
        Some(self.dialling.entry(route.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;

    use super::*;

    /// A connection of HTTP/2 to somebody who never answers.
    async fn session(silent: &TcpListener) -> Session {
        let tcp = TcpStream::connect(silent.local_addr().unwrap()).await;
        Session::begin(Leg::Cleartext(tcp.unwrap())).await.unwrap()
    }

    fn route() -> Route {
        Route {
            origin: SocketAddr::from(([203, 0, 113, 7], 443)),
            host: "api.openai.com".into(),
            offered: Some(vec![b"h2".to_vec()]),
        }
    }

    #[tokio::test]
    async fn a_shared_connection_is_kept_by_its_last_user() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for multiplex in [Multiplex::On, Multiplex::Off] {
            let config = UpstreamConfig {
                multiplex,
                ..UpstreamConfig::default()
            };
            let session = session(&silent).await;
            let pool = UpstreamPool::new(&config).unwrap();
            let mut pool = pool.lock();
            pool.lend(&route(), &session);
            let joined = pool.supply(&route());
            assert_eq!(joined.is_some(), multiplex == Multiplex::On);
            let first = Spoken::Http2(session);
            pool.keep(&route(), first, None);
            if let Some((last, source)) = joined {
                assert_eq!((source, pool.kept.len()), (Source::Shared, 0));
                pool.keep(&route(), last, None);
            }
            assert_eq!(pool.kept.len(), 1);
            let again = pool.supply(&route());
            assert_eq!(again.map(|(_, source)| source), Some(Source::Kept));
        }
    }

    #[tokio::test]
    async fn so_many_are_made_ahead_and_no_more() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = crate::config::Config::parse("upstream: {spare: 2}").unwrap();
        let made = Spoken::Http2(session(&silent).await);
        let pool = UpstreamPool::new(&config.upstream).unwrap();
        let mut pool = pool.lock();
        let mut begun = 0;
        while let Some(dialling) = pool.wants_another(&route()) {
            dialling.spawn(std::future::pending());
            begun += 1;
        }
        assert_eq!(begun, 2, "none waits");
        pool.dialling.clear();
        pool.keep(&route(), made, None);
        assert!(pool.wants_another(&route()).is_some(), "one waits");
        let none = UpstreamPool::new(&UpstreamConfig::default()).unwrap();
        assert!(none.lock().wants_another(&route()).is_none());
    }
}
