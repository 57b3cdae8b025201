//! A relay alone, between two connections in cleartext, for benchmarks that count
//! its instructions. Part of the crate because relays are its own affair, and
//! nothing outside could ask them.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::{Instant, SystemTime},
};

use tokio::net::TcpStream;

use super::{Forbidden, Intercepted, Processes, Proxy, h1, h2, leg::Leg, pool::Route};
use crate::{
    config::{Bodies, Propagate},
    export::prometheus::Metrics,
    llm::catalogue::{Catalogue, Provider},
    meter::{
        exchange::Meter,
        prices::PriceTable,
        record::{Process, RecordSink},
    },
    tls::{authority::Authority, downstream::Downstream, upstream::Upstream},
};

/// The host for which connections pass as verified.
const HOST: &str = "api.openai.com";

/// What a relay shares with others: all by default, metering on.
pub struct Relay(Arc<Proxy>);

impl Relay {
    /// Leaves records with `sink`.
    ///
    /// # Errors
    /// No key could be made.
    pub fn new(sink: Arc<dyn RecordSink>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self(Arc::new(proxy(sink)?)))
    }

    /// Relays HTTP/1 until either connection ends.
    pub async fn http1(&self, client: TcpStream, upstream: TcpStream) {
        let call = intercepted(Arc::clone(&self.0));
        h1::relay(client, Leg::Cleartext(upstream), false, call).await;
    }

    /// Relays HTTP/2 until either connection ends.
    ///
    /// # Errors
    /// The preface could not be sent upstream.
    pub async fn http2(&self, client: TcpStream, upstream: TcpStream) -> Result<(), ::h2::Error> {
        let call = intercepted(Arc::clone(&self.0));
        let session = h2::Session::begin(Leg::Cleartext(upstream)).await?;
        h2::relay(client, session, call).await;
        Ok(())
    }
}

/// One that verifies nobody, and to which nothing is redirected.
pub(super) fn proxy(sink: Arc<dyn RecordSink>) -> Result<Proxy, Box<dyn Error + Send + Sync>> {
    let authority = Arc::new(Authority::new(None, SystemTime::now())?);
    Ok(Proxy {
        catalogue: Catalogue::builtin(),
        downstream: Downstream::new(&authority)?,
        upstream: Upstream::new(Arc::new(rustls::RootCertStore::empty()))?,
        meter: Meter::new(Instant::now, sink, Arc::new(PriceTable::builtin())),
        metrics: Arc::new(Metrics::new()),
        forbidden: Forbidden::default(),
        canary: None,
        processes: Processes::unknown(),
        refusers: None,
        stream_usage: true,
        bodies: Bodies::Read,
        propagate: Propagate::Off,
        pool: None,
        connections: Arc::default(),
    })
}

/// A connection of somebody's to the host.
pub(super) fn intercepted(proxy: Arc<Proxy>) -> Intercepted {
    Intercepted {
        proxy,
        route: Route {
            origin: SocketAddr::from(([203, 0, 113, 7], 443)),
            host: HOST.into(),
            offered: None,
        },
        provider: Provider::OpenAi,
        process: Process {
            pid: Some(1),
            exe: None,
        },
        client: None,
        is_counted: AtomicBool::new(false),
    }
}
