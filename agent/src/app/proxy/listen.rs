//! The proxy's listening sockets: the same ports on both loopback addresses.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::AsFd,
};

use aws_lc_rs::rand;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    capture::{LISTEN_PORTS, Listening},
    sys::claim::{ClaimError, Token, claim},
};

/// Connections the kernel keeps for us between two accepts: a burst of an
/// application that opens thousands at once.
const BACKLOG: i32 = 4096;
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

impl Listeners {
    /// On ports that are free. If there are not enough in a row, on one.
    pub(super) fn anywhere() -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let port = FIRST_PORT + random_group()? * LISTEN_PORTS;
            match Self::at(port, LISTEN_PORTS) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => return other,
            }
        }
        for _ in 0..ATTEMPTS {
            let port = bind((Ipv4Addr::LOCALHOST, 0).into())?.local_addr()?.port();
            match Self::at(port, 1) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => return other,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// On these ports; on IPv4 only where the machine has no IPv6 loopback.
    pub(super) fn at(port: u16, count: u16) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let ports = port..port.saturating_add(count);
        for port in ports.clone() {
            sockets.push(bind((Ipv4Addr::LOCALHOST, port).into())?);
        }
        let mut ipv6 = true;
        for port in ports {
            match bind((Ipv6Addr::LOCALHOST, port).into()) {
                Ok(socket) => sockets.push(socket),
                Err(error)
                    if error.kind() == io::ErrorKind::AddrNotAvailable
                        || error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
                {
                    ipv6 = false;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            sockets,
            listening: Listening { port, count, ipv6 },
        })
    }

    /// Claims each of them, and thereby this process's cgroup.
    pub(super) fn claim(&self, token: &Token) -> Result<(), ClaimError> {
        self.sockets
            .iter()
            .try_for_each(|socket| claim(socket.as_fd(), token))
    }

    /// Their addresses, which are never dialled.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

/// A listening socket that does not block.
pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a proxy before us may still linger on a fixed port.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn random_group() -> io::Result<u16> {
    let mut bytes = [0; 2];
    rand::fill(&mut bytes).map_err(|_unspecified| io::Error::other("there is no randomness"))?;
    Ok(u16::from_ne_bytes(bytes) % GROUPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_a_row_are_found_and_not_taken_twice() {
        let listeners = Listeners::anywhere().unwrap();
        let Listening { port, count, ipv6 } = listeners.listening;
        assert!(count.is_power_of_two());
        let families = if ipv6 { 2 } else { 1 };
        assert_eq!(listeners.sockets.len(), usize::from(count) * families);
        let taken = Listeners::at(port, count)
            .map(drop)
            .map_err(|error| error.kind());
        assert_eq!(taken, Err(io::ErrorKind::AddrInUse));
    }
}
