//! Connections to where the kernel says the application was going, and nowhere
//! else.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// As long as Linux itself tries with its default of six SYNs would be two
/// minutes; applications give up earlier, and then we stop with them.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// Streams may be silent for many minutes while a model thinks, so silence ends
/// nothing; keepalive finds peers that are no more.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Why a destination was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Never dialled, whoever asks.
    #[error("{0} is never dialled: {1}")]
    Forbidden(SocketAddr, &'static str),
    /// It could not be reached.
    #[error("cannot connect to {0}: {1}")]
    Unreachable(SocketAddr, #[source] io::Error),
}

/// Destinations that are refused although the kernel recorded them: the second
/// guard behind the programs, which leave all of these alone.
#[derive(Clone, Debug, Default)]
pub struct Forbidden {
    /// Our own listeners.
    pub own: Vec<SocketAddr>,
}

impl Forbidden {
    /// Why a destination is refused, if it is.
    #[must_use]
    pub fn objection(&self, destination: SocketAddr) -> Option<&'static str> {
        if self.own.contains(&destination) {
            return Some("it is weir itself");
        }
        match destination.ip() {
            ip if ip.is_loopback() => Some("it is loopback"),
            ip if ip.is_unspecified() => Some("it is unspecified"),
            ip if ip.is_multicast() => Some("it is multicast"),
            IpAddr::V4(ip) if ip.is_link_local() => Some("it is link-local, as cloud metadata is"),
            IpAddr::V4(ip) if ip.is_broadcast() => Some("it is broadcast"),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("it is link-local"),
            // The metadata address of EC2 over IPv6.
            IpAddr::V6(ip) if ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => {
                Some("it is cloud metadata")
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

/// Connects to the destination that the kernel recorded.
pub(crate) async fn dial(
    destination: SocketAddr,
    forbidden: &Forbidden,
) -> Result<TcpStream, DialError> {
    if let Some(objection) = forbidden.objection(destination) {
        return Err(DialError::Forbidden(destination, objection));
    }
    let unreachable = |error| DialError::Unreachable(destination, error);
    let stream = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(destination))
        .await
        .map_err(|_elapsed| unreachable(io::ErrorKind::TimedOut.into()))?
        .map_err(unreachable)?;
    tune(&stream).map_err(unreachable)?;
    Ok(stream)
}

/// Options of every connection, on both legs.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE))
}

#[cfg(test)]
mod tests {
    use super::Forbidden;

    #[test]
    fn only_ordinary_destinations_are_dialled() {
        let forbidden = Forbidden {
            own: vec!["10.0.0.5:15001".parse().unwrap()],
        };
        for (destination, allowed) in [
            ("203.0.113.7:443", true),
            ("10.0.0.5:443", true),
            ("10.0.0.5:15001", false),
            ("127.0.0.1:443", false),
            ("127.9.9.9:443", false),
            ("0.0.0.0:80", false),
            ("169.254.169.254:80", false),
            ("224.0.0.1:443", false),
            ("255.255.255.255:443", false),
            ("[::1]:443", false),
            ("[::]:443", false),
            ("[fe80::1]:443", false),
            ("[fd00:ec2::254]:80", false),
            ("[2001:db8::7]:443", true),
        ] {
            let destination = destination.parse().unwrap();
            assert_eq!(
                forbidden.objection(destination).is_none(),
                allowed,
                "{destination}"
            );
        }
    }
}
