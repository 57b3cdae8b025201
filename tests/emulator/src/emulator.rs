//! The running emulator: its listeners, and what can be asked of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::builder::{Builder, StartError};
use crate::ca::Ca;
use crate::ledger::{LedgerTimeout, Told};
use crate::listener::Listener;
use crate::serve::{self, Emulation};
use crate::tokens;
use crate::wire::Origin;
use crate::wire::socket::Socket;

/// Failed handshakes remembered; enough for any test, and a bound for the rest.
const HANDSHAKES_MAX: usize = 1024;

/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running emulator. Dropping it ends it at once.
pub struct Emulator {
    addresses: Vec<SocketAddr>,
    ca: Ca,
    emulation: Arc<Emulation>,
    handshakes: Arc<FailedHandshakes>,
    /// One task a listener, which owns its connections.
    listeners: JoinSet<()>,
}

/// Why TLS handshakes failed, oldest first.
type FailedHandshakes = watch::Sender<Vec<String>>;

impl Emulator {
    /// An emulator to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(
        listeners: &[Listener],
        names: &[String],
        ca: Ca,
        emulation: Arc<Emulation>,
    ) -> Result<Self, StartError> {
        let mut bound = Vec::new();
        for listener in listeners {
            let address = listener.address;
            let socket = TcpListener::bind(address).await;
            let socket = socket.map_err(|source| StartError::Listen { address, source })?;
            let local = socket.local_addr();
            let local = local.map_err(|source| StartError::Listen { address, source })?;
            let tls = match listener.tls {
                Some(tls) => Some(TlsAcceptor::from(tls.config(names, &ca)?)),
                None => None,
            };
            bound.push((local, socket, tls));
        }
        tokens::warm_up();
        let mut emulator = Self {
            addresses: Vec::new(),
            ca,
            emulation,
            handshakes: Arc::new(watch::Sender::new(Vec::new())),
            listeners: JoinSet::new(),
        };
        for (local, socket, tls) in bound {
            emulator.addresses.push(local);
            emulator.listeners.spawn(accept(
                socket,
                tls,
                Arc::clone(&emulator.emulation),
                Arc::clone(&emulator.handshakes),
            ));
        }
        Ok(emulator)
    }

    /// The addresses listened on, in the order given to the builder.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The CA's certificate, as PEM.
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// The CA.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// What was told in the exchanges that have ended, oldest first (the last
    /// 100,000 of them).
    pub fn ledger(&self) -> Vec<Told> {
        self.emulation.ledger.entries()
    }

    /// Exchanges that have ended and are no longer in [`Emulator::ledger`].
    pub fn forgotten(&self) -> u64 {
        self.emulation.ledger.forgotten()
    }

    /// Waits until `condition` holds for the ledger, and returns it.
    ///
    /// # Errors
    /// It did not within `limit`.
    pub async fn wait_ledger(
        &self,
        limit: Duration,
        condition: impl FnMut(&[Told]) -> bool,
    ) -> Result<Vec<Told>, LedgerTimeout> {
        self.emulation.ledger.wait(limit, condition).await
    }

    /// Why TLS handshakes failed, oldest first (the first 1024 of them).
    pub fn failed_handshakes(&self) -> Vec<String> {
        self.handshakes.borrow().clone()
    }

    /// Waits until `condition` holds for the failed handshakes, and returns them.
    ///
    /// # Errors
    /// It did not within `limit`; with the failures so far.
    pub async fn wait_failed_handshakes(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&[String]) -> bool,
    ) -> Result<Vec<String>, Vec<String>> {
        let mut changes = self.handshakes.subscribe();
        let reached = changes.wait_for(|failed| condition(failed));
        match tokio::time::timeout(limit, reached).await {
            Ok(Ok(failed)) => Ok(failed.clone()),
            Ok(Err(_)) | Err(_) => Err(self.failed_handshakes()),
        }
    }

    /// Ends listeners, connections and exchanges; what was under way is in
    /// the ledger (and its file) as stopped when this returns.
    pub async fn shutdown(mut self) -> Vec<Told> {
        self.listeners.shutdown().await;
        self.ledger()
    }
}

/// Remembers a failed handshake, up to the bound.
fn remember(handshakes: &FailedHandshakes, error: &std::io::Error) {
    handshakes.send_modify(|failed| {
        if failed.len() < HANDSHAKES_MAX {
            failed.push(error.to_string());
        }
    });
}

/// Accepts connections for ever; they end with this future.
async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    emulation: Arc<Emulation>,
    handshakes: Arc<FailedHandshakes>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _client)) => {
                    let tls = tls.clone();
                    let emulation = Arc::clone(&emulation);
                    let handshakes = Arc::clone(&handshakes);
                    connections.spawn(connection(tcp, tls, emulation, handshakes));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => serve::report(ended),
        }
    }
}

async fn connection(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    emulation: Arc<Emulation>,
    handshakes: Arc<FailedHandshakes>,
) {
    // Each write is to leave at once: events are measured one by one.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot disable Nagle's algorithm");
    }
    let Some(tls) = tls else {
        let origin = Origin {
            server_name: None,
            alpn: None,
        };
        return serve::serve(Socket::Plain(tcp), origin, emulation).await;
    };
    let stream = match tls.accept(tcp).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "handshake failed");
            return remember(&handshakes, &error);
        }
    };
    let session = stream.get_ref().1;
    let origin = Origin {
        server_name: session.server_name().map(str::to_owned),
        alpn: session
            .alpn_protocol()
            .map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
    };
    serve::serve(Socket::Tls(Box::new(stream)), origin, emulation).await;
}
