//! The proxy's listening sockets: the same ports on both loopback addresses.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::AsFd,
};

use aws_lc_rs::rand;

use super::super::socket::{BACKLOG, bind};
use crate::{
    capture::{LISTEN_PORTS, Listening},
    sys::claim::{ClaimError, Token, claim},
};

/// Where ports in a row are looked for: below those that Linux gives to
/// outgoing connections, which would be in the way.
const FIRST_PORT: u16 = 20_000;
const GROUPS: u16 = 768;
/// Attempts to find ports in a row that are free on both addresses.
const ATTEMPTS: usize = 32;

/// The sockets, and where they are.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) sockets: Vec<TcpListener>,
    pub(super) listening: Listening,
}

/// Why the proxy does not listen.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenError {
    /// The kernel half does not know it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The ports are not to be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ListenError {
    fn is_in_use(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

impl Listeners {
    /// On ports that are free. If there are not enough in a row, on one.
    pub(super) fn anywhere(token: &Token) -> Result<Self, ListenError> {
        for _ in 0..ATTEMPTS {
            let port = FIRST_PORT + random_group()? * LISTEN_PORTS;
            match Self::at(port, LISTEN_PORTS, token) {
                Err(error) if error.is_in_use() => {}
                other => return other,
            }
        }
        for _ in 0..ATTEMPTS {
            let free = bind((Ipv4Addr::LOCALHOST, 0).into())?.local_addr()?;
            let port = free.as_socket().map_or(0, |address| address.port());
            match Self::at(port, 1, token) {
                Err(error) if error.is_in_use() => {}
                other => return other,
            }
        }
        Err(ListenError::Io(io::ErrorKind::AddrInUse.into()))
    }

    /// On these ports; on IPv4 only where the machine has no IPv6 loopback.
    ///
    /// Each is claimed before it listens: in between it would be a stranger's,
    /// and connections be refused.
    pub(super) fn at(port: u16, count: u16, token: &Token) -> Result<Self, ListenError> {
        let ports = port..port.saturating_add(count);
        let mut bound = Vec::new();
        for port in ports.clone() {
            bound.push(bind((Ipv4Addr::LOCALHOST, port).into())?);
        }
        let mut ipv6 = true;
        for port in ports {
            match bind((Ipv6Addr::LOCALHOST, port).into()) {
                Ok(socket) => bound.push(socket),
                Err(error)
                    if error.kind() == io::ErrorKind::AddrNotAvailable
                        || error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
                {
                    ipv6 = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        for socket in &bound {
            claim(socket.as_fd(), token)?;
        }
        let mut sockets = Vec::with_capacity(bound.len());
        for socket in bound {
            socket.listen(BACKLOG)?;
            sockets.push(socket.into());
        }
        Ok(Self {
            sockets,
            listening: Listening { port, count, ipv6 },
        })
    }

    /// Their addresses, which are never dialled.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

fn random_group() -> io::Result<u16> {
    let mut bytes = [0; 2];
    rand::fill(&mut bytes).map_err(|_unspecified| io::Error::other("there is no randomness"))?;
    Ok(u16::from_ne_bytes(bytes) % GROUPS)
}
