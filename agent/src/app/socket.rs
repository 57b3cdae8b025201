//! Listening sockets: how they are bound, and when one serves both versions of IP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel keeps for us between two accepts: a burst of an
/// application that opens thousands at once.
pub(super) const BACKLOG: i32 = 4096;

/// A listening socket that does not block.
///
/// `[::]` is every address of either version, so that one setting fits pods with
/// IPv4, IPv6 or both; in a kernel without IPv6 it is every address of IPv4.
///
/// # Errors
/// The address is taken, or not this machine's.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let bound = match bind(addr) {
        Err(error)
            if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                && error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
        {
            bind((Ipv4Addr::UNSPECIFIED, addr.port()).into())
        }
        other => other,
    };
    let socket = bound?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A bound socket that does not block.
///
/// # Errors
/// As [`listen`].
pub(super) fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a proxy before us may still linger on a fixed port.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // Said in any case: a setting of the machine has the default.
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

    use super::listen;

    #[test]
    fn every_address_is_that_of_either_version() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // A machine without IPv6 has nobody who would ask over it.
        let ipv6_is_here = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let over_ipv6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port));
        assert_eq!(over_ipv6.is_ok(), ipv6_is_here, "{over_ipv6:?}");
    }

    #[test]
    fn one_address_is_that_of_its_version() {
        for (addr, other) in [
            ("127.0.0.1:0", SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
            ("0.0.0.0:0", SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
        ] {
            let listener = listen(addr.parse().unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(
                TcpStream::connect((other.ip(), port)).is_err(),
                "{addr} answers on {other}"
            );
        }
    }
}
