//! Proof that interception works: a connection of the proxy's own that the
//! kernel half is asked to capture, and that must arrive here with where it was
//! going.
//!
//! It passes every program an application's connection passes. What it proves
//! is that they are attached above this process, and act; in a sandbox whose
//! kernel is another, or after somebody detached them, it does not arrive.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::sync::oneshot;
use weir_common::Flow;

use crate::sys::{
    claim::{ClaimError, Token, mark_canary},
    origin,
};

/// An address for documentation (RFC 5737) and one that is discarded (RFC 6666):
/// nobody is there, should the connection leave the machine after all.
const DESTINATION4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DESTINATION6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1);
/// On a machine that is not out of breath it takes less than a millisecond.
const ARRIVAL_WAIT: Duration = Duration::from_secs(2);

/// Why interception is not proven.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// The programs do not know this process, or not its secret.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The connection did not arrive.
    #[error(
        "a connection to {destination} was not redirected to the proxy: weir's eBPF programs were \
         detached, or another program changes the same connections (see `bpftool cgroup tree`)"
    )]
    NotRedirected {
        /// Where it was sent.
        destination: SocketAddr,
    },
    /// It arrived, and was said to have gone elsewhere.
    #[error("a connection to {destination} arrived as one to {recorded}")]
    WrongOrigin {
        /// Where it was sent.
        destination: SocketAddr,
        /// What the kernel recorded.
        recorded: SocketAddr,
    },
    /// The application's side would see another peer.
    #[error("getpeername names {peer} for a connection to {destination}")]
    WrongPeer {
        /// Where it was sent.
        destination: SocketAddr,
        /// What the socket says.
        peer: SocketAddr,
    },
    /// Redirected connections have no way to the proxy.
    #[error("loopback is down in this network namespace: `ip link set lo up`")]
    LoopbackDown,
    /// The socket itself failed.
    #[error("cannot make a connection to {destination}: {source}")]
    Socket {
        /// Where it was to go.
        destination: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The connections under way whose arrival is awaited.
#[derive(Debug)]
pub struct Canary {
    token: Token,
    port: u16,
    ipv6: bool,
    /// By the cookie of the connecting socket, which the kernel records.
    awaited: Mutex<HashMap<u64, oneshot::Sender<SocketAddr>>>,
}

impl Canary {
    /// One that presents `token`, and connects to a captured `port`, over IPv6
    /// as well if the proxy listens there.
    #[must_use]
    pub fn new(token: Token, port: u16, ipv6: bool) -> Self {
        Self {
            token,
            port,
            ipv6,
            awaited: Mutex::default(),
        }
    }

    /// Connects, once for each family, and waits for the arrival.
    ///
    /// # Errors
    ///
    /// Says what is wrong with interception.
    pub async fn prove(&self) -> Result<(), CanaryError> {
        self.prove_to((DESTINATION4, self.port).into()).await?;
        if self.ipv6 {
            self.prove_to((DESTINATION6, self.port).into()).await?;
        }
        Ok(())
    }

    async fn prove_to(&self, destination: SocketAddr) -> Result<(), CanaryError> {
        let failed = |source| CanaryError::Socket {
            destination,
            source,
        };
        let socket = socket2::Socket::new(
            Domain::for_address(destination),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )
        .map_err(failed)?;
        mark_canary(socket.as_fd(), &self.token)?;
        let cookie = SockRef::from(&socket).cookie().map_err(failed)?;
        let (arrived, arrival) = oneshot::channel();
        self.awaited().insert(cookie, arrived);
        let recorded = match socket.connect(&destination.into()) {
            Err(error) if error.raw_os_error() == Some(libc::ENETUNREACH) => {
                Err(CanaryError::LoopbackDown)
            }
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(failed(error)),
            Ok(()) | Err(_) => tokio::time::timeout(ARRIVAL_WAIT, arrival)
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(CanaryError::NotRedirected { destination }),
        };
        self.awaited().remove(&cookie);
        let recorded = recorded?;
        if recorded != destination {
            return Err(CanaryError::WrongOrigin {
                destination,
                recorded,
            });
        }
        match socket.peer_addr().map_err(failed)?.as_socket() {
            Some(peer) if peer != destination => Err(CanaryError::WrongPeer { destination, peer }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether an accepted connection is one of these; if so its work is done.
    pub(crate) fn receives(&self, flow: &Flow) -> bool {
        match self.awaited().remove(&flow.cookie) {
            // Whoever awaited it may have given up.
            Some(arrived) => {
                let _unheard = arrived.send(origin::destination(flow));
                true
            }
            None => false,
        }
    }

    fn awaited(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<SocketAddr>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
